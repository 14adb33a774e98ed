import type { Topics } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import { details, errors } from "./errors.ts";
import type { ErrorNotice } from "./messages.ts";
import type { Rooms, StoredRoom } from "./rooms.ts";
import { type LocalRoom, type Session, type TrackerPeer, topicsOf } from "./session.ts";

/** Tells the other nodes that a room has detailed members: `<expiry> <instance>`. */
const DETAILED = "tracker:detailed";

/** What must outlive a reload of the code; keys are room instances. */
export interface MemberState {
  readonly rooms: Map<string, LocalRoom>;
  /** Rooms with detailed members, as other nodes told, and when they end. */
  readonly detailed: Map<string, number>;
}

export const newMemberState = (): MemberState => ({ rooms: new Map(), detailed: new Map() });

/** Which sockets of this node are members of which rooms. */
export class Members {
  readonly #rooms: Rooms;
  readonly #clock: Clock;
  readonly #topics: Topics;
  readonly #state: MemberState;
  readonly #stop: () => void;

  constructor(parts: { rooms: Rooms; clock: Clock; topics: Topics }, state: MemberState) {
    this.#rooms = parts.rooms;
    this.#clock = parts.clock;
    this.#topics = parts.topics;
    this.#state = state;
    this.#stop = parts.topics.subscribe(DETAILED, (message) => this.#heardOfDetailed(String(message)));
  }

  /** The living room of this PIN in which the socket is a member. */
  room(session: Session, pin: string): LocalRoom | null {
    const room = session.rooms.get(pin);
    if (!room) return null;
    if (room.expires > this.#clock.now()) return room;
    this.#end(room);
    return null;
  }

  /**
   * To be awaited before a detailed socket enters: everybody who sends to the room must know that moves are wanted in
   * both forms.
   */
  async prepare({ session }: TrackerPeer, { room, detailed }: StoredRoom): Promise<void> {
    if (!session.detailed || detailed) return;
    await this.#rooms.write(room, { detailed: "1" });
    this.#topics.publish(DETAILED, `${room.expires} ${room.instance}`);
    const local = this.#state.rooms.get(room.instance);
    if (local) local.detailed = true;
  }

  /** Makes the socket a member. */
  enter(peer: TrackerPeer, stored: StoredRoom): LocalRoom {
    const { instance, pin } = stored.room;
    const earlier = peer.session.rooms.get(pin);
    if (earlier) this.#end(earlier);
    let room = this.#state.rooms.get(instance);
    if (!room) {
      room = { ...stored.room, topics: topicsOf(stored.room), peers: new Set(), detailed: false };
      this.#state.rooms.set(instance, room);
    }
    room.detailed ||= stored.detailed || peer.session.detailed || this.#state.detailed.has(instance);
    room.peers.add(peer);
    peer.session.rooms.set(pin, room);
    void peer.socket.join(topicFor(peer, room));
    return room;
  }

  /** Ends one membership. */
  exit(peer: TrackerPeer, room: LocalRoom): void {
    peer.session.rooms.delete(room.pin);
    room.peers.delete(peer);
    if (room.peers.size === 0) this.#state.rooms.delete(room.instance);
    void peer.socket.leave(topicFor(peer, room));
  }

  /** Ends the rooms whose time has come (T-5.10, T-6.5). */
  expire(): void {
    const now = this.#clock.now();
    for (const room of this.#state.rooms.values()) {
      if (room.expires <= now) this.#end(room);
    }
    for (const [instance, expires] of this.#state.detailed) {
      if (expires <= now) this.#state.detailed.delete(instance);
    }
  }

  close(): void {
    this.#stop();
  }

  #end(room: LocalRoom): void {
    for (const peer of room.peers) {
      this.exit(peer, room);
      peer.emit("error", { details: details(errors.fault("no_room")) } satisfies ErrorNotice);
    }
  }

  #heardOfDetailed(message: string): void {
    const [expires, instance = ""] = message.split(" ");
    this.#state.detailed.set(instance, Number(expires));
    const room = this.#state.rooms.get(instance);
    if (room) room.detailed = true;
  }
}

const topicFor = (peer: TrackerPeer, room: LocalRoom) =>
  peer.session.detailed ? room.topics.detailed : room.topics.plain;
