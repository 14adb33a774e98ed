import type * as v from "valibot";
import type { Companions } from "./companions.ts";
import type { Counters } from "./counters.ts";
import { errors } from "./errors.ts";
import type { User } from "./identity.ts";
import type { MessageWriter } from "./message-writer.ts";
import type { CreateRoom, NewMessage, SeenMessages, StopTyping, Typing } from "./messages.ts";
import type { Notices } from "./notices.ts";
import { otherSide, personOn, type RoomName, roomName, type Side, sideOf } from "./room-name.ts";
import type { Creation, Rooms } from "./rooms.ts";
import type { Marked, SeenMarks } from "./seen-marks.ts";
import type { ChatPeer } from "./session.ts";
import type { StoredRoom } from "./side-state.ts";

/** What {@link Conversations} works with. */
export interface ConversationParts {
  readonly rooms: Rooms;
  readonly writer: MessageWriter;
  readonly seenMarks: SeenMarks;
  readonly companions: Companions;
  readonly notices: Notices;
  readonly counters: Counters;
}

/** A room somebody takes part in. */
export interface Seat {
  readonly room: RoomName;
  readonly side: Side;
}

/** What people do in their rooms, by socket and by REST. Throws by the code the client shall see. */
export class Conversations {
  readonly #parts: ConversationParts;

  constructor(parts: ConversationParts) {
    this.#parts = parts;
  }

  /** Makes a room (V-3.31); throws `SELF_CHAT` or `FORBIDDEN` (V-8.7, V-8.8). */
  async create(user: User, wish: CreateRoom): Promise<Creation> {
    if (wish.buyer === wish.seller) throw errors.fault("SELF_CHAT");
    const name = { id: `${wish.buyer}.${wish.seller}`, buyer: wish.buyer, seller: wish.seller };
    if (wish.creator !== user.id) throw errors.fault("FORBIDDEN");
    const { side } = seat(user, name);
    const creation = await this.#parts.rooms.create(wish, side);
    return creation;
  }

  /** `create_room`: as {@link create}, and the creator's sockets are told (V-5.3, V-10.4). */
  async createBySocket(peer: ChatPeer, wish: CreateRoom): Promise<Creation> {
    const { notices } = this.#parts;
    const creation = await this.create(peer.session.user, wish);
    notices.created(wish);
    return creation;
  }

  /** Tells the creator of a new room that its other side is there (V-10.4). */
  async introduceNew({ outcome, room }: Creation, creator: string): Promise<void> {
    if (outcome !== "created") return;
    const side = sideOf(room, creator)!;
    await this.#parts.companions.introduce(room, side, otherSide(side));
  }

  /** `new_message` (V-4.13 to V-4.18). */
  async send(peer: ChatPeer, wish: NewMessage) {
    const { writer, notices, counters } = this.#parts;
    const { room } = pair(peer.session.user, wish);
    const written = await writer.write({
      room,
      sender: wish.from,
      receiver: wish.to,
      type: wish.type,
      content: wish.content,
      clientMessageId: wish.client_message_id,
    });
    if ("refused" in written) throw errors.fault(written.refused);
    if (written.duplicate) {
      counters.duplicates.value++;
      notices.repeated(peer, written.message);
    } else {
      counters.messages.value++;
      notices.message(written.message);
    }
    return written;
  }

  /** `typing` and `stop_typing` (V-4.11). */
  async typing(
    peer: ChatPeer,
    event: "typing" | "stop_typing",
    wish: v.InferOutput<typeof Typing> | v.InferOutput<typeof StopTyping>,
  ): Promise<void> {
    const { from, to, room_id } = wish;
    const { user, role } = peer.session;
    const found =
      room_id === undefined
        ? await this.#roomBetween(user, from, to, role)
        : await this.#existing(pair(user, { room_id, from, to }).room.id);
    if (found.blockedBy !== null) throw errors.fault("BLOCKED");
    this.#parts.notices.typing(peer, event, found, from, to);
  }

  /** `seen_messages` (V-4.19). */
  async seen(peer: ChatPeer, wish: v.InferOutput<typeof SeenMessages>): Promise<Marked> {
    const { room, side } = pair(peer.session.user, wish);
    const bound = { id: wish.last_message_id ?? null, at: wish.last_message_created_at ?? null };
    const marked = await this.#parts.seenMarks.mark(room.id, side, bound);
    this.#tellSeen(room, side, marked);
    return marked;
  }

  /** PUT `/seen` (V-3.26). */
  async seenUpTo({ room, side }: Seat, upTo: string | null): Promise<StoredRoom> {
    const marked = await this.#parts.seenMarks.markTo(room.id, side, upTo);
    this.#tellSeen(room, side, marked);
    return marked.room;
  }

  /** PUT `/enable` (V-5.14, V-6.8). */
  async enable({ room, side }: Seat): Promise<StoredRoom> {
    const enabled = await this.#parts.rooms.enable(room.id, side);
    await this.#parts.companions.introduce(room, otherSide(side), side);
    return enabled;
  }

  /** DELETE `/rooms/:id` (V-6.7). */
  async remove({ room, side }: Seat): Promise<Date> {
    const { effective, deletedAt } = await this.#parts.rooms.remove(room.id, side);
    if (effective) this.#parts.notices.deleted(room, side);
    return deletedAt;
  }

  /** The existing room of two people when none is named; the socket's role decides between two. */
  async #roomBetween(user: User, from: string, to: string, role: Side): Promise<StoredRoom> {
    if (from !== user.id) throw errors.fault("FORBIDDEN");
    const asBuyer = { id: `${from}.${to}`, buyer: from, seller: to };
    const asSeller = { id: `${to}.${from}`, buyer: to, seller: from };
    const [first, second] = role === "BUYER" ? [asBuyer, asSeller] : [asSeller, asBuyer];
    const found = (await this.#parts.rooms.find(first.id)) ?? (await this.#parts.rooms.find(second.id));
    if (!found) throw errors.fault("ROOM_NOT_FOUND");
    seat(user, found);
    return found;
  }

  async #existing(id: string): Promise<StoredRoom> {
    const room = await this.#parts.rooms.find(id);
    if (!room) throw errors.fault("ROOM_NOT_FOUND");
    return room;
  }

  #tellSeen(room: RoomName, side: Side, { id, at }: Marked): void {
    if (at === null) return;
    this.#parts.notices.seen({
      room_id: room.id,
      from: personOn(room, side),
      to: personOn(room, otherSide(side)),
      last_message_id: id,
      last_message_created_at: at.toISOString(),
    });
  }
}

/** The side on which a user may act in a room (V-2.4, V-3.5). Throws `FORBIDDEN`. */
export function seat(user: User, room: RoomName): Seat {
  const side = sideOf(room, user.id);
  if (side === null || !user.sides.includes(side)) throw errors.fault("FORBIDDEN");
  return { room, side };
}

/** The seat of an event's sender, whose `to` must be the other side (V-4.7). */
function pair(user: User, { room_id, from, to }: { room_id: string; from: string; to: string }): Seat {
  const room = roomName(room_id);
  // No room has such an id; but who speaks for somebody else is told that first.
  if (!room) throw errors.fault(from === user.id ? "ROOM_NOT_FOUND" : "FORBIDDEN");
  const found = seat(user, room);
  if (from !== user.id || to !== personOn(room, otherSide(found.side))) throw errors.fault("FORBIDDEN");
  return found;
}
