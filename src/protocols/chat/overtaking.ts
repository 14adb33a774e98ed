import type { Clock } from "../../clock.ts";
import type { StoredMessage } from "./messages.ts";

/** Milliseconds a message may come behind a later one: as long as a delivery may take (C-5.5). */
const GRACE = 1_000;
/** Pairs of a room and a sender that are remembered, those of the latest messages. */
const MAX_REMEMBERED = 10_000;

/** The messages of a sender in a room, by their ids. */
interface Pair {
  /** The newest, and when it was handed out. */
  readonly newest: number;
  readonly at: number;
  /** One that is noted for longer than the newest, which moves on with everything the sender says. */
  readonly mark: number;
  readonly markedAt: number;
  /** What comes behind this one is over: it was a mark for a grace or more. */
  readonly settled: number;
}

/**
 * Knows messages that come too late: a later one of the same sender in the same room was handed out here more than a
 * second ago, two at most. That happens when the sender has gone to another node while the old one is cut off from Redis.
 * Out of turn nobody can make sense of it (C-5.7); it stands in the history, where C-6.4 has people find it.
 */
export class Overtaking {
  readonly #clock: Clock;
  readonly #pairs = new Map<string, Pair>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes a message that is to be handed out; true when it is too late for that. */
  isOver({ id, roomId, senderId }: StoredMessage): boolean {
    const name = `${roomId} ${senderId}`;
    const now = this.#clock.elapsed();
    const pair = this.#pairs.get(name);
    const isMarkOld = pair !== undefined && now - pair.markedAt > GRACE;
    if (pair !== undefined && pair.newest > id) {
      return id < pair.settled || (id < pair.mark && isMarkOld) || now - pair.at > GRACE;
    }
    const before = pair ?? { mark: id, markedAt: now, settled: 0 };
    const marks = isMarkOld ? { mark: id, markedAt: now, settled: pair.mark } : before;
    // Removed first, so that the map stays in the order of the latest messages.
    this.#pairs.delete(name);
    this.#pairs.set(name, { ...marks, newest: id, at: now });
    if (this.#pairs.size > MAX_REMEMBERED) this.#pairs.delete(this.#pairs.keys().next().value!);
    return false;
  }
}
