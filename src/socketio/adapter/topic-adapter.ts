import type { Namespace, Socket } from "socket.io";
import { Adapter, type BroadcastOptions, type Room, type SocketId } from "socket.io-adapter";
import type { Packet } from "socket.io-parser";
import { core, type Encoded } from "../core.ts";
import { Cluster, type ClusterParts } from "./cluster.ts";
import { Fanout, type Publisher } from "./fanout.ts";
import type { LocalSide } from "./local-side.ts";
import { MissingAnswers } from "./requests.ts";
import { type Change, Rooms } from "./rooms.ts";

/** What an adapter stands on. */
export interface AdapterParts extends ClusterParts {
  readonly engine: Publisher;
  /** Hears of every broadcast delivered here: its text, how many sockets it was for, the milliseconds it took. */
  readonly delivered?: (text: string, sockets: number, milliseconds: number) => void;
}

/**
 * A Socket.IO adapter on Bun's native publish: rooms are topics (see {@link Fanout}), other nodes are reached through
 * the backplane (see {@link Cluster}). It keeps every promise of socket.io's own adapter but one: listeners of
 * `onAnyOutgoing` do not hear broadcasts, since those do not pass by the sockets one after the other.
 */
export class TopicAdapter extends Adapter implements LocalSide {
  declare readonly nsp: Namespace;
  readonly #parts: AdapterParts;
  readonly #rooms = new Rooms();
  readonly #fanout: Fanout;
  readonly #cluster: Cluster;

  constructor(namespace: Namespace, parts: AdapterParts) {
    super(namespace);
    this.#parts = parts;
    this.#fanout = new Fanout(namespace, this.#rooms, parts.engine);
    this.#cluster = new Cluster(this, parts);
    this.rooms = this.#rooms.byRoom;
    this.sids = this.#rooms.bySocket;
  }

  override init(): void {
    this.#cluster.open();
  }

  override close(): Promise<void> {
    return this.#cluster.close();
  }

  /** Never rejects, since socket.io does not expect it to: without the backplane this node stands alone. */
  override async serverCount(): Promise<number> {
    const others = await this.#cluster.others().catch(() => null);
    return 1 + (others?.size ?? 0);
  }

  override addAll(id: SocketId, rooms: Set<Room>): void {
    const socket = this.nsp.sockets.get(id);
    for (const room of rooms) {
      const change = this.#rooms.add(id, room);
      if (change === "none") continue;
      // A socket may join rooms while it is being admitted. That it joins its own room is the sign that it is connected.
      if (socket && room === id) this.#fanout.connected(socket);
      else if (socket) this.#fanout.joined(socket, room);
      if (change === "room") this.emit("create-room", room);
      this.emit("join-room", room, id);
    }
  }

  override del(id: SocketId, room: Room): void {
    this.#left(id, room, this.#rooms.delete(id, room));
  }

  override delAll(id: SocketId): void {
    const socket = this.nsp.sockets.get(id);
    if (socket) this.#fanout.disconnected(socket);
    this.#rooms.remove(id, (room, change) => this.#left(id, room, change));
  }

  override socketRooms(id: SocketId): Set<Room> | undefined {
    return this.sids.get(id);
  }

  /** The rooms of a socket. Unlike `socketRooms` it leaves nothing behind for a socket that joined none. */
  roomsOf(id: SocketId): Iterable<Room> {
    return this.#rooms.roomsOf(id);
  }

  override broadcast(packet: Packet, options: BroadcastOptions): void {
    const encoded = this.#encode(packet);
    if (!options.flags?.local) this.#cluster.emit(encoded, options);
    this.deliver(encoded, options);
  }

  override broadcastWithAck(
    packet: Packet,
    options: BroadcastOptions,
    clients: (count: number) => void,
    answer: (value: unknown) => void,
  ): void {
    if (!options.flags?.local) this.#cluster.ask(this.#encode(packet), options, clients, answer);
    clients(this.deliverWithAck(packet, options, answer));
  }

  override async sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const sockets = await this.fetchSockets({ rooms });
    return new Set(sockets.map((socket) => socket.id));
  }

  override async fetchSockets(options: BroadcastOptions): Promise<{ id: SocketId }[]> {
    const here = this.chosen(options);
    return options.flags?.local ? here : [...here, ...(await this.#cluster.fetch(options))];
  }

  override addSockets(options: BroadcastOptions, rooms: Room[]): void {
    if (!options.flags?.local) this.#cluster.join(options, rooms);
    for (const socket of this.chosen(options)) socket.join(rooms);
  }

  override delSockets(options: BroadcastOptions, rooms: Room[]): void {
    if (!options.flags?.local) this.#cluster.leave(options, rooms);
    for (const socket of this.chosen(options)) {
      for (const room of rooms) socket.leave(room);
    }
  }

  override disconnectSockets(options: BroadcastOptions, close: boolean): void {
    if (!options.flags?.local) this.#cluster.disconnect(options, close);
    for (const socket of this.chosen(options)) socket.disconnect(close);
  }

  override serverSideEmit(packet: unknown[]): void {
    const acknowledge = packet.at(-1);
    if (typeof acknowledge === "function") this.#serverSideEmitWithAck(packet.slice(0, -1), acknowledge);
    else this.#cluster.event(packet);
  }

  /** Delivers an encoded packet to the chosen sockets of this node. */
  deliver(encoded: Encoded, options: BroadcastOptions): void {
    const started = performance.now();
    const sockets = this.#fanout.deliver(encoded, options);
    this.#parts.delivered?.(String(encoded[0]), sockets, performance.now() - started);
  }

  /** Delivers to the chosen sockets of this node and hands on what they acknowledge; returns how many they are. */
  deliverWithAck(packet: Packet, options: BroadcastOptions, answer: (value: unknown) => void): number {
    const { volatile = false, timeout } = options.flags ?? {};
    const id = this.nsp._ids++;
    // The packet keeps the id: socket.io looks for it there when the time for acknowledgements is over.
    packet.id = id;
    const encoded = this.#encode(packet);
    const sockets = this.chosen(options).map(core);
    for (const { acks, client } of sockets) {
      acks.set(id, answer);
      client.writeToEngine(encoded, { volatile });
    }
    if (timeout !== undefined) {
      this.#parts.clock.after(timeout, () => {
        for (const { acks } of sockets) acks.delete(id);
      });
    }
    return sockets.length;
  }

  chosen(options: BroadcastOptions): Socket[] {
    return this.#fanout.chosen(options);
  }

  #encode(packet: Packet): Encoded {
    packet.nsp = this.nsp.name;
    return this.nsp.server.encoder.encode(packet);
  }

  #serverSideEmitWithAck(values: unknown[], acknowledge: CallableFunction): void {
    this.#cluster
      .eventWithAck(values)
      .then(
        (answers) => acknowledge(null, answers),
        (error) => acknowledge(error, error instanceof MissingAnswers ? error.answers : []),
      )
      .catch((error) => this.#parts.log.error({ error }, "acknowledgement of a server-side event failed"));
  }

  #left(id: SocketId, room: Room, change: Change): void {
    if (change === "none") return;
    const socket = this.nsp.sockets.get(id);
    if (socket && room !== id) this.#fanout.left(socket, room);
    this.emit("leave-room", room, id);
    if (change === "room") this.emit("delete-room", room);
  }
}
