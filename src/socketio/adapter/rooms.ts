import type { Room, SocketId } from "socket.io-adapter";
import { ComputedMap } from "./computed-map.ts";

/** What a change did: to nothing, to one membership, or to the room's existence as well. */
export type Change = "none" | "member" | "room";

/**
 * Who is in which room of one namespace.
 *
 * Socket.IO puts every socket into a room of its own id. Most sockets never join another, so that room is not stored: a
 * socket that is only there has `null` instead of a set, and a room without a set holds at most the socket it is named
 * after. Both become sets as soon as somebody joins, or looks at them through {@link byRoom} or {@link bySocket}.
 */
export class Rooms {
  /** `adapter.rooms` as Socket.IO promises it. */
  readonly byRoom: Map<Room, Set<SocketId>>;
  /** `adapter.sids` as Socket.IO promises it. */
  readonly bySocket: Map<SocketId, Set<Room>>;
  readonly #sockets = new Map<SocketId, Set<Room> | null>();
  readonly #rooms = new Map<Room, Set<SocketId>>();

  constructor() {
    this.byRoom = new ComputedMap(
      (room) => this.#roomSet(room),
      () => this.#everyRoom(),
    );
    this.bySocket = new ComputedMap(
      (id) => this.#socketSet(id),
      () => this.#everySocket(),
    );
  }

  /** Every socket that joined a room and was not removed. */
  ids(): Iterable<SocketId> {
    return this.#sockets.keys();
  }

  /** How many sockets there are. */
  get population(): number {
    return this.#sockets.size;
  }

  has(id: SocketId, room: Room): boolean {
    const joined = this.#sockets.get(id);
    return joined === null ? id === room : joined?.has(room) === true;
  }

  /** How many sockets are in a room. */
  size(room: Room): number {
    return this.#rooms.get(room)?.size ?? (this.has(room, room) ? 1 : 0);
  }

  /** The sockets in a room. */
  idsIn(room: Room): Iterable<SocketId> {
    return this.#rooms.get(room) ?? (this.has(room, room) ? [room] : []);
  }

  /** The rooms of a socket. */
  roomsOf(id: SocketId): Iterable<Room> {
    const joined = this.#sockets.get(id);
    return joined === null ? [id] : (joined ?? []);
  }

  /** "room" when the room came to life with it, "member" when it was there, "none" when the socket was inside. */
  add(id: SocketId, room: Room): Change {
    if (this.has(id, room)) return "none";
    const change = this.size(room) === 0 ? "room" : "member";
    if (id !== room || this.#rooms.has(room)) {
      const members = this.#rooms.get(room) ?? this.#store(room);
      members.add(id);
    }
    const joined = this.#sockets.get(id);
    if (joined) joined.add(room);
    else if (joined === null) this.#sockets.set(id, new Set([id, room]));
    else this.#sockets.set(id, id === room ? null : new Set([room]));
    return change;
  }

  /** "room" when the room ended with it, "member" when others remain, "none" when the socket was not inside. */
  delete(id: SocketId, room: Room): Change {
    if (!this.has(id, room)) return "none";
    const joined = this.#sockets.get(id);
    if (joined) joined.delete(room);
    else this.#sockets.set(id, new Set());
    return this.#leave(id, room);
  }

  /** Removes a socket from all of its rooms and tells which they were. */
  remove(id: SocketId, left: (room: Room, change: Change) => void): void {
    const rooms = this.roomsOf(id);
    this.#sockets.delete(id);
    for (const room of rooms) left(room, this.#leave(id, room));
  }

  #leave(id: SocketId, room: Room): Change {
    const members = this.#rooms.get(room);
    members?.delete(id);
    if (members !== undefined && members.size > 0) return "member";
    this.#rooms.delete(room);
    return "room";
  }

  #store(room: Room): Set<SocketId> {
    const members = new Set(this.idsIn(room));
    this.#rooms.set(room, members);
    return members;
  }

  #roomSet(room: Room): Set<SocketId> | undefined {
    return this.#rooms.get(room) ?? (this.has(room, room) ? this.#store(room) : undefined);
  }

  #socketSet(id: SocketId): Set<Room> | undefined {
    const joined = this.#sockets.get(id);
    if (joined !== null) return joined;
    const own = new Set([id]);
    this.#sockets.set(id, own);
    return own;
  }

  *#everyRoom(): Generator<[Room, Set<SocketId>], undefined> {
    yield* this.#rooms;
    for (const id of this.#sockets.keys()) {
      if (this.has(id, id) && !this.#rooms.has(id)) yield [id, new Set([id])];
    }
  }

  *#everySocket(): Generator<[SocketId, Set<Room>], undefined> {
    for (const [id, joined] of this.#sockets) yield [id, joined ?? new Set([id])];
  }
}
