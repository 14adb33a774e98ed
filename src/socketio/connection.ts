import type { DisconnectReason, Socket } from "socket.io";
import { Decoder, type Packet, PacketType } from "socket.io-parser";
import type { Cancel } from "../clock.ts";
import { admit } from "./admission.ts";
import { AdmittedPeer } from "./admitted-peer.ts";
import { DRAINED, MALFORMED, NOT_JOINED } from "./close-codes.ts";
import type { Encoded } from "./core.ts";
import type { DeclaredNamespace } from "./declared-namespace.ts";
import type { LeaveReason } from "./endpoint.ts";
import type { EngineSocket } from "./engine/index.ts";
import { SessionHandshake } from "./handshake.ts";
import type { Hub } from "./hub.ts";
import { readAttachment, readPacket } from "./packet-reader.ts";
import { createSocket } from "./peer-socket.ts";

/** Milliseconds a client has to take the last packets before its session is closed (T-2.22). */
const LAST_WORDS = 5_000;

/**
 * One Engine.IO session and the namespaces it has joined.
 *
 * It stands where socket.io has its `Client`, and shows socket.io's `Socket` the same inner side: `_packet`, `_remove`,
 * `_disconnect`, `writeToEngine`. The original cannot wait for `authenticate`, refuse in the ways the contracts ask for
 * or leave the root namespace of revision 3 empty, and it costs an idle connection four bound functions, two maps, a
 * timer and a decoder.
 */
export class Connection {
  readonly conn: EngineSocket;
  readonly #hub: Hub;
  /** One or two, so that a list is smaller and faster than a map. */
  readonly #peers: AdmittedPeer[] = [];
  /** Namespaces that are making up their mind, with what the client sent there meanwhile. */
  #admitting: Map<string, Packet[]> | null = null;
  /** Revision 3 joins the root by itself. Where it is not declared, it is an empty room: no events in or out (V-1.10). */
  readonly #emptyRoot: boolean;
  /** Present while the attachments of a packet come in. */
  #decoder: Decoder | null = null;
  #cancelLinger: Cancel | null = null;
  #draining = false;

  constructor(hub: Hub, conn: EngineSocket) {
    this.#hub = hub;
    this.conn = conn;
    this.#emptyRoot = conn.protocol === 3 && !hub.namespaces.has("/");
    conn.on("data", (message) => this.#received(message));
    conn.on("close", (reason) => this.#closed(reason));
    hub.opened(this);
    if (this.#emptyRoot) this._packet({ type: PacketType.CONNECT, nsp: "/" });
    else if (conn.protocol === 3) this.#connect("/", {});
  }

  /** False when nothing is taken from the client, or sent to it, any more. */
  get open(): boolean {
    return this.conn.readyState === "open";
  }

  /** Ends the session without a DISCONNECT: the client comes back. */
  drop(code?: number): void {
    this.conn.terminate(code);
  }

  /** Ends the session because the node is going. */
  drain(): void {
    this.#draining = true;
    this.drop(DRAINED);
  }

  /** Ends the session over a packet that makes no sense. */
  malformed(): void {
    this.drop(MALFORMED);
  }

  /** Ends the session when the client has taken what was written. */
  finish(code?: number): void {
    this.conn.closeAfterFlush(LAST_WORDS, code);
  }

  /**
   * Gives a client that was refused, and is in no other namespace, this time to leave by itself. Being refused again
   * does not prolong it.
   */
  linger(milliseconds: number): void {
    if (this.#peers.length > 0 || this.#cancelLinger) return;
    this.#hub.unjoined.delete(this);
    this.#cancelLinger = this.#hub.clock.after(milliseconds, () => this.expire());
  }

  /** The time to join a namespace is over. */
  expire(): void {
    if (this.#peers.length === 0) this.drop(NOT_JOINED);
  }

  /** Why a peer leaves, from the reason socket.io gives. */
  leaveReason(reason: string): LeaveReason {
    if (reason === "client namespace disconnect") return "client";
    if (reason === "server namespace disconnect") return "kicked";
    if (this.#draining) return "drain";
    return this.conn.endedBy === "client" ? "client" : "lost";
  }

  /** The namespace admits the client. */
  admitted(namespace: DeclaredNamespace, session: unknown): void {
    const { namespace: nsp } = namespace;
    const waiting = this.#admitting?.get(nsp.name) ?? [];
    this.refused(namespace);
    const socket = createSocket(nsp, this);
    const peer = new AdmittedPeer(this.#hub, this, namespace, socket, session);
    this.#hub.began();
    if (!this.open) {
      peer.left();
      return;
    }
    this.#hub.unjoined.delete(this);
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    this.#peers.push(peer);
    socket.on("disconnecting", disconnecting);
    nsp.sockets.set(socket.id, socket);
    socket._onconnect();
    peer.joined();
    for (const packet of waiting) peer.received(packet);
  }

  /** The namespace does not admit the client. */
  refused(namespace: DeclaredNamespace): void {
    this.#admitting?.delete(namespace.namespace.name);
    if (this.#admitting?.size === 0) this.#admitting = null;
  }

  /** Tells the client that it cannot join. Clients of revision 3 take one value, of any kind. */
  connectError(nsp: string, message: string, details?: unknown): void {
    const withDetails = details === undefined ? { message } : { message, data: details };
    const data = this.conn.protocol === 3 ? (details ?? message) : withDetails;
    this._packet({ type: PacketType.CONNECT_ERROR, nsp, data });
  }

  leaving(socket: Socket, reason: string): void {
    this.#peers.find((peer) => peer.socket === socket)?.leaving(reason);
  }

  /** A namespace is declared no more. Its clients are sent away, to come back to what is there now. */
  undeclared({ namespace: { name } }: DeclaredNamespace): void {
    if (this.#peerIn(name) || this.#admitting?.has(name)) this.drop();
  }

  // From here on: what socket.io's `Socket` and the adapter find on a client.

  get id(): string {
    return this.conn.id;
  }

  get request(): EngineSocket["request"] {
    return this.conn.request;
  }

  _packet(packet: Packet, options: { volatile?: boolean } = {}): void {
    if (!this.open) return;
    if (packet.type === PacketType.EVENT) this.#hub.meters.of(packet.data[0]).sent.value++;
    this.writeToEngine(this.#hub.io.encoder.encode(packet), options);
  }

  writeToEngine(encoded: Encoded, { volatile = false }: { volatile?: boolean }): void {
    // A backlog made by native publishes does not show in `writable`.
    if (volatile && (!this.conn.transport.writable || this.conn.bufferedBytes > 0)) return;
    for (const part of encoded) this.conn.write(part);
  }

  /** socket.io has taken a socket out of its namespace. */
  _remove(socket: Socket): void {
    const index = this.#peers.findIndex((peer) => peer.socket === socket);
    if (index < 0) return;
    const [peer] = this.#peers.splice(index, 1);
    if (this.#peers.length === 0 && this.open) this.#hub.unjoined.set(this);
    peer?.left();
  }

  /** Sends DISCONNECT to every namespace, then closes: clients stay away. */
  _disconnect(code?: number): void {
    for (const { socket } of [...this.#peers]) socket.disconnect();
    this.finish(code);
  }

  #received(message: string | Buffer): void {
    let packet: Packet | null;
    try {
      packet = this.#read(message);
    } catch {
      this.malformed();
      return;
    }
    if (packet) this.#route(packet);
  }

  /** Null while attachments are still to come. Throws on what is no packet. */
  #read(message: string | Buffer): Packet | null {
    const read = this.#decoder ? readAttachment(this.#decoder, message) : readPacket(message);
    if (read instanceof Decoder) {
      if (this.#hub.endpoint.binary === "close") throw new Error("attachments are not taken");
      this.#decoder = read;
    } else if (read) this.#decoder = null;
    return read instanceof Decoder ? null : read;
  }

  #route(packet: Packet): void {
    const [name, query] = this.#namespaceOf(packet.nsp);
    if (name === "/" && this.#emptyRoot) return;
    if (packet.type === PacketType.CONNECT) this.#connect(name, this.conn.protocol === 3 ? query : packet.data);
    else this.#deliver(name, packet);
  }

  /** A client of revision 3 sends credentials as a query behind the name. */
  #namespaceOf(nsp: string): [name: string, query: Record<string, string>] {
    const mark = this.conn.protocol === 3 ? nsp.indexOf("?") : -1;
    return mark < 0 ? [nsp, {}] : [nsp.slice(0, mark), Object.fromEntries(new URLSearchParams(nsp.slice(mark)))];
  }

  #deliver(name: string, packet: Packet): void {
    const peer = this.#peerIn(name);
    const waiting = this.#admitting?.get(name);
    if (peer) peer.received(packet);
    else if (waiting && waiting.length < this.#hub.endpoint.maxInbox) waiting.push(packet);
    // A client may be leaving a namespace that has just put it out.
    else if (packet.type !== PacketType.DISCONNECT) this.malformed();
  }

  #connect(name: string, auth: unknown): void {
    const namespace = this.#hub.namespaces.get(name);
    if (this.#peerIn(name) || this.#admitting?.has(name)) {
      this.malformed();
    } else if (namespace) {
      this.#admitting ??= new Map();
      this.#admitting.set(name, []);
      void admit(this, namespace, new SessionHandshake(this.conn, auth), this.#hub);
    } else {
      this.#hub.meters.refused("namespace");
      this.connectError(name, "Invalid namespace");
    }
  }

  #peerIn(name: string): AdmittedPeer | undefined {
    return this.#peers.find((peer) => peer.socket.nsp.name === name);
  }

  #closed(reason: string): void {
    this.#cancelLinger?.();
    this.#hub.closed(this);
    for (const peer of [...this.#peers]) peer.close(reason as DisconnectReason);
  }
}

/** One listener for all sockets, so that none costs a function of its own. */
function disconnecting(this: Socket, reason: string): void {
  (this.client as unknown as Connection).leaving(this, reason);
}
