import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  index,
  integer,
  json,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uuid,
} from "drizzle-orm/pg-core";
import { accounts } from "../../accounts/tables.ts";

/** Exported because drizzle-kit creates the schemas it sees. */
export const schema = pgSchema("fleet");

/** Moments are kept to the millisecond, as JavaScript has them. */
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });
/** Unit numbers fit a JavaScript number. */
const uid = () => bigint("uid", { mode: "number" });
const user = () =>
  integer("user_number")
    .notNull()
    .references(() => accounts.number, { onDelete: "cascade" });

/** Vehicles' equipment (F-3.22). Keys are hashes; null asks for none. */
export const units = schema.table("units", {
  uid: uid().primaryKey().generatedByDefaultAsIdentity({ startWith: 1001 }),
  uniqueId: text("unique_id").unique(),
  vid: bigint("vid", { mode: "number" }).notNull(),
  name: text("name"),
  plate: text("plate"),
  brand: text("brand"),
  model: text("model"),
  reference: text("reference"),
  key: text("key"),
  pndKey: text("pnd_key"),
  osmandSpeed: text("osmand_speed", { enum: ["kn", "ms", "kmh"] })
    .notNull()
    .default("kn"),
  disabled: boolean("disabled").notNull().default(false),
  /** `device.id` of Traccar, which its command API asks for (F-12.7). */
  traccarId: bigint("traccar_id", { mode: "number" }),
  createdAt: moment("created_at").notNull(),
});

/** Who may do what with which unit (F-2.13). */
export const entitlements = schema.table(
  "entitlements",
  {
    user: user(),
    uid: uid()
      .notNull()
      .references(() => units.uid, { onDelete: "cascade" }),
    view: boolean("can_view").notNull(),
    command: boolean("can_command").notNull(),
    message: boolean("can_message").notNull(),
  },
  (table) => [primaryKey({ columns: [table.user, table.uid] }), index().on(table.uid)],
);

/** One row whose number grows with every change of units or rights, so that nodes see with one look if they are behind. */
export const revision = schema.table("revision", {
  only: boolean("only").primaryKey().default(true),
  number: bigint("number", { mode: "number" }).notNull(),
});

/** SESSIDs by their hash (F-2.4). */
export const sessions = schema.table(
  "sessions",
  { hash: text("hash").primaryKey(), user: user(), expiresAt: moment("expires_at").notNull() },
  (table) => [index().on(table.user), index().on(table.expiresAt)],
);

export const apiTokens = schema.table(
  "api_tokens",
  {
    id: uuid("id").primaryKey(),
    user: user(),
    hash: text("hash").notNull().unique(),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [index().on(table.user)],
);

/**
 * Reports of units, in daily partitions by `tmx` (storage/partitions.ts). The key is also what history is read by.
 * `part` tells records of one instant apart: device time, index, or what a driver's app named it (F-6.4).
 */
export const records = schema.table(
  "records",
  {
    uid: uid().notNull(),
    tmx: moment("tmx").notNull(),
    part: text("part").notNull(),
    id: text("id").notNull(),
    rmx: moment("rmx").notNull(),
    /** A driver app's mission record, which vehicleHistoric leaves out (F-3.21). */
    mission: boolean("mission").notNull(),
    /** The record as it goes to clients, without `_id`. */
    body: json("body").notNull(),
  },
  (table) => [primaryKey({ columns: [table.uid, table.tmx, table.part] })],
);

/** Events, partitioned like records. `part` is what makes two events of one instant different (F-6.4). */
export const events = schema.table(
  "events",
  {
    uid: uid().notNull(),
    tmx: moment("tmx").notNull(),
    part: text("part").notNull(),
    id: text("id").notNull(),
    rmx: moment("rmx").notNull(),
    eid: integer("eid").notNull(),
    /** The event as a row of the REST answer (F-3.15). */
    body: json("body").notNull(),
  },
  (table) => [primaryKey({ columns: [table.uid, table.tmx, table.part] })],
);

/** What is known of a unit now. */
export const unitState = schema.table("unit_state", {
  uid: uid()
    .primaryKey()
    .references(() => units.uid, { onDelete: "cascade" }),
  /**
   * Grows with each commit that concerns the unit, and gives its frames their order (F-5.2). Begins with the time, so that
   * a unit made anew under an old number goes on from there.
   */
  version: bigint("version", { mode: "number" })
    .notNull()
    .default(sql`(extract(epoch from clock_timestamp()) * 1000)::bigint`),
  tmx: moment("tmx"),
  /** `_id` and body of the newest record. */
  recordId: text("record_id"),
  record: json("record"),
  /** Known levels: I/O number to `[level, hid, tmx]`. */
  io: json("io").notNull().default({}),
  /** The newest eco block and its record's tmx. */
  eco: json("eco"),
  bpp: smallint("bpp"),
  /** What watchers were told last (F-5.10). */
  connected: boolean("connected").notNull().default(false),
  pndConnected: boolean("pnd_connected").notNull().default(false),
  /** Traccar's last word (F-12.21). */
  traccarOnline: boolean("traccar_online").notNull().default(false),
});

/** Messages to drivers. */
export const messages = schema.table(
  "messages",
  {
    id: text("id").primaryKey(),
    uid: uid().notNull(),
    user: integer("user_number").notNull(),
    userName: text("user_name").notNull(),
    guid: text("guid"),
    txt: text("txt").notNull(),
    txs: smallint("txs").notNull(),
    createdAt: moment("created_at").notNull(),
    changedAt: moment("changed_at").notNull(),
  },
  (table) => [
    unique().on(table.uid, table.user, table.guid),
    index().on(table.uid, table.txs),
    index().on(table.createdAt),
  ],
);

/** What drivers' apps have sent, by the name they gave it (F-6.4). */
export const driverItems = schema.table(
  "driver_items",
  { uid: uid().notNull(), guid: text("guid").notNull(), rmx: moment("rmx").notNull() },
  (table) => [primaryKey({ columns: [table.uid, table.guid] }), index().on(table.rmx)],
);

/** Commands and administration, for the operator (F-10.4). */
export const audit = schema.table(
  "audit",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    at: moment("at").notNull(),
    /** Null for the administrator. */
    user: integer("user_number"),
    uid: bigint("uid", { mode: "number" }),
    action: text("action").notNull(),
    result: text("result").notNull(),
  },
  (table) => [index().on(table.at)],
);
