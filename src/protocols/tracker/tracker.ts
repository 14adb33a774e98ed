import type { Log } from "../../observe/log.ts";
import type { LeaveReason } from "../../socketio/endpoint.ts";
import type { Counters } from "./counters.ts";
import { errors, isOutage } from "./errors.ts";
import type { Guesses } from "./guesses.ts";
import { limitFault } from "./limits.ts";
import type { Members } from "./members.ts";
import type { Move } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { Positions } from "./positions.ts";
import { type LostSocket, type Presence, roomName } from "./presence.ts";
import type { Resumption, RoomName } from "./resumption.ts";
import { isPin, type Rooms, type StoredRoom } from "./rooms.ts";
import { type LocalRoom, type Session, type TrackerPeer, topicsOf } from "./session.ts";

/** What {@link Tracker} works with. */
export interface TrackerParts {
  readonly log: Log;
  readonly rooms: Rooms;
  readonly members: Members;
  readonly positions: Positions;
  readonly guesses: Guesses;
  readonly resumption: Resumption;
  readonly presence: Presence;
  readonly notices: Notices;
  readonly counters: Counters;
}

/** What a socket can do, and what its end does (sections 4 and 5). Throws by the code the client shall see. */
export class Tracker {
  readonly #parts: TrackerParts;
  readonly #options: { readonly maxRooms: number; readonly replay: boolean };
  readonly #stop: () => void;
  /** Notes of ended sockets that are still being written. */
  readonly #notes = new Set<Promise<void>>();

  constructor(parts: TrackerParts, options: { maxRooms: number; replay: boolean }) {
    this.#parts = parts;
    this.#options = options;
    this.#stop = parts.presence.onLost((lost) => this.#lost(lost));
  }

  /** `join_room` (T-4.6..T-4.9, T-4.19, T-5.3..T-5.8). */
  async join(peer: TrackerPeer, pin: string): Promise<void> {
    const { rooms, members, guesses, positions, notices, counters } = this.#parts;
    const { account, username } = peer.session.user;
    await this.#mustNotGuess(peer, pin);
    if (!isPin(pin)) throw errors.fault("no_room");
    this.#mustHavePlace(peer.session, pin);
    const stored = await rooms.admit(pin, account);
    if (!stored) {
      await guesses.missed(account, peer.address);
      throw errors.fault("no_room");
    }
    positions.remembered(stored.room, account);
    await members.prepare(peer, stored);
    if (!peer.socket.connected) return;
    if (members.room(peer.session, pin)?.instance === stored.room.instance) {
      notices.toPeer(peer, pin, "joined_room");
      return;
    }
    // From here to the replay nothing waits, so no live move can come between (T-5.4, T-5.7).
    const room = this.#enter(peer, stored);
    counters.joined("join_room");
    notices.toRoom(room, "joined_room", username);
    const last = this.#options.replay ? positions.newestOfOthers(stored, account) : null;
    if (last) notices.replay(peer, pin, last);
  }

  /** `leave_room` (T-4.10, T-4.11). */
  async leave(peer: TrackerPeer, pin: string): Promise<void> {
    const { members, notices, presence, positions } = this.#parts;
    const { account, username } = peer.session.user;
    const room = members.room(peer.session, pin);
    if (!room) return;
    members.exit(peer, room);
    presence.update(peer.session);
    notices.toRoom(room, "lefted_room", username);
    await positions.forget(room, account);
  }

  /** `move` (T-4.14..T-4.16). Done on the spot for a member; only a re-admission waits for the store. */
  move(peer: TrackerPeer, move: Move): void | Promise<void> {
    const room = this.#parts.members.room(peer.session, move.roomId);
    if (!room) return this.#moveFromOutside(peer, move);
    this.#relay(peer, room, move);
  }

  /** Puts a new socket back where a lost one of its account was (T-10.1). Never rejects. */
  async resume(peer: TrackerPeer): Promise<void> {
    const { rooms, members, resumption, counters, log } = this.#parts;
    const { account } = peer.session.user;
    try {
      for (const [pin, instance] of await resumption.take(account)) {
        const stored = await rooms.find(pin);
        if (stored?.room.instance !== instance || !this.#isRecorded(stored, account)) continue;
        await members.prepare(peer, stored);
        if (!peer.socket.connected) return;
        this.#enter(peer, stored);
        counters.joined("resume");
      }
    } catch (error) {
      // An extra: without it the client is where the original left it.
      if (!isOutage(error)) log.error({ error }, "rooms of a lost socket not resumed");
    }
  }

  /** A socket has ended: its rooms are told (T-5.9), and a note is left for the account's next one (T-10.1). */
  async left(peer: TrackerPeer, reason: LeaveReason): Promise<void> {
    const { members, notices, presence } = this.#parts;
    const { user, connection } = peer.session;
    const rooms = [...peer.session.rooms.values()];
    for (const room of rooms) {
      members.exit(peer, room);
      if (reason !== "drain") notices.toRoom(room, "disconnected", user.username);
    }
    presence.leave(peer.session);
    // A drained client comes back to another node and, like a lost one, does not join again.
    if (reason !== "lost" && reason !== "drain") return;
    await this.#leaveNote(user.account, connection, rooms.map(roomName));
  }

  /** Stops listening to other nodes and waits for the notes of sockets that ended. */
  async close(): Promise<void> {
    this.#stop();
    await Promise.all(this.#notes);
  }

  /** T-4.8; who is recorded with the room may come in all the same (T-4.9). */
  async #mustNotGuess(peer: TrackerPeer, pin: string): Promise<void> {
    const { account } = peer.session.user;
    const wait = await this.#parts.guesses.blockedFor(account, peer.address);
    if (wait === 0) return;
    const stored = isPin(pin) ? await this.#parts.rooms.find(pin) : null;
    if (stored && this.#isRecorded(stored, account)) return;
    this.#parts.counters.throttled("join");
    throw limitFault(wait);
  }

  /** Is the account recorded with the room, and has it not left since the store was last reached? */
  #isRecorded(stored: StoredRoom, account: string): boolean {
    return stored.recorded(account) && !this.#parts.positions.forgotten(stored.room, account);
  }

  #mustHavePlace(session: Session, pin: string): void {
    if (session.rooms.size >= this.#options.maxRooms && !session.rooms.has(pin)) throw errors.fault("too_many_rooms");
  }

  /** T-4.15, T-4.16: a recorded account is let in again without a word. */
  async #moveFromOutside(peer: TrackerPeer, move: Move): Promise<void> {
    const { rooms, members, counters } = this.#parts;
    const pin = move.roomId;
    const stored = isPin(pin) ? await rooms.find(pin) : null;
    if (!stored || !this.#isRecorded(stored, peer.session.user.account)) throw errors.fault("no_room");
    this.#mustHavePlace(peer.session, pin);
    await members.prepare(peer, stored);
    if (!peer.socket.connected) return;
    const room = this.#enter(peer, stored);
    counters.joined("move");
    this.#relay(peer, room, move);
  }

  #enter(peer: TrackerPeer, stored: StoredRoom): LocalRoom {
    const room = this.#parts.members.enter(peer, stored);
    this.#parts.presence.update(peer.session);
    return room;
  }

  #relay(peer: TrackerPeer, room: LocalRoom, { lat, long }: Move): void {
    const { positions, notices } = this.#parts;
    const { account, username } = peer.session.user;
    const position = { lat, long, at: positions.stamp(), username };
    notices.move(room, position);
    positions.note(room, account, position);
  }

  /** A socket died with its node, and this node was chosen to say so. */
  #lost({ account, connection, username, rooms }: LostSocket): void {
    for (const [pin, instance] of rooms) {
      const audience = { pin, topics: topicsOf({ pin, instance }), detailed: true };
      this.#parts.notices.toRoom(audience, "disconnected", username);
    }
    void this.#leaveNote(account, connection, rooms);
  }

  #leaveNote(account: string, connection: string, rooms: readonly RoomName[]): Promise<void> {
    const { resumption, log } = this.#parts;
    const note = resumption
      .leave(account, connection, rooms)
      .catch((error) => {
        if (!isOutage(error)) log.error({ error }, "note of a lost socket not left");
      })
      .finally(() => this.#notes.delete(note));
    this.#notes.add(note);
    return note;
  }
}
