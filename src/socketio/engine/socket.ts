import { EventEmitter } from "node:events";
import type { Cancel } from "../../clock.ts";
import type { Socket } from "../../websocket.ts";
import type { Deadlines } from "./deadlines.ts";
import { type CloseReason, ENDINGS, type EndedBy, type Ending } from "./ending.ts";
import type { Beating, Heartbeat } from "./heartbeat.ts";
import type { Settings } from "./options.ts";
import { CLOSE, type Codec, MESSAGE, type Packet, PING, PONG, type Revision } from "./packet.ts";
import { PollingTransport } from "./polling.ts";
import type { Probe, Upgrading } from "./probe.ts";
import type { EngineRequest } from "./request.ts";
import { revision3 } from "./revision-3.ts";
import { revision4 } from "./revision-4.ts";
import type { Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket.ts";

/** What a session needs of its engine. */
export interface Host {
  readonly settings: Settings;
  readonly heartbeat: Heartbeat;
  readonly probes: Deadlines<Probe>;
  /** The name a topic of this engine has on the Bun server. */
  topic(name: string): string;
  publish(topic: string, data: string): void;
  /** The session is over. `untold` when its client polls and has still to be told so. */
  ended(socket: EngineSocket, untold: boolean): void;
  /** A listener threw. */
  fault(error: unknown, socket: EngineSocket): void;
}

/** How a session comes into being. */
export interface Opening {
  readonly id: string;
  readonly protocol: Revision;
  readonly request: EngineRequest;
  readonly address: string;
  /** The WebSocket it opens on; without one it starts on polling. */
  readonly ws?: Socket;
}

/** Milliseconds a closing session waits for a client to take what was written, as in engine.io for Node. */
const CLOSE_TIMEOUT = 30_000;

/** Endings a polling client without a pending poll learns of at its next one; after others it finds its sid unknown. */
const TOLD_LATER: ReadonlySet<CloseReason> = new Set<CloseReason>(["forced close", "slow reader"]);

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

/** One Engine.IO session: the `conn` of Socket.IO. */
export class EngineSocket extends EventEmitter<SocketEvents> implements Beating, Upgrading {
  readonly id: string;
  readonly protocol: Revision;
  readonly request: EngineRequest;
  readonly remoteAddress: string;
  /** `closing`: nothing more is taken or sent, but what was written still goes out. */
  readyState: "open" | "closing" | "closed" = "open";
  transport: Transport;
  /** Who ended the session; null while it lives. */
  endedBy: EndedBy | null = null;
  /** Code of the close frame, sent or received. */
  closeCode: number | undefined = undefined;

  readonly #host: Host;
  /** Subscriptions that wait for the session to go live; Bun keeps them from then on. */
  #topics: Set<string> | null = null;
  #probe: Probe | null = null;
  #cancelClose: Cancel | null = null;

  constructor(host: Host, opening: Opening) {
    super();
    this.#host = host;
    this.id = opening.id;
    this.protocol = opening.protocol;
    this.request = opening.request;
    this.remoteAddress = opening.address;
    if (opening.ws) {
      const transport = new WebSocketTransport(this, opening.ws);
      opening.ws.data = transport;
      this.transport = transport;
    } else {
      this.transport = new PollingTransport(this);
    }
    host.heartbeat.add(this);
  }

  /** True while the transport is a WebSocket and nothing waits in front of it, so that native publishes keep order. */
  get live(): boolean {
    return this.readyState === "open" && this.transport instanceof WebSocketTransport;
  }

  /** Bytes that wait for the client to take them. */
  get bufferedBytes(): number {
    return this.transport.bufferedBytes;
  }

  /** Sends a message. `sent` is called once it was handed to the connection. Does nothing on a session that ends. */
  write(data: string | ArrayBuffer | ArrayBufferView, _options?: unknown, sent?: () => void): this {
    if (this.readyState === "open") {
      this.transport.send(typeof data === "string" ? MESSAGE + data : toBuffer(data), sent);
    }
    return this;
  }

  /** The same as `write`. */
  send(data: string | ArrayBuffer | ArrayBufferView, options?: unknown, sent?: () => void): this {
    return this.write(data, options, sent);
  }

  /** Joins a topic: once live, the session gets what is published there. */
  subscribe(topic: string): void {
    if (this.#native) this.#native.subscribe(this.#host.topic(topic));
    else if (this.readyState === "open") {
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
    if (this.#native) this.#native.publish(this.#host.topic(topic), MESSAGE + data);
    else this.#host.publish(topic, data);
  }

  /** Ends the session once the client has taken what was written, or at once and without that if `discard`. */
  close(discard = false): void {
    if (discard) this.terminate();
    else this.closeAfterFlush(CLOSE_TIMEOUT);
  }

  /**
   * Ends the session when the client has taken everything written so far, at the latest after `timeout` ms. Nothing is
   * written or taken in meanwhile.
   */
  closeAfterFlush(timeout: number): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.#cancelClose = this.#host.settings.clock.after(timeout, () => this.end(ENDINGS.closed));
    this.#closeIfFlushed();
  }

  /**
   * Ends the session now; what the client has not taken is lost to it. A WebSocket gets a close frame with this code
   * and reason, a polling client a close packet at its pending or next poll. Clients report `transport close`.
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
    this.#host.heartbeat.heard(this, packet.type);
    switch (packet.type) {
      case MESSAGE:
        if (this.readyState === "open") this.#guard(() => this.emit("data", packet.data));
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

  ping(): void {
    if (this.readyState === "open") this.transport.send(PING);
  }

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
    const transport = new WebSocketTransport(this, ws);
    ws.data = transport;
    this.transport = transport;
    for (const packet of packets) transport.send(packet);
    for (const sent of callbacks) this.confirm(sent);
    this.#goLive();
    this.#guard(() => this.emit("upgrade", transport));
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
    if (this.live) this.#guard(() => this.emit("live"));
  }

  confirm(sent: () => void): void {
    this.#guard(sent);
  }

  /** Everything written was taken. */
  drained(callbacks: readonly (() => void)[]): void {
    for (const sent of callbacks) this.confirm(sent);
    if (this.readyState === "open") this.#guard(() => this.emit("drain"));
    this.#closeIfFlushed();
  }

  /** Ends the session; only the first call counts. */
  end(ending: Ending): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.endedBy = ending.by;
    this.closeCode = ending.code;
    this.#cancelClose?.();
    this.#topics = null;
    this.#host.heartbeat.remove(this);
    const told = this.transport.end(ending);
    this.#host.ended(this, !told && TOLD_LATER.has(ending.reason));
    const probe = this.#probe;
    this.#dropProbe();
    probe?.cancel(ending.code);
    this.#guard(() => this.emit("close", ending.reason, ending.text));
  }

  get #native(): Socket | null {
    return this.live ? (this.transport as WebSocketTransport).ws : null;
  }

  #goLive(): void {
    const topics = this.#topics;
    this.#topics = null;
    if (topics) for (const topic of topics) this.#native?.subscribe(this.#host.topic(topic));
  }

  #dropProbe(): void {
    if (this.#probe !== null) this.#host.probes.delete(this.#probe);
    this.#probe = null;
  }

  /** A client in the middle of an upgrade polls no more; it is told when it has arrived on its WebSocket. */
  #closeIfFlushed(): void {
    if (this.readyState === "closing" && this.#probe === null && this.bufferedBytes === 0) this.end(ENDINGS.closed);
  }

  #guard(task: () => void): void {
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
