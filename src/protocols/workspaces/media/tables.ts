import { sql } from "drizzle-orm";
import { bigint, boolean, index, primaryKey, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import { moment } from "../../../database/moment.ts";
import { channels, schema } from "../tables.ts";

/** Janus takes any number below 2^53; ours stay below 2^48 (W-10.8). */
const room = () => bigint("room", { mode: "number" }).notNull();

/** What all nodes know of the media servers. A server is known by the URL of its HTTP API. */
export const mediaServers = schema.table("media_servers", {
  url: text("url").primaryKey(),
  /** Null while it is up. */
  downSince: moment("down_since"),
});

/** The tokens nodes speak to servers with (W-10.5); those of nodes that died are taken back by others. */
export const mediaNodeTokens = schema.table(
  "media_node_tokens",
  {
    server: text("server").notNull(),
    node: text("node").notNull(),
    /** Sealed. */
    token: text("token").notNull(),
  },
  (table) => [primaryKey({ columns: [table.server, table.node] })],
);

/** The number and the secret of a channel's rooms, on whichever server they are (W-10.8). */
export const mediaRooms = schema.table("media_rooms", {
  channelId: uuid("channel_id")
    .primaryKey()
    .references(() => channels.id, { onDelete: "cascade" }),
  room: room(),
  /** Sealed. */
  secret: text("secret").notNull(),
});

/**
 * Rooms of a channel on a server, from before they are made until after they are destroyed. A row outlives its channel:
 * what stands on a server must be known until it is gone.
 */
export const mediaHostings = schema.table(
  "media_hostings",
  {
    channelId: uuid("channel_id").notNull(),
    server: text("server").notNull(),
    room: room(),
    /** Sealed. */
    secret: text("secret").notNull(),
    state: text("state").$type<"open" | "closing">().notNull(),
    /** The rooms may be gone: they are to be made again and the conversation to be told (W-10.23, W-10.24). */
    stale: boolean("stale").notNull().default(false),
    /** When the rooms were last made; null while they are made for the first time. */
    madeAt: moment("made_at"),
    /** Until when a node is at restoring or destroying the rooms. */
    leasedUntil: moment("leased_until"),
  },
  (table) => [
    primaryKey({ columns: [table.channelId, table.server] }),
    // W-10.26: a conversation is on one server.
    uniqueIndex("media_hostings_one_open").on(table.channelId).where(sql`state = 'open'`),
    index().on(table.server),
  ],
);

/** Tokens, from before a server hears of them until after it has forgotten them (W-10.12, W-10.13). */
export const mediaGrants = schema.table(
  "media_grants",
  {
    id: uuid("id").primaryKey(),
    channelId: uuid("channel_id").notNull(),
    userId: uuid("user_id").notNull(),
    server: text("server").notNull(),
    /** Sealed. */
    serverToken: text("server_token").notNull(),
    /** Sealed. */
    channelToken: text("channel_token").notNull(),
    createdAt: moment("created_at").notNull(),
    /** From then on the tokens are to be removed. */
    endedAt: moment("ended_at"),
    /** Participants of this user are to be kicked as well (W-10.18). */
    expelled: boolean("expelled").notNull().default(false),
    /** Until when a node is at removing the tokens. */
    leasedUntil: moment("leased_until"),
  },
  (table) => [index().on(table.channelId), index().on(table.endedAt).where(sql`ended_at is not null`)],
);
