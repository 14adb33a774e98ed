import type { Socket } from "bun";
import { clientFrame, upgradeRequest } from "./frames.ts";

/** Where a socket goes: the port, the path, and the headers of its opening request. */
export interface Destination {
  /** Number of the node, where there are several. */
  readonly node?: number;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const CLOSE = clientFrame(8, new Uint8Array([0x03, 0xe8]));

/**
 * One WebSocket of the load, straight on TCP: a thousand of them in one process must cost less than what they measure,
 * and a WebSocket object with its events for each message costs more.
 */
export abstract class WireSocket {
  /** Number of the node it is connected to. */
  readonly node: number;
  readonly #destination: Destination;
  #socket: Socket<WireSocket> | null = null;
  #unsent: Uint8Array[] = [];
  #rest: Buffer | null = null;
  #upgraded = false;
  #closing = false;
  #awaited: PromiseWithResolvers<void> | null = null;
  #farewell: PromiseWithResolvers<number> | null = null;

  constructor(destination: Destination) {
    this.#destination = destination;
    this.node = destination.node ?? 0;
  }

  /** A text frame, whose payload stands in `chunk` from `start` on, came at `now` on the clock of `performance`. */
  protected abstract text(chunk: Buffer, start: number, length: number, now: number): void;

  /** Called with whatever should not have happened. */
  protected abstract fault(reason: string): void;

  /** The upgrade was answered; frames come from now on. */
  protected upgraded(): void {}

  /** Connects; resolves at the next `answer`. */
  async open(): Promise<void> {
    const { port, path, headers = {} } = this.#destination;
    const answered = this.await();
    await Bun.connect<WireSocket>({ hostname: "127.0.0.1", port, data: this, socket: handlers });
    this.send(new TextEncoder().encode(upgradeRequest(path, headers)));
    await answered;
  }

  /** Sends bytes, now or when the server has read what waits before them. */
  send(bytes: Uint8Array): void {
    if (this.#unsent.length > 0) this.#unsent.push(bytes);
    else this.#write(bytes);
  }

  /** Closes by the WebSocket handshake; resolves when the server has closed too, with all its frames read. */
  close(): Promise<void> {
    this.#closing = true;
    const closed = this.await();
    this.send(CLOSE);
    return closed;
  }

  /** Resolves when the server closes, with its close code; 1006 when it says nothing before it goes. */
  sentAway(): Promise<number> {
    this.#farewell = Promise.withResolvers<number>();
    return this.#farewell.promise;
  }

  opened(socket: Socket<WireSocket>): void {
    this.#socket = socket;
  }

  ended(reason: string): void {
    this.#socket = null;
    if (this.#farewell) this.#farewell.resolve(1006);
    else if (this.#closing) this.answer();
    else this.fail(reason);
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
      if (opcode === 1) this.text(chunk, start, length, now);
      else this.#control(opcode, chunk.subarray(start, start + length));
      at = start + length;
    }
    this.#rest = at >= chunk.length ? null : Buffer.from(chunk.subarray(at));
  }

  /** Resolves at the next `answer`. */
  protected await(): Promise<void> {
    this.#awaited = Promise.withResolvers<void>();
    return this.#awaited.promise;
  }

  /** What was waited for has come. */
  protected answer(): void {
    this.#awaited?.resolve();
    this.#awaited = null;
  }

  protected fail(reason: string): void {
    this.fault(reason);
    this.#awaited?.reject(new Error(reason));
    this.#awaited = null;
  }

  /** Reads the answer to the opening request; returns where the frames begin. */
  #upgrade(chunk: Buffer): number {
    const end = chunk.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    const head = chunk.toString("latin1", 0, end);
    if (!head.startsWith("HTTP/1.1 101 ")) {
      this.fail(`the upgrade was answered: ${head.split("\r\n", 1)[0]}`);
      return chunk.length;
    }
    this.#upgraded = true;
    this.upgraded();
    return end + 4;
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === 8) {
      if (this.#farewell) this.#farewell.resolve(payload.length < 2 ? 1005 : payload.readUInt16BE(0));
      else if (!this.#closing) this.fail(`closed by the server: ${payload.toString("utf8", 2)}`);
      this.#socket?.end();
    } else if (opcode === 9) {
      this.send(clientFrame(10, payload));
    }
  }

  #write(bytes: Uint8Array): void {
    const written = this.#socket?.write(bytes) ?? 0;
    if (written < bytes.length) this.#unsent.push(written > 0 ? bytes.subarray(written) : bytes);
  }
}

const handlers = {
  open: (socket: Socket<WireSocket>) => socket.data.opened(socket),
  data: (socket: Socket<WireSocket>, bytes: Buffer) => socket.data.readable(bytes),
  drain: (socket: Socket<WireSocket>) => socket.data.drained(),
  close: (socket: Socket<WireSocket>) => socket.data.ended("the connection was cut"),
  end: (socket: Socket<WireSocket>) => void socket.end(),
  error: (socket: Socket<WireSocket>, error: Error) => socket.data.ended(error.message),
};
