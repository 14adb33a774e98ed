import type { Contender } from "../contender.ts";
import type { Crowd } from "./crowd.ts";
import { textFrame } from "./frames.ts";
import { Sender } from "./tally.ts";

/** A way of sending step by step. */
export interface Mode {
  readonly name: string;
  /** Moves that one step sends at once. */
  readonly moves: number;
  /** Shortest time between the beginnings of two steps, in ms. */
  readonly pace: number;
}

/** The two ends: much to do at a time, and one thing at a time. */
export const modes: readonly Mode[] = [
  { name: "bursts of 10", moves: 10, pace: 0 },
  { name: "one every 20 ms", moves: 1, pace: 20 },
];

/**
 * A load by the first socket of a crowd to the room that all of it is in. A step begins when the one before has arrived
 * everywhere, so no server can be fast by piling up.
 */
export class Steps {
  readonly #crowd: Crowd;
  readonly #room: string;
  readonly #contender: Contender;
  readonly #sender: Sender;

  constructor(crowd: Crowd, room: string, contender: Contender) {
    this.#crowd = crowd;
    this.#room = room;
    this.#contender = contender;
    this.#sender = new Sender(crowd.sockets[0]!, 0);
  }

  /** Steps for so many seconds, and until everything has arrived. */
  async run(mode: Mode, seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    let due = performance.now();
    while (performance.now() < end) {
      this.#send(mode.moves);
      await this.#crowd.tally.settled();
      due = Math.max(due + mode.pace, performance.now());
      if (mode.pace > 0) await Bun.sleep(due - performance.now());
    }
  }

  #send(moves: number): void {
    const { sockets, tally } = this.#crowd;
    const frames = Array.from({ length: moves }, () =>
      textFrame(this.#contender.move(this.#room, 0, tally.sending(this.#sender, sockets.length))),
    );
    sockets[0]!.send(Buffer.concat(frames));
  }
}
