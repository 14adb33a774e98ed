import { boolean, index, integer, pgSchema, text, uuid } from "drizzle-orm/pg-core";
import { moment } from "../database/moment.ts";

/** Exported because drizzle-kit creates the schemas it sees. */
export const schema = pgSchema("accounts");

export const accounts = schema.table("accounts", {
  id: uuid("id").primaryKey(),
  number: integer("number").generatedByDefaultAsIdentity().unique(),
  /** Lower case. */
  username: text("username").unique(),
  email: text("email"),
  /** The e-mail address in lower case: what uniqueness and look-ups go by. */
  emailKey: text("email_key").unique(),
  name: text("name"),
  disabled: boolean("disabled").notNull().default(false),
  passwordHash: text("password_hash").notNull(),
  createdAt: moment("created_at").notNull(),
});

/** Logins; a closed one has no row. */
export const sessions = schema.table(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    accountId: uuid("account_id")
      .notNull()
      .references(() => accounts.id, { onDelete: "cascade" }),
    scope: text("scope").notNull(),
    /** Generation of the newest refresh token; the first is 1. */
    generation: integer("generation").notNull(),
    /** When each of the generations just before the newest was first used, the latest of them last. */
    usedAt: moment("used_at").array().notNull(),
    createdAt: moment("created_at").notNull(),
    expiresAt: moment("expires_at").notNull(),
  },
  (table) => [index().on(table.accountId, table.scope), index().on(table.expiresAt)],
);
