import type { Socket, SocketOwner } from "../../websocket.ts";
import { ABNORMAL, ENDINGS, type Ending } from "./ending.ts";
import type { Outgoing } from "./packet.ts";
import type { EngineSocket } from "./socket.ts";
import type { Transport } from "./transport.ts";

/**
 * Settings for the `websocket` block of the `Bun.serve` an engine runs on. Bun drops what exceeds its limit, and by
 * default says nothing; so the limit must lie well above every `maxOutboxBytes`, and passing it must end the socket.
 * `maxPayloadLength` has to be set to the largest `maxHttpBufferSize` of the process.
 */
export const WEBSOCKET_LIMITS = {
  backpressureLimit: 16 * 1024 * 1024,
  closeOnBackpressureLimit: true,
  perMessageDeflate: false,
} as const;

/**
 * A WebSocket that carries a session. It keeps no queue of its own: Bun's is the only one, so that frames sent and frames
 * published leave in the order of the calls.
 */
export class WebSocketTransport implements Transport, SocketOwner {
  readonly ws: Socket;
  readonly #socket: EngineSocket;
  #callbacks: (() => void)[] | null = null;

  constructor(ws: Socket, socket: EngineSocket) {
    this.ws = ws;
    this.#socket = socket;
  }

  /** Makes a WebSocket the transport of a session and takes over its events. */
  static take(ws: Socket, socket: EngineSocket): WebSocketTransport {
    const transport = new WebSocketTransport(ws, socket);
    ws.data = transport;
    return transport;
  }

  get name(): "websocket" {
    return "websocket";
  }

  get writable(): boolean {
    return this.ws.getBufferedAmount() === 0;
  }

  get bufferedBytes(): number {
    return this.ws.getBufferedAmount();
  }

  send(packet: Outgoing, sent?: () => void): void {
    const status = this.#write(packet);
    if (status > 0 || packet.length === 0) {
      if (sent) queueMicrotask(() => this.#socket.drained([sent]));
    } else if (status === 0) {
      // Dropped: past Bun's own limit. A socket that is gone already has told so by its close event.
      if (this.ws.readyState === WebSocket.OPEN) this.#socket.end(ENDINGS.slow);
    } else {
      if (sent) {
        this.#callbacks ??= [];
        this.#callbacks.push(sent);
      }
      this.checkBacklog();
    }
  }

  /** Ends the session if more waits for the client than it may. Frames published natively pass `send` by. */
  checkBacklog(): void {
    if (this.ws.getBufferedAmount() > this.#socket.maxOutboxBytes) this.#socket.end(ENDINGS.slow);
  }

  end(ending: Ending): boolean {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.close(ending.code, ending.text);
    return true;
  }

  open(): void {}

  message(_ws: Socket, data: string | Buffer): void {
    const socket = this.#socket;
    if (exceeds(data, socket.maxMessageBytes)) {
      socket.end(ENDINGS.oversize);
      return;
    }
    const packet = typeof data === "string" ? socket.codec.decodeText(data) : socket.codec.decodeBinary(data);
    if (packet === null) socket.end(ENDINGS.malformed);
    else socket.receive(packet);
  }

  drain(): void {
    if (this.ws.getBufferedAmount() > 0) return;
    const callbacks = this.#callbacks ?? [];
    this.#callbacks = null;
    this.#socket.drained(callbacks);
  }

  close(_ws: Socket, code: number, text: string): void {
    this.#callbacks = null;
    this.#socket.end(endingOf(code, text));
  }

  #write(packet: Outgoing): number {
    if (typeof packet === "string") return this.ws.sendText(packet);
    const { codec, base64 } = this.#socket;
    return base64 ? this.ws.sendText(codec.encodeBase64(packet)) : this.ws.sendBinary(codec.encodeBinary(packet));
  }
}

/** Compares bytes, but counts those of a text only when its length leaves a doubt. */
function exceeds(data: string | Buffer, limit: number): boolean {
  if (data.length > limit) return true;
  return typeof data === "string" && data.length * 3 > limit && Buffer.byteLength(data) > limit;
}

/** Reads a close event of Bun, which has sentences of its own for what it found wrong itself. */
function endingOf(code: number, text: string): Ending {
  // The client is told 1009 or 1007 in these cases, whatever the event says.
  if (code === ABNORMAL && text === "Received too big message") return ENDINGS.oversize;
  if (code === ABNORMAL && text.startsWith("Received")) return ENDINGS.malformed;
  const by = text === "Server closed" ? "server" : "lost";
  return { reason: "transport close", by, code, text };
}
