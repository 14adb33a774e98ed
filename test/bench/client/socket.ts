import { deliveryNumber, deliverySender, deliveryText, isDelivery, MAX_SENDERS, textFrame } from "./frames.ts";
import type { Tally } from "./tally.ts";
import { type Destination, WireSocket } from "./wire-socket.ts";

const CONNECT = textFrame("40");
const PONG = textFrame("3");

/** One Socket.IO connection of the load. */
export class LoadSocket extends WireSocket {
  /** Number of the room it joined. */
  room = -1;
  /** For each sender of the room, the number of the move that comes next. */
  readonly received = new Uint32Array(MAX_SENDERS);
  readonly #tally: Tally;
  #checked = false;

  constructor(tally: Tally, destination: Destination) {
    super(destination);
    this.#tally = tally;
  }

  /** Joins a room; resolves when the server has acknowledged it. */
  join(room: number, name: string): Promise<void> {
    this.room = room;
    this.received.fill(0);
    const answered = this.await();
    this.send(textFrame(`420["join_room","${name}"]`));
    return answered;
  }

  protected override text(chunk: Buffer, start: number, length: number, now: number): void {
    if (isDelivery(chunk, start, length)) this.#delivery(chunk, start, length, now);
    else this.#other(chunk.toString("utf8", start, start + length));
  }

  protected override fault(reason: string): void {
    this.#tally.fault(reason);
  }

  #delivery(chunk: Buffer, start: number, length: number, now: number): void {
    const sender = deliverySender(chunk, start);
    const number = deliveryNumber(chunk, start);
    // The rest of the bytes is the same each time and is looked at once.
    if (!this.#checked) {
      this.#checked = true;
      const text = chunk.toString("latin1", start, start + length);
      if (text !== deliveryText(sender, number)) this.fault(`unexpected frame ${text}`);
    }
    this.#tally.received(this, sender, number, now);
  }

  /** Everything but deliveries: openings, acknowledgements, pings, notices of the room. */
  #other(text: string): void {
    if (text.startsWith("0")) this.send(CONNECT);
    else if (text.startsWith("2")) this.send(PONG);
    else if (text.startsWith("40") || text.startsWith("43")) this.answer();
    else if (!text.startsWith('42["room')) this.fail(`unexpected frame ${text}`);
  }
}
