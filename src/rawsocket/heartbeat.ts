/** Longest time between two turns of the wheel, in ms: the precision of pings and of finding lost peers. */
const LONGEST_TURN = 1_000;
const SHORTEST_TURN = 10;

/** A member of the wheel. */
export interface Beating {
  /** Its place on the wheel; the heartbeat's own. */
  slot: number;
  /** The turn of the last sign of life. Whoever hears something sets it to `Heartbeat.turn`. */
  heard: number;
  ping(): void;
  /** No sign of life came within the time after a ping. */
  lost(): void;
}

/**
 * The heartbeat of all channels of an endpoint: a wheel of slots that is turned one slot at a time. A turn pings the
 * members of one slot and looks for an answer at those that were pinged `pongTimeout` ago, so every member is pinged
 * once per `pingInterval`, members are spread evenly over the interval, and a sign of life costs one assignment.
 *
 * Time is counted in turns: a process that stood still for a minute has made one turn, and does not take its peers for
 * dead before it has read what they sent meanwhile.
 */
export class Heartbeat<Member extends Beating> {
  /** Turns so far. */
  turn = 0;
  /** Milliseconds between two turns, as the owner of the wheel has to make them. */
  readonly every: number;
  /** Turns from a ping to its answer at the latest. */
  readonly #patience: number;
  readonly #slots: Set<Member>[];
  #next = 0;
  #size = 0;

  constructor(limits: { readonly pingInterval: number; readonly pongTimeout: number }) {
    const shorter = Math.min(limits.pingInterval, limits.pongTimeout);
    this.every = Math.max(SHORTEST_TURN, Math.min(LONGEST_TURN, Math.floor(shorter / 4)));
    this.#patience = Math.max(1, Math.ceil(limits.pongTimeout / this.every));
    const slots = Math.max(1, Math.round(limits.pingInterval / this.every));
    this.#slots = Array.from({ length: slots }, () => new Set<Member>());
  }

  get size(): number {
    return this.#size;
  }

  add(member: Member): void {
    member.heard = this.turn;
    member.slot = this.#next++ % this.#slots.length;
    this.#slots[member.slot]?.add(member);
    this.#size++;
  }

  remove(member: Member): void {
    if (this.#slots[member.slot]?.delete(member)) this.#size--;
  }

  /** All members. Members may leave while this runs. */
  *members(): Generator<Member> {
    for (const slot of this.#slots) yield* slot;
  }

  /** One turn of the wheel. */
  beat(): void {
    this.turn++;
    const asked = this.turn - this.#patience;
    if (asked > 0) {
      for (const member of this.#slots[asked % this.#slots.length] ?? []) {
        if (member.heard < asked) member.lost();
      }
    }
    for (const member of this.#slots[this.turn % this.#slots.length] ?? []) member.ping();
  }
}
