import type { Contender } from "../contender.ts";
import { percentile, Samples } from "../statistics.ts";
import type { Crowd } from "./crowd.ts";
import { textFrame } from "./frames.ts";
import { Sender } from "./tally.ts";

/** Sends of all members of all rooms. */
export interface OpenLoad {
  readonly rooms: readonly string[];
  /** Members of each room; all of them send. */
  readonly members: number;
  /** Moves a second of each member. */
  readonly rate: number;
}

/**
 * A load by the clock: moves go out when they are due, whatever has arrived by then. The moves of all members are
 * spread evenly over time, and neighbours in time are in different rooms.
 */
export class OpenLoop {
  readonly #crowd: Crowd;
  readonly #contender: Contender;
  readonly #load: OpenLoad;
  readonly #senders: readonly Sender[];
  #lateness = new Samples();

  constructor(crowd: Crowd, contender: Contender, load: OpenLoad) {
    this.#crowd = crowd;
    this.#contender = contender;
    this.#load = load;
    this.#senders = crowd.sockets.map((socket, index) => new Sender(socket, index % load.members));
  }

  /** 99th percentile of how late moves of the last run went out, in ms: whether the client kept to its schedule. */
  get lateness(): number {
    return percentile(this.#lateness.sorted(), 0.99);
  }

  /** Sends for so many seconds; resolves when everything has been sent. */
  run(seconds: number): Promise<void> {
    const { rate } = this.#load;
    const interval = 1000 / (rate * this.#senders.length);
    const moves = Math.floor((seconds * 1000) / interval);
    const started = performance.now();
    this.#lateness = new Samples();
    let sent = 0;
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        const now = performance.now();
        for (; sent < moves && started + sent * interval <= now; sent++) {
          this.#lateness.add(now - started - sent * interval);
          this.#send(sent);
        }
        if (sent < moves) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
  }

  #send(turn: number): void {
    const { rooms, members } = this.#load;
    const place = turn % this.#senders.length;
    const index = (place % rooms.length) * members + Math.floor(place / rooms.length);
    const sender = this.#senders[index]!;
    const number = this.#crowd.tally.sending(sender, members);
    const text = this.#contender.move(rooms[sender.room]!, sender.digit, number);
    this.#crowd.sockets[index]!.send(textFrame(text));
  }
}
