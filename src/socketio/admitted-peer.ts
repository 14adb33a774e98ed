import type { DisconnectReason, Socket } from "socket.io";
import { type Packet, PacketType } from "socket.io-parser";
import { safeParse } from "valibot";
import { TOO_MANY_EVENTS } from "./close-codes.ts";
import type { Connection } from "./connection.ts";
import type { DeclaredNamespace } from "./declared-namespace.ts";
import { type Acknowledge, type LeaveReason, type Peer, unwanted } from "./endpoint.ts";
import type { Hub } from "./hub.ts";
import { SerialInbox } from "./serial-inbox.ts";

/** Event names with a meaning of their own in Socket.IO. */
const RESERVED = new Set(["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]);

/** First in every inbox: the turn of `joined`. */
const JOINED = Symbol("joined");

/** How a peer left: why, and the rooms it was in. */
interface Departure {
  readonly reason: LeaveReason;
  readonly rooms: ReadonlySet<string>;
}

/** One admitted connection to a namespace: takes its events in order, and leaves once. */
export class AdmittedPeer extends SerialInbox<Packet | typeof JOINED> implements Peer<unknown> {
  readonly socket: Socket;
  readonly session: unknown;
  readonly #namespace: DeclaredNamespace;
  readonly #hub: Hub;
  readonly #connection: Connection;
  /** When the bucket of events will be full again, in epoch ms. */
  #bucketFull = 0;
  /** Set when the client or its transport has gone. What it sent before is still handled. */
  #closing: DisconnectReason | null = null;
  #departure: Departure | null = null;
  #out = false;

  constructor(hub: Hub, connection: Connection, namespace: DeclaredNamespace, socket: Socket, session: unknown) {
    super();
    this.#hub = hub;
    this.#connection = connection;
    this.#namespace = namespace;
    this.socket = socket;
    this.session = session;
  }

  get id(): string {
    return this.socket.id;
  }

  get revision(): 3 | 4 {
    return this.#connection.conn.protocol;
  }

  get address(): string {
    return this.#connection.conn.remoteAddress;
  }

  emit(event: string, ...args: unknown[]): void {
    this.socket.emit(event, ...args);
  }

  kick(event?: string, ...args: unknown[]): void {
    if (event !== undefined) this.emit(event, ...args);
    this.#connection._disconnect();
  }

  expel(code: number): void {
    this.#connection._disconnect(code);
  }

  drop(code?: number): void {
    this.clear();
    this.#connection.drop(code);
  }

  dismiss(event: string, ...args: unknown[]): void {
    this.emit(event, ...args);
    this.clear();
    this.#connection.finish();
  }

  /** The accept packet is on its way. */
  joined(): void {
    this.put(JOINED);
  }

  /** Takes a packet of the client. */
  received(packet: Packet): void {
    if (this.#closing !== null) return;
    if (packet.type === PacketType.EVENT) this.#arrived(packet);
    else if (packet.type === PacketType.ACK) this.#acknowledged(packet);
    else this.close("client namespace disconnect");
  }

  /** The client has left or its transport is gone: the peer leaves as soon as what it sent before is handled. */
  close(reason: DisconnectReason): void {
    this.#closing ??= reason;
    if (!this.busy) this.idle();
  }

  /** socket.io begins to take the socket out: the last moment at which its rooms can be seen. */
  leaving(reason: string): void {
    this.#departure ??= { reason: this.#connection.leaveReason(reason), rooms: this.socket.rooms };
    // Something waits only if the server put the client out: then its events do not count any more.
    this.clear();
  }

  /** socket.io has taken the socket out of everything, or it never got in. */
  left(): void {
    this.#departure ??= { reason: this.#connection.leaveReason("transport close"), rooms: new Set() };
    this.#out = true;
    if (!this.busy) this.idle();
  }

  protected override idle(): void {
    if (this.#departure === null) {
      if (this.#closing !== null) this.socket._onclose(this.#closing);
    } else if (this.#out) {
      this.#out = false;
      void this.#tellLeft(this.#departure);
    }
  }

  protected override handle(item: Packet | typeof JOINED): void | Promise<void> {
    if (item === JOINED) return this.#run("joined", unwanted, () => this.#namespace.declaration.joined?.(this));
    const acknowledge = this.#acknowledgement(item);
    return this.#run(String(item.data[0]), acknowledge, () => this.#dispatch(item, acknowledge));
  }

  #dispatch({ data }: Packet, acknowledge: Acknowledge): void | Promise<void> {
    const [name, ...args]: [string | number, ...unknown[]] = data;
    const event = typeof name === "string" ? this.#namespace.event(name) : undefined;
    if (!event) return this.#namespace.declaration.unknown?.(this, String(name), args, acknowledge);
    const input = safeParse(event.schema, args[0]);
    return input.success ? event.run(this, input.output, acknowledge) : event.invalid(this, acknowledge);
  }

  /** Runs one turn. Whatever goes wrong in it ends here. */
  #run(name: string, acknowledge: Acknowledge, turn: () => void | Promise<void>): void | Promise<void> {
    const started = performance.now();
    try {
      const running = turn();
      if (running) return this.#finish(name, acknowledge, running, started);
    } catch (error) {
      this.#failed(name, error, acknowledge);
    }
    this.#hub.meters.handled(name, started);
  }

  async #finish(name: string, acknowledge: Acknowledge, running: Promise<void>, started: number): Promise<void> {
    try {
      await running;
    } catch (error) {
      this.#failed(name, error, acknowledge);
    }
    this.#hub.meters.handled(name, started);
  }

  #failed(event: string, error: unknown, acknowledge: Acknowledge): void {
    const { log, meters } = this.#hub;
    const { failed } = this.#namespace.declaration;
    meters.faults.value++;
    try {
      if (failed) failed(this, event, error, acknowledge);
      else log.error({ event, error }, "handler failed");
    } catch (fault) {
      log.error({ event, error: fault }, "failure hook failed");
    }
  }

  async #tellLeft({ reason, rooms }: Departure): Promise<void> {
    try {
      await this.#namespace.declaration.left?.(this, reason, rooms);
    } catch (error) {
      this.#hub.log.error({ error }, "left failed");
    }
    this.#hub.finished();
  }

  #arrived(packet: Packet): void {
    const name: string | number = packet.data[0];
    if (this.#isForbidden(name)) this.#connection.malformed();
    else this.#counted(String(name), packet);
  }

  #counted(event: string, packet: Packet): void {
    const { endpoint, meters } = this.#hub;
    const { rate } = this.#namespace.declaration;
    meters.of(event).received.value++;
    const wait = rate ? this.#take(rate) : 0;
    if (wait > 0) this.#limited(event, wait, packet);
    else if (this.waiting < endpoint.maxInbox) this.put(packet);
    else if (endpoint.inboxOverflow === "kick") this.kick();
    else this.drop(TOO_MANY_EVENTS);
  }

  #isForbidden(name: string | number): boolean {
    const { numericNames = "close", reservedNames = "unknown" } = this.#namespace.declaration;
    if (typeof name === "number") return numericNames === "close";
    return reservedNames === "close" && RESERVED.has(name);
  }

  /** Takes a token if there is one; else the time in ms until there is. */
  #take({ perSecond, burst }: { perSecond: number; burst: number }): number {
    const now = this.#hub.clock.elapsed();
    const token = 1000 / perSecond;
    const full = Math.max(this.#bucketFull, now);
    const wait = full - now - (burst - 1) * token;
    if (wait <= 0) this.#bucketFull = full + token;
    return Math.max(0, wait);
  }

  #limited(event: string, wait: number, packet: Packet): void {
    this.#hub.meters.limited.value++;
    try {
      const [, ...args]: unknown[] = packet.data;
      this.#namespace.declaration.limited?.(this, event, wait, this.#acknowledgement(packet), args);
    } catch (error) {
      this.#hub.log.error({ event, error }, "rate hook failed");
    }
  }

  #acknowledgement({ id }: Packet): Acknowledge {
    if (id === undefined) return unwanted;
    let sent = false;
    return (...data) => {
      if (sent || !this.socket.connected) return;
      sent = true;
      this.#connection._packet({ type: PacketType.ACK, nsp: this.socket.nsp.name, id, data });
    };
  }

  /** The client acknowledges something that was emitted to it. */
  #acknowledged(packet: Packet): void {
    try {
      this.socket._onpacket(packet);
    } catch (error) {
      this.#hub.log.error({ error }, "acknowledgement failed");
    }
  }
}
