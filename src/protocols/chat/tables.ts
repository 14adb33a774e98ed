import { sql } from "drizzle-orm";
import { bigint, check, index, pgSchema, primaryKey, text, timestamp, unique, uuid } from "drizzle-orm/pg-core";

/** Exported because drizzle-kit creates the schemas it sees. */
export const schema = pgSchema("chat");

/** Ids and apartment numbers are JSON numbers on the wire, so they stay below 2^53. */
const number = (name: string) => bigint(name, { mode: "number" });
/** Moments are kept to the millisecond, as the wire shows them. */
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/** Rises with every connection of a user, on whichever node: the higher number is the newer connection. */
export const connections = schema.sequence("connections");

/**
 * A room with its participants in one row, in order of joining. Whoever holds the lock of the row knows who is in the
 * room, and a statement that had to wait for the lock sees the row as it is then, not as it was when it began.
 */
export const rooms = schema.table(
  "rooms",
  {
    id: number("id").generatedAlwaysAsIdentity().primaryKey(),
    ownerId: uuid("owner_id").notNull(),
    apartmentId: number("apartment_id"),
    participants: uuid("participants").array().notNull(),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [
    index().using("gin", table.participants),
    check("rooms_owner_participates", sql`${table.ownerId} = any(${table.participants})`),
  ],
);

/**
 * Ids rise in commit order within a room: they are taken under the lock of the room's row (C-5.7). That lock also stands
 * in for a foreign key, which would look the room up again for every single row, at nearly half the cost of an insert.
 */
export const messages = schema.table(
  "messages",
  {
    roomId: number("room_id").notNull(),
    id: number("id").generatedAlwaysAsIdentity(),
    senderId: uuid("sender_id").notNull(),
    /** The client's `message_temp_id`, written so that Postgres can hold any (see journal.ts). */
    tempId: text("temp_id").notNull(),
    message: text("message").notNull(),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.roomId, table.id] }),
    unique("messages_send").on(table.roomId, table.senderId, table.tempId),
  ],
);

/** Users who may not take part; one whose time is over counts as none. */
export const bans = schema.table("bans", {
  userId: uuid("user_id").primaryKey(),
  reason: text("reason"),
  until: moment("until"),
  createdAt: moment("created_at").notNull(),
});
