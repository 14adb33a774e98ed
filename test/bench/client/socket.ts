import type { Socket } from "bun";
import {
  clientFrame,
  deliveryNumber,
  deliverySender,
  deliveryText,
  isDelivery,
  MAX_SENDERS,
  textFrame,
  upgradeRequest,
} from "./frames.ts";
import type { Tally } from "./tally.ts";

/** Where a socket goes: the port, the path, and the headers of its opening request. */
export interface Destination {
  /** Number of the node, where there are several. */
  readonly node?: number;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const CONNECT = textFrame("40");
const PONG = textFrame("3");
const CLOSE = clientFrame(8, new Uint8Array([0x03, 0xe8]));

/**
 * One Socket.IO connection of the load, straight on TCP: a thousand of them in one process must cost less than what they
 * measure, and a WebSocket object with its events for each message costs more.
 */
export class LoadSocket {
  /** Number of the room it joined. */
  room = -1;
  /** Number of the node it is connected to. */
  readonly node: number;
  /** For each sender of the room, the number of the move that comes next. */
  readonly received = new Uint32Array(MAX_SENDERS);
  readonly #tally: Tally;
  readonly #destination: Destination;
  #socket: Socket<LoadSocket> | null = null;
  #unsent: Uint8Array[] = [];
  #rest: Buffer | null = null;
  #upgraded = false;
  #closing = false;
  #checked = false;
  #awaited: PromiseWithResolvers<void> | null = null;
  #farewell: PromiseWithResolvers<number> | null = null;

  constructor(tally: Tally, destination: Destination) {
    this.#tally = tally;
    this.#destination = destination;
    this.node = destination.node ?? 0;
  }

  /** Connects and joins the namespace; resolves when CONNECT is answered. */
  async open(): Promise<void> {
    const { port, path, headers = {} } = this.#destination;
    const answered = this.#await();
    await Bun.connect<LoadSocket>({ hostname: "127.0.0.1", port, data: this, socket: handlers });
    this.send(new TextEncoder().encode(upgradeRequest(path, headers)));
    await answered;
  }

  /** Joins a room; resolves when the server has acknowledged it. */
  join(room: number, name: string): Promise<void> {
    this.room = room;
    this.received.fill(0);
    const answered = this.#await();
    this.send(textFrame(`420["join_room","${name}"]`));
    return answered;
  }

  /** Sends bytes, now or when the server has read what waits before them. */
  send(bytes: Uint8Array): void {
    if (this.#unsent.length > 0) this.#unsent.push(bytes);
    else this.#write(bytes);
  }

  /** Closes by the WebSocket handshake; resolves when the server has closed too, with all its frames read. */
  close(): Promise<void> {
    this.#closing = true;
    const closed = this.#await();
    this.send(CLOSE);
    return closed;
  }

  /** Resolves when the server closes, with its close code; 1006 when it says nothing before it goes. */
  sentAway(): Promise<number> {
    this.#farewell = Promise.withResolvers<number>();
    return this.#farewell.promise;
  }

  opened(socket: Socket<LoadSocket>): void {
    this.#socket = socket;
  }

  ended(reason: string): void {
    this.#socket = null;
    if (this.#farewell) this.#farewell.resolve(1006);
    else if (this.#closing) this.#answer();
    else this.#fail(reason);
  }

  drained(): void {
    const waiting = this.#unsent;
    this.#unsent = [];
    for (const bytes of waiting) this.send(bytes);
  }

  readable(bytes: Buffer): void {
    const now = performance.now();
    const chunk = this.#rest === null ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = this.#upgraded ? 0 : this.#upgrade(chunk);
    while (this.#upgraded && chunk.length - at >= 2) {
      const short = chunk[at + 1]!;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (chunk.length - at < header) break;
      const length = short < 126 ? short : short === 126 ? chunk.readUInt16BE(at + 2) : chunk.readUInt32BE(at + 6);
      if (chunk.length - at < header + length) break;
      const opcode = chunk[at]! & 15;
      const start = at + header;
      if (opcode === 1 && isDelivery(chunk, start, length)) this.#delivery(chunk, start, length, now);
      else this.#frame(opcode, chunk.subarray(start, start + length));
      at = start + length;
    }
    this.#rest = at >= chunk.length ? null : Buffer.from(chunk.subarray(at));
  }

  #delivery(chunk: Buffer, start: number, length: number, now: number): void {
    const sender = deliverySender(chunk, start);
    const number = deliveryNumber(chunk, start);
    // The rest of the bytes is the same each time and is looked at once.
    if (!this.#checked) {
      this.#checked = true;
      const text = chunk.toString("latin1", start, start + length);
      if (text !== deliveryText(sender, number)) this.#tally.fault(`unexpected frame ${text}`);
    }
    this.#tally.received(this, sender, number, now);
  }

  /** Reads the answer to the opening request; returns where the frames begin. */
  #upgrade(chunk: Buffer): number {
    const end = chunk.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    const head = chunk.toString("latin1", 0, end);
    if (!head.startsWith("HTTP/1.1 101 ")) {
      this.#fail(`the upgrade was answered: ${head.split("\r\n", 1)[0]}`);
      return chunk.length;
    }
    this.#upgraded = true;
    return end + 4;
  }

  /** Everything but deliveries: openings, acknowledgements, pings, notices of the room. */
  #frame(opcode: number, payload: Buffer): void {
    if (opcode === 8) {
      if (this.#farewell) this.#farewell.resolve(payload.length < 2 ? 1005 : payload.readUInt16BE(0));
      else if (!this.#closing) this.#fail(`closed by the server: ${payload.toString("utf8", 2)}`);
      this.#socket?.end();
    } else if (opcode === 9) {
      this.send(clientFrame(10, payload));
    } else if (opcode === 1) {
      const text = payload.toString();
      if (text.startsWith("0")) this.send(CONNECT);
      else if (text.startsWith("2")) this.send(PONG);
      else if (text.startsWith("40") || text.startsWith("43")) this.#answer();
      else if (!text.startsWith('42["room')) this.#fail(`unexpected frame ${text}`);
    }
  }

  #write(bytes: Uint8Array): void {
    const written = this.#socket?.write(bytes) ?? 0;
    if (written < bytes.length) this.#unsent.push(written > 0 ? bytes.subarray(written) : bytes);
  }

  #await(): Promise<void> {
    this.#awaited = Promise.withResolvers<void>();
    return this.#awaited.promise;
  }

  #answer(): void {
    this.#awaited?.resolve();
    this.#awaited = null;
  }

  #fail(reason: string): void {
    this.#tally.fault(reason);
    this.#awaited?.reject(new Error(reason));
    this.#awaited = null;
  }
}

const handlers = {
  open: (socket: Socket<LoadSocket>) => socket.data.opened(socket),
  data: (socket: Socket<LoadSocket>, bytes: Buffer) => socket.data.readable(bytes),
  drain: (socket: Socket<LoadSocket>) => socket.data.drained(),
  close: (socket: Socket<LoadSocket>) => socket.data.ended("the connection was cut"),
  end: (socket: Socket<LoadSocket>) => void socket.end(),
  error: (socket: Socket<LoadSocket>, error: Error) => socket.data.ended(error.message),
};
