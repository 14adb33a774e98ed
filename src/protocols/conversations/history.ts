import { and, asc, desc, eq, gt, lt, lte, type SQL, sql } from "drizzle-orm";
import type { Database, Orm } from "../../database/database.ts";
import { badRequest } from "./errors.ts";
import { type StoredMessage, toMessage } from "./message-rows.ts";
import type { Message } from "./messages.ts";
import type { Side } from "./room-name.ts";
import { messages, rooms } from "./tables.ts";

/** Which part of a room's history is asked for. Bounds are exclusive, times epoch milliseconds. */
export interface Walk {
  readonly roomId: string;
  /** The asking side: its floor applies. */
  readonly side: Side;
  readonly limit: number;
  readonly oldestFirst: boolean;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Ids of messages, as further bounds (V-3.36). */
  readonly before?: string | undefined;
  readonly after?: string | undefined;
}

/** Rows of a walk, and whether there are more in its direction. */
export interface Page {
  readonly data: readonly Message[];
  readonly hasMore: boolean;
}

/** The stored messages as a side may read them (V-3.29, V-3.30, V-3.39). */
export class History {
  readonly #orm: Orm;

  constructor(database: Database) {
    this.#orm = database.orm;
  }

  /** Throws `BAD_REQUEST` for a cursor that is no message of the room. */
  async page(walk: Walk): Promise<Page> {
    const { from, to, before, after } = walk;
    const [upper, lower] = await Promise.all([
      this.#momentOf("before", walk.roomId, before),
      this.#momentOf("after", walk.roomId, after),
    ]);
    return this.#read(walk, [
      from === undefined ? undefined : lt(messages.createdAt, new Date(from)),
      to === undefined ? undefined : gt(messages.createdAt, new Date(to)),
      upper && lt(messages.createdAt, upper),
      lower && gt(messages.createdAt, lower),
    ]);
  }

  /** Messages to a reader that he has not seen, oldest first; `from` is the newest that counts. Throws as {@link page}. */
  async unseen(reader: string, walk: Omit<Walk, "oldestFirst" | "to" | "before">): Promise<Page> {
    const lower = await this.#momentOf("after", walk.roomId, walk.after);
    return this.#read({ ...walk, oldestFirst: true }, [
      eq(messages.receiver, reader),
      sql`not ${messages.isSeen}`,
      walk.from === undefined ? undefined : lte(messages.createdAt, new Date(walk.from)),
      lower && gt(messages.createdAt, lower),
    ]);
  }

  async #read(walk: Walk, conditions: readonly (SQL | undefined)[]): Promise<Page> {
    const floor = walk.side === "BUYER" ? rooms.buyerDeletedAt : rooms.sellerDeletedAt;
    const rows: StoredMessage[] = await this.#orm
      .select()
      .from(messages)
      .where(
        and(
          eq(messages.roomId, walk.roomId),
          sql`${messages.createdAt} > coalesce(
            (select ${floor} from ${rooms} where ${rooms.id} = ${walk.roomId}), '-infinity')`,
          ...conditions,
        ),
      )
      .orderBy(walk.oldestFirst ? asc(messages.createdAt) : desc(messages.createdAt))
      .limit(walk.limit + 1);
    return { data: rows.slice(0, walk.limit).map(toMessage), hasMore: rows.length > walk.limit };
  }

  async #momentOf(cursor: string, roomId: string, id: string | undefined): Promise<Date | undefined> {
    if (id === undefined) return undefined;
    const [message] = await this.#orm
      .select({ createdAt: messages.createdAt })
      .from(messages)
      .where(and(eq(messages.id, id), eq(messages.roomId, roomId)));
    if (!message) throw badRequest(cursor);
    return message.createdAt;
  }
}
