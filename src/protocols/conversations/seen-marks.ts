import { and, count, desc, eq, gt, lte, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { badRequest } from "./errors.ts";
import { record } from "./outbox.ts";
import { personOn, type Side } from "./room-name.ts";
import { held } from "./rooms.ts";
import { columnsOf, type StoredRoom, stateOf } from "./side-state.ts";
import { messages, rooms } from "./tables.ts";

/** Up to where somebody has read: a message, or else a moment (epoch ms). */
export interface Bound {
  readonly id: string | null;
  readonly at: number | null;
}

/** What was marked. */
export interface Marked {
  readonly room: StoredRoom;
  /** The message that was named, if it is in the room. */
  readonly id: string | null;
  /** Up to where; null when there was nothing to mark. */
  readonly at: Date | null;
  /** Messages the reader has not seen yet. */
  readonly unseen: number;
}

/** Seen marks, and the counters that follow from them (V-4.19). */
export class SeenMarks {
  readonly #orm: Orm;
  readonly #clock: Clock;

  constructor(parts: { database: Database; clock: Clock }) {
    this.#orm = parts.database.orm;
    this.#clock = parts.clock;
  }

  /** Marks up to a bound. Throws `ROOM_NOT_FOUND`, and `BAD_REQUEST` for an unknown message without a time. */
  mark(roomId: string, reader: Side, bound: Bound): Promise<Marked> {
    return this.#orm.transaction(async (tx) => {
      const room = await held(tx, roomId);
      const named = bound.id === null ? undefined : await momentOf(tx, roomId, bound.id);
      if (named) return this.#mark(tx, room, reader, { id: bound.id, at: named });
      if (bound.at === null) throw badRequest("last_message_id");
      // A bound in the future would hide what is not written yet (V-8.14).
      const newest = room.lastCreatedAt?.getTime() ?? this.#clock.now();
      return this.#mark(tx, room, reader, { id: null, at: new Date(Math.min(bound.at, newest)) });
    });
  }

  /**
   * Marks up to a message of the room, or else up to the newest to the reader (V-3.26); where there is none to him, there
   * is nothing to mark. Throws `ROOM_NOT_FOUND`, and
   * `BAD_REQUEST` for a message that is not in the room.
   */
  markTo(roomId: string, reader: Side, upTo: string | null): Promise<Marked> {
    return this.#orm.transaction(async (tx) => {
      const room = await held(tx, roomId);
      const named = upTo === null ? undefined : await momentOf(tx, roomId, upTo);
      if (upTo !== null && !named) throw badRequest("up_to");
      const [newest] = await tx
        .select({ id: messages.id, at: messages.createdAt })
        .from(messages)
        .where(and(eq(messages.roomId, roomId), eq(messages.receiver, personOn(room, reader))))
        .orderBy(desc(messages.createdAt))
        .limit(1);
      if (!newest) return { room, id: null, at: null, unseen: stateOf(room, reader).unseen };
      return this.#mark(tx, room, reader, named ? { id: upTo, at: named } : newest);
    });
  }

  async #mark(tx: Orm, room: StoredRoom, side: Side, bound: { id: string | null; at: Date }): Promise<Marked> {
    const reader = personOn(room, side);
    const now = new Date(this.#clock.now());
    const unseenByReader = and(
      eq(messages.roomId, room.id),
      eq(messages.receiver, reader),
      // Written out so that the partial index fits.
      sql`not ${messages.isSeen}`,
    );
    const marked = await tx
      .update(messages)
      .set({ isSeen: true, updatedAt: now })
      .where(and(unseenByReader, lte(messages.createdAt, bound.at)))
      .returning({ id: messages.id });
    const { deletedAt } = stateOf(room, side);
    const floor = deletedAt && deletedAt > bound.at ? deletedAt : bound.at;
    const [left] = await tx
      .select({ count: count() })
      .from(messages)
      .where(and(unseenByReader, gt(messages.createdAt, floor)));
    const unseen = left?.count ?? 0;
    const [changed] = await tx.update(rooms).set(columnsOf(side, { unseen })).where(eq(rooms.id, room.id)).returning();
    if (marked.length > 0) {
      const data = {
        room_id: room.id,
        reader,
        role: side,
        up_to_id: bound.id,
        up_to_created_at: bound.at.toISOString(),
        count: marked.length,
      };
      await record(tx, "messages.seen", room.id, data, now);
    }
    return { room: changed!, id: bound.id, at: bound.at, unseen };
  }
}

async function momentOf(tx: Orm, roomId: string, id: string): Promise<Date | undefined> {
  const [message] = await tx
    .select({ at: messages.createdAt })
    .from(messages)
    .where(and(eq(messages.id, id), eq(messages.roomId, roomId)));
  return message?.at;
}
