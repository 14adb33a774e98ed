import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** Opcodes of RFC 6455. */
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** One frame as a server sent it. */
export interface WireFrame {
  readonly opcode: number;
  readonly payload: Buffer;
  /** Payload as text; of a close frame the reason. */
  readonly text: string;
  /** Close code; 0 on every other frame, 1005 on a close frame without one. */
  readonly code: number;
}

/** The bytes of a frame as a client sends it. Every rule of the protocol can be broken on purpose. */
export function frameBytes(
  opcode: number,
  payload: string | Uint8Array = "",
  options: { readonly fin?: boolean; readonly masked?: boolean; readonly reserved?: number } = {},
): Buffer {
  const { fin = true, masked = true, reserved = 0 } = options;
  const body = Buffer.from(payload);
  const length = body.length < 126 ? 0 : body.length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + length);
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | (length === 0 ? body.length : length === 2 ? 126 : 127);
  if (length === 2) head.writeUInt16BE(body.length, 2);
  if (length === 8) head.writeBigUInt64BE(BigInt(body.length), 2);
  if (!masked) return Buffer.concat([head, body]);
  const mask = randomBytes(4);
  for (let i = 0; i < body.length; i++) body[i] = body[i]! ^ mask[i & 3]!;
  return Buffer.concat([head, mask, body]);
}

/** Reads the frames a server sent; `rest` is the beginning of one that is not complete. */
export function readFrames(bytes: Buffer): { readonly frames: WireFrame[]; readonly rest: Buffer } {
  const frames: WireFrame[] = [];
  let rest = bytes;
  for (;;) {
    let length = (rest[1] ?? 0) & 127;
    const start = length === 126 ? 4 : length === 127 ? 10 : 2;
    if (rest.length < start) return { frames, rest };
    if (start === 4) length = rest.readUInt16BE(2);
    if (start === 10) length = Number(rest.readBigUInt64BE(2));
    if (rest.length < start + length) return { frames, rest };
    const opcode = rest[0]! & 15;
    const payload = rest.subarray(start, start + length);
    const code = opcode !== CLOSE ? 0 : length < 2 ? 1005 : payload.readUInt16BE(0);
    frames.push({ opcode, payload, code, text: payload.subarray(opcode === CLOSE ? 2 : 0).toString() });
    rest = rest.subarray(start + length);
  }
}

/**
 * A WebSocket client on bare TCP, for what no ordinary client does: not reading, breaking the framing, ignoring a close.
 * It answers nothing by itself, pings included, unless `polite`.
 */
export class WireClient {
  /** The server's answer to the upgrade request, without the body. */
  readonly head: string;
  /** Every frame so far. */
  readonly frames: WireFrame[] = [];
  /** Resolves when the connection is gone for good; never rejects. */
  readonly gone: Promise<void>;
  readonly #tcp: Socket;
  readonly #polite: boolean;
  readonly #waiting: (() => void)[] = [];
  #read = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;

  private constructor(tcp: Socket, head: string, rest: Buffer, polite: boolean) {
    this.#tcp = tcp;
    this.#polite = polite;
    this.head = head;
    this.gone = new Promise((resolve) => tcp.once("close", () => resolve()));
    tcp.on("data", (data: Buffer) => this.#take(data));
    for (const event of ["end", "close"]) {
      tcp.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
    this.#take(rest);
  }

  /** Opens a socket to a `ws:` or `http:` URL; resolves with the head of whatever the server answers. */
  static open(
    url: string,
    options: { readonly headers?: Readonly<Record<string, string | null>>; readonly polite?: boolean } = {},
  ): Promise<WireClient> {
    const { hostname, port, pathname, search } = new URL(url);
    const headers: Record<string, string | null> = {
      Host: "test",
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Version": "13",
      ...options.headers,
    };
    const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
    const { promise, resolve, reject } = Promise.withResolvers<WireClient>();
    const tcp = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let bytes: Buffer = Buffer.alloc(0);
    const untilHead = (data: Buffer) => {
      bytes = Buffer.concat([bytes, data]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end === -1) return;
      tcp.off("data", untilHead);
      resolve(new WireClient(tcp, bytes.toString("latin1", 0, end), bytes.subarray(end + 4), options.polite ?? false));
    };
    tcp.on("data", untilHead);
    tcp.once("close", () => reject(new Error("closed before an answer")));
    tcp.on("error", () => {});
    tcp.write(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    return promise;
  }

  /** Status of the answer to the upgrade request; 101 when it is a WebSocket. */
  get status(): number {
    return Number(this.head.split(" ")[1]);
  }

  /** A header of the answer; null when it is not there. */
  header(name: string): string | null {
    const line = this.head.split("\r\n").find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));
    return line?.slice(name.length + 1).trim() ?? null;
  }

  /** Sends text frames, all in one write. */
  send(...texts: string[]): void {
    this.write(Buffer.concat(texts.map((text) => frameBytes(TEXT, text))));
  }

  /** Bytes as they are. Resolves when the system has taken them. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#tcp.write(bytes, () => resolve()));
  }

  /** The next frame not asked for yet; null when the server has ended the connection. */
  async next(): Promise<WireFrame | null> {
    while (this.#read === this.frames.length && !this.#ended) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.frames[this.#read++] ?? null;
  }

  /** Every frame until the server ends the connection. */
  async rest(): Promise<WireFrame[]> {
    const frames: WireFrame[] = [];
    for (let frame = await this.next(); frame; frame = await this.next()) frames.push(frame);
    return frames;
  }

  /** Stops reading, as a client does that hangs. */
  pause(): void {
    this.#tcp.pause();
  }

  resume(): void {
    this.#tcp.resume();
  }

  /** Says that nothing more will be sent (TCP FIN). */
  end(): void {
    this.#tcp.end();
  }

  /** Drops the connection (TCP RST). */
  destroy(): void {
    this.#tcp.resetAndDestroy();
  }

  #take(data: Buffer): void {
    const { frames, rest } = readFrames(Buffer.concat([this.#bytes, data]));
    this.#bytes = rest;
    for (const frame of frames) {
      this.frames.push(frame);
      if (this.#polite && frame.opcode === PING) this.#tcp.write(frameBytes(PONG, frame.payload));
      if (this.#polite && frame.opcode === CLOSE) this.#tcp.end(frameBytes(CLOSE, frame.payload));
      this.#wake();
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
