import { sql } from "drizzle-orm";
import { bigserial, boolean, index, integer, json, pgSchema, text, unique, uuid } from "drizzle-orm/pg-core";
import { moment } from "../../database/moment.ts";
import type { BuyerInfo, JsonObject } from "./messages.ts";

/** Exported because drizzle-kit creates the schemas it sees. */
export const schema = pgSchema("conversations");

/** What a room keeps for each of its two sides (V-6.2). */
export const rooms = schema.table(
  "rooms",
  {
    /** `<buyer>.<seller>` */
    id: text("id").primaryKey(),
    type: text("type").notNull(),
    buyer: text("buyer").notNull(),
    seller: text("seller").notNull(),
    shopId: text("shop_id").notNull(),
    creator: text("creator").notNull(),
    buyerInfo: json("buyer_info").$type<BuyerInfo>().notNull(),
    shop: json("shop").$type<JsonObject>().notNull(),
    blockedBy: text("blocked_by", { enum: ["BUYER", "SELLER"] }),
    createdAt: moment("created_at").notNull(),
    updatedAt: moment("updated_at").notNull(),
    /** `created_at` of the newest message; null before the first. */
    lastCreatedAt: moment("last_created_at"),
    buyerLastMessageId: text("buyer_last_message_id"),
    buyerUnseen: integer("buyer_unseen").notNull().default(0),
    buyerPinnedAt: moment("buyer_pinned_at"),
    buyerDeleted: boolean("buyer_deleted").notNull().default(false),
    buyerDeletedAt: moment("buyer_deleted_at"),
    sellerLastMessageId: text("seller_last_message_id"),
    sellerUnseen: integer("seller_unseen").notNull().default(0),
    sellerPinnedAt: moment("seller_pinned_at"),
    sellerDeleted: boolean("seller_deleted").notNull().default(false),
    sellerDeletedAt: moment("seller_deleted_at"),
  },
  (table) => [index().on(table.buyer), index().on(table.seller)],
);

export const messages = schema.table(
  "messages",
  {
    id: text("id").primaryKey(),
    roomId: text("room_id").notNull(),
    sender: text("sender").notNull(),
    receiver: text("receiver").notNull(),
    type: text("type").notNull(),
    content: text("content").notNull(),
    clientMessageId: text("client_message_id"),
    isSeen: boolean("is_seen").notNull().default(false),
    createdAt: moment("created_at").notNull(),
    updatedAt: moment("updated_at").notNull(),
  },
  (table) => [
    unique().on(table.roomId, table.createdAt),
    index("messages_unseen_index").on(table.roomId, table.receiver, table.createdAt).where(sql`not is_seen`),
    index("messages_client_id_index")
      .on(table.roomId, table.sender, table.clientMessageId)
      .where(sql`client_message_id is not null`),
  ],
);

/** Domain events on their way to Kafka (V-6.4). Per room the order of `sequence` is that of the commits. */
export const outbox = schema.table(
  "outbox",
  {
    sequence: bigserial("sequence", { mode: "number" }).primaryKey(),
    id: uuid("id").notNull(),
    type: text("type").notNull(),
    roomId: text("room_id").notNull(),
    payload: json("payload").$type<JsonObject>().notNull(),
    createdAt: moment("created_at").notNull(),
    relayedAt: moment("relayed_at"),
  },
  (table) => [index("outbox_unrelayed_index").on(table.sequence).where(sql`relayed_at is null`)],
);

/** Which node does what only one may do at a time, and until when unless it says so again. */
export const leases = schema.table("leases", {
  name: text("name").primaryKey(),
  holder: text("holder").notNull(),
  until: moment("until").notNull(),
});
