import { and, asc, desc, eq, isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import * as v from "valibot";
import type { Database, Orm } from "../../database/database.ts";
import { badRequest } from "./errors.ts";
import type { StoredMessage } from "./message-rows.ts";
import { Epoch } from "./messages.ts";
import type { Side } from "./room-name.ts";
import type { StoredRoom } from "./side-state.ts";
import { messages, rooms } from "./tables.ts";

/** A room with the last message that one side sees. */
export interface ListedRoom {
  readonly room: StoredRoom;
  readonly last: StoredMessage | null;
}

/** Which rooms of a user are asked for (V-3.33, V-3.34). */
export interface RoomQuery {
  readonly user: string;
  readonly side: Side;
  readonly name?: string | undefined;
  readonly pinned?: boolean | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** Where a page ended: pin and change time of its last room in epoch ms, and its id. */
const Place = v.strictTuple([v.nullable(Epoch), Epoch, v.string()]);
type Place = v.InferOutput<typeof Place>;

/** The rooms of a user, as one of his sides sees them. */
export class RoomList {
  readonly #orm: Orm;

  constructor(database: Database) {
    this.#orm = database.orm;
  }

  /** Rooms in the order of V-3.33; with a limit `next` is the cursor of the following page. Throws `BAD_REQUEST`. */
  async page(query: RoomQuery): Promise<{ rooms: ListedRoom[]; next: string | null }> {
    const { side, limit } = query;
    const place = query.cursor === undefined ? null : placeOf(query.cursor);
    const { pinnedAt } = columns[side];
    const ordered = this.#select(query.side, [
      visibleTo(query.user, side),
      query.name ? named(side, query.name) : undefined,
      query.pinned === undefined ? undefined : query.pinned ? isNotNull(pinnedAt) : isNull(pinnedAt),
      place ? after(side, place) : undefined,
    ]).orderBy(sql`${pinnedAt} desc nulls last`, desc(rooms.updatedAt), asc(rooms.id));
    const found = await (limit === undefined ? ordered : ordered.limit(limit + 1));
    if (limit === undefined || found.length <= limit) return { rooms: found, next: null };
    const page = found.slice(0, limit);
    return { rooms: page, next: cursorOf(page.at(-1)!.room, side) };
  }

  /** One room with its last message for a side. */
  async one(id: string, side: Side): Promise<ListedRoom | null> {
    const [found] = await this.#select(side, [eq(rooms.id, id)]);
    return found ?? null;
  }

  /** Names of all rooms visible to a user on one side, or on both. */
  async visible(user: string, sides: readonly Side[]): Promise<{ id: string; buyer: string; seller: string }[]> {
    const lists = await Promise.all(
      sides.map((side) =>
        this.#orm
          .select({ id: rooms.id, buyer: rooms.buyer, seller: rooms.seller })
          .from(rooms)
          .where(visibleTo(user, side)),
      ),
    );
    return lists.flat();
  }

  /** Unseen messages over all visible rooms, and the rooms that have some (V-3.20). */
  async unseen(user: string, side: Side): Promise<{ rooms: number; messages: number }> {
    const { unseen } = columns[side];
    const [total] = await this.#orm
      .select({
        rooms: sql<number>`count(*) filter (where ${unseen} > 0)::int`,
        messages: sql<number>`coalesce(sum(${unseen}), 0)::int`,
      })
      .from(rooms)
      .where(visibleTo(user, side));
    return total ?? { rooms: 0, messages: 0 };
  }

  #select(side: Side, conditions: readonly (SQL | undefined)[]) {
    return this.#orm
      .select({ room: rooms, last: messages })
      .from(rooms)
      .leftJoin(messages, eq(messages.id, columns[side].lastMessageId))
      .where(and(...conditions));
  }
}

const columns = {
  BUYER: {
    person: rooms.buyer,
    lastMessageId: rooms.buyerLastMessageId,
    unseen: rooms.buyerUnseen,
    pinnedAt: rooms.buyerPinnedAt,
    deleted: rooms.buyerDeleted,
    deletedAt: rooms.buyerDeletedAt,
    peerName: sql`${rooms.shop}->>'name'`,
  },
  SELLER: {
    person: rooms.seller,
    lastMessageId: rooms.sellerLastMessageId,
    unseen: rooms.sellerUnseen,
    pinnedAt: rooms.sellerPinnedAt,
    deleted: rooms.sellerDeleted,
    deletedAt: rooms.sellerDeletedAt,
    peerName: sql`${rooms.buyerInfo}->>'name'`,
  },
} as const;

/** The rooms a side sees (V-6.6). */
function visibleTo(user: string, side: Side): SQL {
  const { person, deleted, deletedAt } = columns[side];
  return sql`${person} = ${user} and (not ${deleted} or ${rooms.lastCreatedAt} > ${deletedAt})`;
}

function named(side: Side, name: string): SQL {
  return sql`position(lower(${name}) in lower(${columns[side].peerName})) > 0`;
}

function after(side: Side, [pin, updated, id]: Place): SQL {
  const { pinnedAt } = columns[side];
  const at = new Date(updated).toISOString();
  const later = sql`(${rooms.updatedAt} < ${at} or (${rooms.updatedAt} = ${at} and ${rooms.id} > ${id}))`;
  if (pin === null) return sql`(${pinnedAt} is null and ${later})`;
  const pinAt = new Date(pin).toISOString();
  return sql`(${pinnedAt} is null or ${pinnedAt} < ${pinAt} or (${pinnedAt} = ${pinAt} and ${later}))`;
}

function cursorOf(room: StoredRoom, side: Side): string {
  const pin = side === "BUYER" ? room.buyerPinnedAt : room.sellerPinnedAt;
  const place: Place = [pin?.getTime() ?? null, room.updatedAt.getTime(), room.id];
  return Buffer.from(JSON.stringify(place)).toString("base64url");
}

function placeOf(cursor: string): Place {
  const text = Buffer.from(cursor, "base64url").toString();
  const place = v.safeParse(v.pipe(v.string(), v.parseJson(), Place), text);
  if (!place.success || place.output[2].includes("\0")) throw badRequest("cursor");
  return place.output;
}
