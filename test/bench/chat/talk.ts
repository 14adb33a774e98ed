import { type Destination, WireSocket } from "../client/wire-socket.ts";
import { percentile, Samples } from "../statistics.ts";
import { confirmationText, deliveryText, isConfirmation, MAX_MESSAGES, numberOf, sendFrame } from "./frames.ts";

/** A load is given up when nothing has arrived for this long although something is due, in ms. */
const STALLED_AFTER = 30_000;
const LOOK = 20;

/** Somebody who takes part. */
export interface Talker {
  readonly destination: Destination;
  /** As the server calls him. */
  readonly id: string;
  readonly room: string;
}

/**
 * People in rooms who send by the clock, whatever has arrived, one after the other in one room after the other. Keeps the
 * books: each message must be confirmed once to its sender and come once to everybody else in its room; whether a sender's
 * messages come in order is counted.
 */
export class Talk {
  readonly confirmations = new Samples();
  readonly deliveries = new Samples();
  readonly faults: string[] = [];
  /** Deliveries that came before an earlier message of the same sender. */
  disorder = 0;
  sent = 0;
  confirmed = 0;
  delivered = 0;
  readonly #talkers: readonly Talker[];
  readonly #members: number;
  readonly #sockets: ChatSocket[];
  readonly #times = new Float64Array(MAX_MESSAGES);
  readonly #copies = new Uint8Array(MAX_MESSAGES);

  /** `members`: people in a room; they stand one after the other. */
  constructor(talkers: readonly Talker[], members: number) {
    this.#talkers = talkers;
    this.#members = members;
    this.#sockets = talkers.map(({ destination }, index) => new ChatSocket(this, destination, index));
  }

  async open(): Promise<void> {
    for (let at = 0; at < this.#sockets.length; at += 50) {
      await Promise.all(this.#sockets.slice(at, at + 50).map((socket) => socket.open()));
    }
  }

  /** Sends so many messages a second for so many seconds; resolves when all are sent. */
  run(rate: number, seconds: number): Promise<void> {
    const messages = rate * seconds;
    const started = performance.now();
    const first = this.sent;
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        const due = Math.min(messages, ((performance.now() - started) / 1000) * rate);
        while (this.sent - first < due) this.#send();
        if (this.sent - first < messages) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
  }

  /** Resolves when everything sent has been answered and delivered. Throws when that stops before the end. */
  async settled(): Promise<void> {
    const arrived = () => this.confirmed + this.delivered;
    let before = arrived();
    for (let waited = 0; arrived() < this.sent * this.#members; waited += LOOK) {
      await Bun.sleep(LOOK);
      if (arrived() > before) waited = 0;
      before = arrived();
      if (waited > STALLED_AFTER) throw new Error(`${this.sent * this.#members - before} frames never arrived`);
    }
  }

  /** Forgets the latencies so far. */
  measure(): void {
    this.confirmations.clear();
    this.deliveries.clear();
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.close()));
  }

  /** Throws unless every frame was the right one and there once. */
  verify(): void {
    const wrong = this.#copies.subarray(0, this.sent).findIndex((copies) => copies !== this.#members);
    if (wrong >= 0) this.fault(`message ${wrong} came ${this.#copies[wrong]} times instead of ${this.#members}`);
    if (this.faults.length > 0) throw new Error(this.faults.join("; "));
  }

  fault(reason: string): void {
    if (this.faults.length < 10) this.faults.push(reason);
  }

  /** A frame came to the talker of this number. */
  received(talker: number, chunk: Buffer, start: number, length: number, now: number): void {
    const number = numberOf(chunk, start, length);
    const sender = this.#senderOf(number);
    const time = now - this.#times[number]!;
    this.#copies[number]!++;
    if (isConfirmation(chunk, start)) {
      if (sender !== talker) this.fault(`${talker} was confirmed message ${number} of ${sender}`);
      this.confirmations.add(time);
      this.confirmed++;
    } else {
      if (!this.#sockets[talker]!.inOrder(sender % this.#members, number)) this.disorder++;
      this.deliveries.add(time);
      this.delivered++;
    }
    // The rest of the bytes is the same each time and is looked at now and then.
    if (number % 1_009 === 0)
      this.#compare(chunk.toString("utf8", start, start + length), number, isConfirmation(chunk, start));
  }

  /** Who sends the message of this number: neighbours in time are in different rooms. */
  #senderOf(number: number): number {
    const rooms = this.#talkers.length / this.#members;
    return (number % rooms) * this.#members + (Math.floor(number / rooms) % this.#members);
  }

  #compare(text: string, number: number, confirms: boolean): void {
    const { room, id } = this.#talkers[this.#senderOf(number)]!;
    const expected = confirms ? confirmationText(number) : deliveryText(room, id, number);
    if (text !== expected) this.fault(`unexpected frame ${text}`);
  }

  #send(): void {
    const number = this.sent++;
    const talker = this.#senderOf(number);
    this.#times[number] = performance.now();
    this.#sockets[talker]!.send(sendFrame(this.#talkers[talker]!.room, number));
  }
}

/** Latencies in ms. */
export const percentiles = (samples: Samples) => {
  const sorted = samples.sorted();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
};

/** The socket of one talker. */
class ChatSocket extends WireSocket {
  readonly #talk: Talk;
  readonly #talker: number;
  /** The last number of each member of the room. */
  readonly #last = new Int32Array(64).fill(-1);

  constructor(talk: Talk, destination: Destination, talker: number) {
    super(destination);
    this.#talk = talk;
    this.#talker = talker;
  }

  /** Notes a message of a member; false when a later one of his was here before. */
  inOrder(member: number, number: number): boolean {
    if (this.#last[member]! > number) return false;
    this.#last[member] = number;
    return true;
  }

  protected override upgraded(): void {
    this.answer();
  }

  protected override text(chunk: Buffer, start: number, length: number, now: number): void {
    this.#talk.received(this.#talker, chunk, start, length, now);
  }

  protected override fault(reason: string): void {
    this.#talk.fault(reason);
  }
}
