import type { Namespace } from "socket.io";
import type { MoveNotice, RoomNotice } from "./messages.ts";
import type { Position } from "./positions.ts";
import type { LocalRoom, Topics, TrackerPeer } from "./session.ts";

type NoticeType = RoomNotice["details"]["type"];

/** A room as far as sending to it goes. */
export interface Audience {
  readonly pin: string;
  readonly topics: Topics;
  /** Detailed members may be there. */
  readonly detailed: boolean;
}

/** What the server says to rooms and their members (section 5). Nothing here reaches all sockets (T-5.11). */
export class Notices {
  readonly #legacyText: boolean;
  #namespace: Namespace | null = null;

  /** @param legacyText follow each room notice with its plain text (`room_message`). */
  constructor(legacyText: boolean) {
    this.#legacyText = legacyText;
  }

  /** Where to send; known once the endpoint is mounted. */
  mounted(namespace: Namespace): void {
    this.#namespace = namespace;
  }

  /** A room notice to all members on all nodes. */
  toRoom(room: Audience, type: NoticeType, username: string): void {
    for (const topic of room.detailed ? [room.topics.plain, room.topics.detailed] : [room.topics.plain]) {
      this.#room((event, payload) => this.#to(topic).emit(event, payload), room.pin, type, username);
    }
  }

  /** A room notice to one socket. */
  toPeer(peer: TrackerPeer, pin: string, type: NoticeType): void {
    this.#room((event, payload) => peer.emit(event, payload), pin, type, peer.session.user.username);
  }

  /** A position to all members on all nodes, the sender included; each in the form it asked for. */
  move(room: LocalRoom, position: Position): void {
    this.#to(room.topics.plain).emit("move", plain(position));
    if (room.detailed) this.#to(room.topics.detailed).emit("move", withMeta(room.pin, position));
  }

  /** A stored position to one joiner (T-5.6). */
  replay(peer: TrackerPeer, pin: string, position: Position): void {
    peer.emit("move", peer.session.detailed ? withMeta(pin, position) : plain(position));
  }

  #room(emit: (event: string, payload: unknown) => void, pin: string, type: NoticeType, username: string): void {
    const msg = texts[type](username, pin);
    emit("room", { details: { type, msg } } satisfies RoomNotice);
    if (this.#legacyText) emit("room_message", msg);
  }

  #to(topic: string) {
    if (!this.#namespace) throw new Error("the endpoint is not mounted");
    return this.#namespace.to(topic);
  }
}

const texts: Record<NoticeType, (username: string, pin: string) => string> = {
  joined_room: (username, pin) => `${username} has joined room ${pin}`,
  // Spelt so in the original.
  lefted_room: (username, pin) => `${username} has left room ${pin}`,
  disconnected: (username) => `${username} disconnected`,
};

const plain = ({ lat, long }: Position): MoveNotice => ({ details: { type: "success", msg: { lat, long } } });

const withMeta = (pin: string, position: Position): MoveNotice => ({
  details: {
    ...plain(position).details,
    meta: { room_id: pin, username: position.username, at: new Date(position.at).toISOString() },
  },
});
