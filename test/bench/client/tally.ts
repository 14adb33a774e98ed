import { Samples } from "../statistics.ts";
import { MAX_SENDERS } from "./frames.ts";
import type { LoadSocket } from "./socket.ts";

/** A load is given up when nothing has arrived for this long although something is due. */
const STALLED_AFTER = 30_000;

/**
 * Keeps the books of a load: every delivery must be the next one of its sender on that socket, so one that is missing,
 * doubled or out of order shows at once. Measures the time from send to receipt when asked to.
 */
export class Tally {
  /** Deliveries that arrived so far. */
  delivered = 0;
  /** What went wrong, in order of appearance; a correct run leaves it empty. */
  readonly faults: string[] = [];
  /** Milliseconds from send to receipt, split by whether the sender is on the receiver's node. */
  readonly near = new Samples();
  readonly far = new Samples();
  readonly #sent = new Map<number, Sender>();
  #due = 0;
  #wanted = 0;
  #arrived: (() => void) | null = null;
  #measuring = false;

  /** From now on latencies are recorded. */
  measure(): void {
    this.#measuring = true;
  }

  /** Notes that a move goes out now, to so many receivers. */
  sending(sender: Sender, receivers: number): number {
    this.#due += receivers;
    this.#sent.set(sender.key, sender);
    const number = sender.sent++;
    sender.times[number % sender.times.length] = performance.now();
    return number;
  }

  /** A delivery arrived, at `now` on the clock of `performance`. */
  received(socket: LoadSocket, digit: number, number: number, now: number): void {
    const due = socket.received[digit];
    if (number !== due) this.fault(`move ${number} of sender ${digit} where ${due} was due`);
    socket.received[digit] = number + 1;
    this.delivered++;
    if (this.#measuring) {
      const sender = this.#sent.get(socket.room * MAX_SENDERS + digit);
      const sent = sender?.times[number % sender.times.length];
      if (sender && sent !== undefined) (sender.node === socket.node ? this.near : this.far).add(now - sent);
    }
    if (this.delivered >= this.#wanted) this.#arrived?.();
  }

  fault(reason: string): void {
    if (this.faults.length < 10) this.faults.push(reason);
  }

  /** Resolves when everything sent has arrived. Throws when deliveries stop coming before that. */
  async settled(): Promise<void> {
    while (this.delivered < this.#due) {
      const before = this.delivered;
      this.#wanted = this.#due;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#arrived = resolve;
      const timer = setTimeout(resolve, STALLED_AFTER);
      await promise;
      clearTimeout(timer);
      this.#arrived = null;
      if (this.delivered === before) throw new Error(`${this.#due - this.delivered} deliveries never arrived`);
    }
  }

  /** Throws unless everything sent has arrived, once and in order. */
  verify(): void {
    if (this.delivered !== this.#due) this.fault(`${this.delivered} deliveries where ${this.#due} were due`);
    if (this.faults.length > 0) throw new Error(this.faults.join("; "));
  }
}

/** One sender of a room: its number among them is the digit in its moves. */
export class Sender {
  readonly key: number;
  readonly room: number;
  readonly digit: number;
  /** Node it is connected to. */
  readonly node: number;
  /** When it sent its latest moves; long enough for all that can be on their way. */
  readonly times = new Float64Array(1024);
  sent = 0;

  constructor({ room, node }: LoadSocket, digit: number) {
    this.key = room * MAX_SENDERS + digit;
    this.room = room;
    this.digit = digit;
    this.node = node;
  }
}
