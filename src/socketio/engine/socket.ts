import { EventEmitter } from "node:events";
import type { Cancel } from "../../clock.ts";
import type { Socket } from "../../websocket.ts";
import { type CloseReason, ENDINGS, type EndedBy, type Ending } from "./ending.ts";
import type { Beating } from "./heartbeat.ts";
import type { Host, Opening } from "./host.ts";
import { CLOSE, type Codec, MESSAGE, type Packet, PING, PONG, type Revision } from "./packet.ts";
import { PollingTransport } from "./polling.ts";
import type { Probe, Upgrading } from "./probe.ts";
import type { EngineRequest } from "./request.ts";
import { revision3 } from "./revision-3.ts";
import { revision4 } from "./revision-4.ts";
import type { Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket.ts";

/** Milliseconds a closing session waits for a client to take what was written, as in engine.io for Node. */
const CLOSE_TIMEOUT = 30_000;

/** A message on its way out. */
export type MessageData = string | ArrayBuffer | ArrayBufferView;

type SocketEvents = {
  /** A message: text, or the bytes of a binary one. */
  data: [data: string | Buffer];
  close: [reason: CloseReason, description?: unknown];
  /** The session moved to a WebSocket. */
  upgrade: [transport: Transport];
  /** Native publishes reach the session from now on, in order with what is written to it. */
  live: [];
  /** Everything written was taken. */
  drain: [];
  /** Never emitted; Socket.IO listens to it. */
  error: [error: Error];
};

/**
 * One Engine.IO session, the `conn` of Socket.IO. Its listeners may throw: that ends this session with the reason
 * `listener fault`, and the engine emits `fault`.
 */
export class EngineSocket extends EventEmitter<SocketEvents> implements Beating, Upgrading {
  readonly id: string;
  readonly protocol: Revision;
  readonly request: EngineRequest;
  readonly remoteAddress: string;
  /** `closing`: nothing more is taken or sent, but what was written still goes out. */
  readyState: "open" | "closing" | "closed" = "open";
  transport: Transport;

  readonly #host: Host;
  #ending: Ending | null = null;
  /** Subscriptions that wait for the session to go live; Bun keeps them from then on. */
  #topics: Set<string> | null = null;
  #probe: Probe | null = null;
  #cancelClose: Cancel | null = null;
  /** How the session ends when everything has been taken. */
  #lastEnding: Ending = ENDINGS.closed;

  constructor(host: Host, opening: Opening) {
    super();
    this.#host = host;
    this.id = opening.id;
    this.protocol = opening.protocol;
    this.request = opening.request;
    this.remoteAddress = opening.address;
    this.transport = opening.ws ? WebSocketTransport.take(opening.ws, this) : new PollingTransport(this);
    host.heartbeat.add(this);
  }

  /** True while the transport is a WebSocket and nothing waits in front of it, so that native publishes keep order. */
  get live(): boolean {
    return this.#native !== null;
  }

  /** Bytes that wait for the client to take them. */
  get bufferedBytes(): number {
    return this.transport.bufferedBytes;
  }

  /** Who ended the session; null while it lives. */
  get endedBy(): EndedBy | null {
    return this.#ending?.by ?? null;
  }

  /** Code of the close frame, sent or received; undefined while the session lives. */
  get closeCode(): number | undefined {
    return this.#ending?.code;
  }

  /** Sends a message. `sent` is called once it was handed to the connection. Does nothing on a session that ends. */
  write(data: MessageData, _options?: unknown, sent?: () => void): this {
    if (this.readyState === "open") {
      this.transport.send(typeof data === "string" ? MESSAGE + data : toBuffer(data), sent);
    }
    return this;
  }

  /** The same as `write`. */
  send(data: MessageData, options?: unknown, sent?: () => void): this {
    return this.write(data, options, sent);
  }

  /** Joins a topic: while live, the session gets what is published there. */
  subscribe(topic: string): void {
    if (this.#native) {
      this.#native.subscribe(this.#host.topic(topic));
    } else if (this.readyState === "open") {
      this.#topics ??= new Set();
      this.#topics.add(topic);
    }
  }

  unsubscribe(topic: string): void {
    if (this.#native) this.#native.unsubscribe(this.#host.topic(topic));
    else this.#topics?.delete(topic);
  }

  /** Publishes a message to every live subscriber of a topic but this session. */
  publish(topic: string, data: string): void {
    // One that is not live is not subscribed either.
    this.#host.publish(topic, data, this.#native);
  }

  /** Ends the session once the client has taken what was written, or at once and without that if `discard`. */
  close(discard = false): void {
    if (discard) this.terminate();
    else this.closeAfterFlush(CLOSE_TIMEOUT);
  }

  /**
   * Ends the session when the client has taken everything written so far, at the latest after `timeout` ms. Nothing is
   * written, published or taken in meanwhile. A WebSocket gets a close frame with this code.
   */
  closeAfterFlush(timeout: number, code: number = ENDINGS.closed.code): void {
    if (this.readyState !== "open") return;
    if (code !== ENDINGS.closed.code) this.#lastEnding = { ...ENDINGS.closed, code };
    const native = this.#native;
    this.readyState = "closing";
    this.#cancelClose = this.#host.settings.clock.after(timeout, () => this.end(this.#lastEnding));
    this.#closeIfFlushed();
    if (native?.readyState === WebSocket.OPEN) for (const topic of native.subscriptions) native.unsubscribe(topic);
  }

  /**
   * Ends the session now; what the client has not taken may be lost to it. A WebSocket gets a close frame with this
   * code and reason, a polling client a close packet at its pending or next poll. Clients report `transport close`.
   */
  terminate(code: number = ENDINGS.closed.code, reason?: string): void {
    this.end({ ...ENDINGS.closed, code, ...(reason !== undefined && { text: reason }) });
  }

  // From here on: for the other parts of the engine.

  /** How this session's revision writes packets. */
  get codec(): Codec {
    return this.protocol === 3 ? revision3 : revision4;
  }

  /** The client asked for binary as base64. */
  get base64(): boolean {
    return Boolean(this.request._query.b64);
  }

  get maxOutboxBytes(): number {
    return this.#host.settings.maxOutboxBytes;
  }

  get maxMessageBytes(): number {
    return this.#host.settings.maxHttpBufferSize;
  }

  /** Takes one packet of the client. */
  receive(packet: Packet): void {
    if (this.readyState === "closed") return;
    this.#host.heartbeat.heard(this);
    switch (packet.type) {
      case MESSAGE:
        if (this.readyState === "open") this.#tell(() => this.emit("data", packet.data));
        break;
      case PING:
        if (this.protocol === 3) this.transport.send(`${PONG}${packet.data}`);
        else this.end(ENDINGS.malformed);
        break;
      case PONG:
        if (this.protocol === 3) this.end(ENDINGS.malformed);
        break;
      case CLOSE:
        this.end(ENDINGS.left);
        break;
    }
  }

  /** For revision 4, by the heartbeat. */
  ping(): void {
    if (this.readyState === "open") this.transport.send(PING);
  }

  /** By the heartbeat. */
  timeOut(): void {
    this.end(ENDINGS.silent);
  }

  /** Lets a WebSocket try to take over; false if there is or was one already. */
  tryUpgrade(probe: Probe): boolean {
    if (this.#probe !== null || !(this.transport instanceof PollingTransport)) return false;
    this.#probe = probe;
    this.#host.probes.set(probe);
    return true;
  }

  probed(): void {
    if (this.transport instanceof PollingTransport) this.transport.hurry(true);
  }

  upgraded(ws: Socket): void {
    if (!(this.transport instanceof PollingTransport)) return;
    this.#dropProbe();
    const { packets, callbacks } = this.transport.release();
    const transport = WebSocketTransport.take(ws, this);
    this.transport = transport;
    for (const packet of packets) transport.send(packet);
    if (this.#topics) for (const topic of this.#topics) this.#native?.subscribe(this.#host.topic(topic));
    this.#topics = null;
    for (const sent of callbacks) this.#tell(sent);
    this.#tell(() => this.emit("upgrade", transport));
    this.announceLive();
    this.#closeIfFlushed();
  }

  probeFailed(probe: Probe): void {
    if (this.#probe !== probe) return;
    this.#dropProbe();
    if (this.transport instanceof PollingTransport) this.transport.hurry(false);
    this.#closeIfFlushed();
  }

  /** Tells listeners that the session is live, if it is. */
  announceLive(): void {
    if (this.live) this.#tell(() => this.emit("live"));
  }

  /** The client has taken everything written; `callbacks` wait for that. */
  drained(callbacks: readonly (() => void)[]): void {
    for (const sent of callbacks) this.#tell(sent);
    if (this.readyState === "open") this.#tell(() => this.emit("drain"));
    this.#closeIfFlushed();
  }

  /** Ends the session; only the first call counts. */
  end(ending: Ending): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.#ending = ending;
    this.#topics = null;
    this.#cancelClose?.();
    this.#host.heartbeat.remove(this);
    const probe = this.#probe;
    this.#dropProbe();
    const told = this.transport.end(ending);
    probe?.cancel(ending.code);
    this.#host.ended(this, ending, told);
    this.#tell(() => this.emit("close", ending.reason, ending.text));
  }

  /** The WebSocket, while native publishes may go to it. */
  get #native(): Socket | null {
    return this.readyState === "open" && this.transport instanceof WebSocketTransport ? this.transport.ws : null;
  }

  #dropProbe(): void {
    if (this.#probe !== null) this.#host.probes.delete(this.#probe);
    this.#probe = null;
  }

  /** A client in the middle of an upgrade has stopped polling; it is told when it has arrived on its WebSocket. */
  #closeIfFlushed(): void {
    if (this.readyState === "closing" && this.#probe === null && this.bufferedBytes === 0) this.end(this.#lastEnding);
  }

  /** Runs what belongs to the application. */
  #tell(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#host.fault(error, this);
      this.end(ENDINGS.fault);
    }
  }
}

function toBuffer(data: ArrayBuffer | ArrayBufferView): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
