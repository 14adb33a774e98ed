import type { Namespace, Socket } from "socket.io";
import type { BroadcastOptions, Room } from "socket.io-adapter";
import { core, type Encoded } from "../core.ts";
import type { Rooms } from "./rooms.ts";

/** Sends a message to every live subscriber of a native topic. */
export interface Publisher {
  publish(topic: string, data: string): void;
}

/** A broadcast that one native topic can carry. */
interface Route {
  /** Undefined for the whole namespace. */
  readonly room: Room | undefined;
  readonly except: Socket | undefined;
}

/**
 * Gets broadcasts to the sockets of one namespace on this node.
 *
 * Every room is a topic, to which its sockets are subscribed once their WebSocket is live. What one topic can express is
 * published once, whatever the number of members, and only sockets that are not live yet get it written. Everything else
 * is written socket by socket: binary and volatile packets, several rooms at once, exceptions beyond one socket.
 */
export class Fanout {
  readonly #namespace: Namespace;
  readonly #rooms: Rooms;
  readonly #engine: Publisher;
  /** Topic of the whole namespace. Nobody listens to it before the first broadcast to everybody. */
  readonly #everybody: string;
  #everybodyListens = false;
  /**
   * Connected sockets that were not live when last looked at. A live socket stays live until it closes, so none ever
   * has to be put back.
   */
  readonly #unsettled = new Set<Socket>();

  constructor(namespace: Namespace, rooms: Rooms, engine: Publisher) {
    this.#namespace = namespace;
    this.#rooms = rooms;
    this.#engine = engine;
    this.#everybody = namespace.name;
  }

  /** A socket is connected. It may have joined rooms while it was still being admitted. */
  connected(socket: Socket): void {
    for (const room of this.#rooms.roomsOf(socket.id)) {
      if (room !== socket.id) this.joined(socket, room);
    }
    const { conn } = core(socket);
    if (this.#everybodyListens) conn.subscribe(this.#everybody);
    if (!conn.live) this.#unsettled.add(socket);
  }

  disconnected(socket: Socket): void {
    this.#unsettled.delete(socket);
    if (this.#everybodyListens) core(socket).conn.unsubscribe(this.#everybody);
  }

  /** A connected socket joined a room that is not its own. */
  joined(socket: Socket, room: Room): void {
    core(socket).conn.subscribe(this.#topic(room));
  }

  left(socket: Socket, room: Room): void {
    core(socket).conn.unsubscribe(this.#topic(room));
  }

  /** Every connected socket of this node the options choose, once. */
  chosen({ rooms, except }: BroadcastOptions): Socket[] {
    const ids = new Set(rooms.size === 0 ? this.#rooms.ids() : []);
    for (const room of rooms) for (const id of this.#rooms.idsIn(room)) ids.add(id);
    for (const room of except ?? []) for (const id of this.#rooms.idsIn(room)) ids.delete(id);
    const { sockets } = this.#namespace;
    return [...ids].map((id) => sockets.get(id)).filter((socket) => socket !== undefined);
  }

  /** Sends an encoded packet to the chosen sockets; returns how many they were. */
  deliver(encoded: Encoded, options: BroadcastOptions): number {
    const volatile = options.flags?.volatile === true;
    const route = encoded.length === 1 && !volatile ? this.#route(options) : null;
    if (route) return this.#publish(encoded, route);
    const sockets = this.chosen(options);
    for (const socket of sockets) core(socket).client.writeToEngine(encoded, { volatile });
    return sockets.length;
  }

  /** The line feed keeps apart what neither a namespace nor a room may have in its name. */
  #topic(room: Room): string {
    return `${this.#everybody}\n${room}`;
  }

  /** Null when no single topic reaches exactly the chosen sockets. */
  #route({ rooms, except }: BroadcastOptions): Route | null {
    if (rooms.size > 1) return null;
    const [room] = rooms;
    // A socket does not listen to a topic of its own room: that would cost each of them a subscription.
    if (room !== undefined && this.#rooms.has(room, room)) return null;
    let excluded: string | undefined;
    for (const name of except ?? []) {
      const size = this.#rooms.size(name);
      if (size === 0) continue;
      if (size > 1 || excluded !== undefined) return null;
      [excluded] = this.#rooms.idsIn(name);
    }
    return { room, except: excluded === undefined ? undefined : this.#namespace.sockets.get(excluded) };
  }

  #publish(encoded: Encoded, { room, except }: Route): number {
    const size = room === undefined ? this.#rooms.population : this.#rooms.size(room);
    if (size === 0) return 0;
    if (room === undefined) this.#listenToEverybody();
    const topic = room === undefined ? this.#everybody : this.#topic(room);
    const text = encoded[0] as string;
    const spared = except !== undefined && (room === undefined || this.#rooms.has(except.id, room));
    if (spared) core(except).conn.publish(topic, text);
    else this.#engine.publish(topic, text);
    for (const socket of this.#unsettledIn(room)) {
      if (socket !== except) core(socket).client.writeToEngine(encoded, {});
    }
    return spared ? size - 1 : size;
  }

  #listenToEverybody(): void {
    if (this.#everybodyListens) return;
    this.#everybodyListens = true;
    for (const socket of this.#namespace.sockets.values()) core(socket).conn.subscribe(this.#everybody);
  }

  /** Sockets in a room that native topics do not reach, found from the smaller side. */
  #unsettledIn(room: Room | undefined): Socket[] {
    const found: Socket[] = [];
    const { sockets } = this.#namespace;
    if (room !== undefined && this.#rooms.size(room) < this.#unsettled.size) {
      for (const id of this.#rooms.idsIn(room)) {
        const socket = sockets.get(id);
        if (socket && !core(socket).conn.live) found.push(socket);
      }
      return found;
    }
    for (const socket of this.#unsettled) {
      if (core(socket).conn.live) this.#unsettled.delete(socket);
      else if (room === undefined || this.#rooms.has(socket.id, room)) found.push(socket);
    }
    return found;
  }
}
