import { and, arrayContains, asc, desc, eq, gt, lt, sql } from "drizzle-orm";
import type { Database } from "../../database/database.ts";
import { errors } from "./errors.ts";
import { time } from "./messages.ts";
import { messages, rooms } from "./tables.ts";

/** A part of a history: messages with ids between the two, so many at most (C-3.22). */
export interface Page {
  readonly limit: number;
  readonly before?: number | undefined;
  readonly after?: number | undefined;
}

/** Rooms and messages as the REST routes show them. */
export class History {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The rooms of a user, the one with the newest message first (C-3.2, C-3.16 to C-3.20). */
  async list(user: string) {
    const { orm } = this.#database;
    const newest = orm
      .select()
      .from(messages)
      .where(eq(messages.roomId, rooms.id))
      .orderBy(desc(messages.id))
      .limit(1)
      .as("newest");
    const rows = await orm
      .select()
      .from(rooms)
      .leftJoinLateral(newest, sql`true`)
      .where(arrayContains(rooms.participants, [user]))
      .orderBy(desc(sql`coalesce(${newest.createdAt}, ${rooms.createdAt})`), desc(rooms.id));
    return rows.map(({ rooms: room, newest }) => ({
      room_id: room.id,
      participants_id: room.participants,
      apartment_id: room.apartmentId,
      is_owner: room.ownerId === user,
      last_message: newest && shown(newest),
      created_at: time(room.createdAt.getTime()),
    }));
  }

  /** A room with its messages, oldest first: all of them, or a page (C-3.5, C-3.21, C-3.22). Throws `room_not_found`. */
  async read(user: string, id: number, page: Page | null) {
    const [room] = await this.#database.orm.select().from(rooms).where(eq(rooms.id, id));
    if (!room?.participants.includes(user)) throw errors.fault("room_not_found");
    const { rows, hasMore } = page ? await this.#page(id, page) : { rows: await this.#all(id), hasMore: null };
    return {
      room_id: room.id,
      apartment_id: room.apartmentId,
      created_at: time(room.createdAt.getTime()),
      owner_id: room.ownerId,
      participants_id: room.participants,
      messages: rows.map(shown),
      ...(hasMore === null ? {} : { has_more: hasMore }),
    };
  }

  async #all(roomId: number) {
    return await this.#database.orm
      .select()
      .from(messages)
      .where(eq(messages.roomId, roomId))
      .orderBy(asc(messages.id));
  }

  async #page(roomId: number, { limit, before, after }: Page) {
    const forward = after !== undefined && before === undefined;
    const rows = await this.#database.orm
      .select()
      .from(messages)
      .where(
        and(
          eq(messages.roomId, roomId),
          before === undefined ? undefined : lt(messages.id, before),
          after === undefined ? undefined : gt(messages.id, after),
        ),
      )
      .orderBy(forward ? asc(messages.id) : desc(messages.id))
      // One more tells whether there are more.
      .limit(limit + 1);
    const hasMore = rows.length > limit;
    const page = rows.slice(0, limit);
    return { rows: forward ? page : page.reverse(), hasMore };
  }
}

function shown(row: typeof messages.$inferSelect) {
  return {
    id: row.id,
    room_id: row.roomId,
    message: row.message,
    sender_id: row.senderId,
    created_at: time(row.createdAt.getTime()),
  };
}
