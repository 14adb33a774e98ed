import { sql } from "drizzle-orm";
import {
  boolean,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { accounts } from "../../accounts/tables.ts";
import type { ChannelRole, ChosenBy, OnlineStatus, StoredMediaState, WorkspaceRole } from "./messages.ts";

/** Exported because drizzle-kit creates the schemas it sees. */
export const schema = pgSchema("workspaces");

/** Moments are kept to the millisecond, as the wire shows them (W-3.1). */
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

const userId = (name = "user_id") =>
  uuid(name)
    .notNull()
    .references(() => users.id, { onDelete: "cascade" });
const workspaceId = () =>
  uuid("workspace_id")
    .notNull()
    .references(() => workspaces.id, { onDelete: "cascade" });
const channelId = () =>
  uuid("channel_id")
    .notNull()
    .references(() => channels.id, { onDelete: "cascade" });

/** What this protocol knows of an account beside its name, e-mail address and password (W-11.2). */
export const users = schema.table("users", {
  id: uuid("id")
    .primaryKey()
    .references(() => accounts.id, { onDelete: "cascade" }),
  lang: text("lang").$type<"en" | "ru">(),
  avatarFileId: uuid("avatar_file_id"),
  isEmailVerified: boolean("is_email_verified").notNull().default(false),
  /** Waits for its verification (W-4.19). */
  pendingEmail: text("pending_email"),
  /** False for guests: there is no old password to ask for. */
  hasPassword: boolean("has_password").notNull().default(true),
  socialAuth: jsonb("social_auth").$type<Record<string, { id: string }>>().notNull().default({}),
  appSettings: jsonb("app_settings").$type<Record<string, unknown>>().notNull().default({}),
  /** Null while there is no connection (W-7.9). */
  chosenStatus: text("chosen_status").$type<OnlineStatus>(),
  chosenBy: text("chosen_by").$type<ChosenBy>(),
  /** What others were last shown (W-7.10). */
  visibleStatus: text("visible_status").$type<OnlineStatus>().notNull().default("offline"),
  /** The node that last changed something of this person (W-1.19). */
  actingNode: text("acting_node"),
  isGuest: boolean("is_guest").notNull().default(false),
  createdAt: moment("created_at").notNull(),
  updatedAt: moment("updated_at").notNull(),
});

/** Logins; a revoked one has no row. */
export const sessions = schema.table(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    userId: userId(),
    accessHash: text("access_hash").notNull().unique(),
    accessExpiresAt: moment("access_expires_at").notNull(),
    refreshHash: text("refresh_hash").notNull().unique(),
    refreshExpiresAt: moment("refresh_expires_at").notNull(),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [index().on(table.userId), index().on(table.refreshExpiresAt)],
);

/** Pairs that were replaced, so that using one again is noticed however old it is (W-2.6, W-2.7). */
export const retiredTokens = schema.table(
  "retired_tokens",
  {
    refreshHash: text("refresh_hash").primaryKey(),
    accessHash: text("access_hash").notNull().unique(),
    accessExpiresAt: moment("access_expires_at").notNull(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => sessions.id, { onDelete: "cascade" }),
    retiredAt: moment("retired_at").notNull(),
    /** The successor, sealed under a key that only the holder of the retired token has; emptied after the grace. */
    reply: text("reply"),
  },
  (table) => [index().on(table.sessionId), index().on(table.retiredAt).where(sql`reply is not null`)],
);

/** Auth links, verifications and password resets (W-2.16). */
export const oneTimeTokens = schema.table(
  "one_time_tokens",
  {
    hash: text("hash").primaryKey(),
    kind: text("kind").$type<"link" | "verification" | "reset">().notNull(),
    userId: userId(),
    /** The address a verification is for. */
    email: text("email"),
    expiresAt: moment("expires_at").notNull(),
    usedAt: moment("used_at"),
  },
  (table) => [index().on(table.userId), index().on(table.expiresAt)],
);

export const files = schema.table(
  "files",
  {
    id: uuid("id").primaryKey(),
    ownerId: userId("owner_id"),
    mime: text("mime").notNull(),
    size: integer("size").notNull(),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [index().on(table.ownerId)],
);

export const workspaces = schema.table("workspaces", {
  id: uuid("id").primaryKey(),
  name: text("name").notNull(),
  avatarFileId: uuid("avatar_file_id"),
  creatorId: uuid("creator_id").notNull(),
  canUsersInvite: boolean("can_users_invite").notNull().default(true),
  createdAt: moment("created_at").notNull(),
  updatedAt: moment("updated_at").notNull(),
});

export const workspaceMembers = schema.table(
  "workspace_members",
  {
    workspaceId: workspaceId(),
    userId: userId(),
    role: text("role").$type<WorkspaceRole>().notNull(),
    /** The code the member came by. */
    inviteId: uuid("invite_id"),
    joinedAt: moment("joined_at").notNull(),
    latestActivityAt: moment("latest_activity_at"),
  },
  (table) => [
    primaryKey({ columns: [table.workspaceId, table.userId] }),
    index().on(table.userId),
    index().on(table.inviteId),
  ],
);

export const channels = schema.table(
  "channels",
  {
    id: uuid("id").primaryKey(),
    workspaceId: workspaceId(),
    creatorId: uuid("creator_id").notNull(),
    name: text("name").notNull(),
    description: text("description"),
    isPrivate: boolean("is_private").notNull(),
    isTemporary: boolean("is_temporary").notNull(),
    /** Only of a temporary channel with a lifespan. */
    expiredAt: moment("expired_at"),
    /** When a temporary channel is deleted if it is empty then; null for channels that stay (W-8.14). */
    emptyUntil: moment("empty_until"),
    createdAt: moment("created_at").notNull(),
    updatedAt: moment("updated_at").notNull(),
  },
  (table) => [index().on(table.workspaceId), index().on(table.emptyUntil)],
);

/**
 * What is particular about a person and a channel: a role, the right to a private channel, having left a public one,
 * use. Admins, moderators and users of the workspace are members of a public channel without a row.
 */
export const channelMembers = schema.table(
  "channel_members",
  {
    channelId: channelId(),
    userId: userId(),
    role: text("role").$type<ChannelRole | "left">().notNull(),
    usageCount: integer("usage_count").notNull().default(0),
    latestUsage: moment("latest_usage"),
    inviteId: uuid("invite_id"),
    joinedAt: moment("joined_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.channelId, table.userId] }), index().on(table.userId)],
);

/** Codes that lead into a workspace, or as a guest into one channel (W-11.6). */
export const inviteCodes = schema.table(
  "invite_codes",
  {
    id: uuid("id").primaryKey(),
    kind: text("kind").$type<"workspace" | "email" | "channel">().notNull(),
    codeHash: text("code_hash").notNull().unique(),
    codeSealed: text("code_sealed").notNull(),
    /** The only address a code of kind `email` is good for; lower case. */
    email: text("email"),
    workspaceId: workspaceId(),
    channelId: uuid("channel_id").references(() => channels.id, { onDelete: "cascade" }),
    createdBy: userId("created_by"),
    uses: integer("uses").notNull().default(0),
    maxUses: integer("max_uses"),
    disabled: boolean("disabled").notNull().default(false),
    expiredAt: moment("expired_at").notNull(),
    createdAt: moment("created_at").notNull(),
    updatedAt: moment("updated_at").notNull(),
  },
  (table) => [index().on(table.workspaceId), index().on(table.channelId), index().on(table.expiredAt)],
);

/** Invites into a conversation that wait for an answer (W-11.7). */
export const pendingInvites = schema.table(
  "pending_invites",
  {
    id: uuid("id").primaryKey(),
    fromUser: userId("from_user"),
    toUser: userId("to_user"),
    workspaceId: workspaceId(),
    channelId: channelId(),
    dueAt: moment("due_at").notNull(),
  },
  (table) => [
    unique().on(table.fromUser, table.toUser, table.channelId),
    index().on(table.toUser, table.channelId),
    index().on(table.channelId),
    index().on(table.dueAt),
  ],
);

/** How often two people shared a conversation; a row for each direction. */
export const userCalls = schema.table(
  "user_calls",
  {
    userId: userId(),
    otherId: userId("other_id"),
    callsCount: integer("calls_count").notNull(),
    latestCall: moment("latest_call").notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.otherId] })],
);

/**
 * Live state: authenticated sockets, and lost ones that may still come back. It stands in the database and not in Redis,
 * so that a change of it is one transaction with what it depends on and what it causes (W-8.2, W-8.3, W-11.20), and
 * grace times survive restarts (W-8.19). Nothing is written while a socket is idle (W-11.21).
 */
export const connections = schema.table(
  "connections",
  {
    /** Socket id. */
    id: text("id").primaryKey(),
    userId: userId(),
    workspaceId: workspaceId(),
    sessionId: uuid("session_id").notNull(),
    /** The run of a gateway process that holds, or held, the socket. */
    node: text("node").notNull(),
    /** Set while the socket is lost: until when it may be taken over (W-8.18). */
    graceUntil: moment("grace_until"),
    asleep: boolean("asleep").notNull().default(false),
    channelId: uuid("channel_id").references(() => channels.id, { onDelete: "set null" }),
    mediaState: jsonb("media_state").$type<StoredMediaState>(),
    /** What `MediaServers.admit` gave. */
    mediaGrant: text("media_grant"),
  },
  (table) => [
    index().on(table.userId),
    index().on(table.workspaceId),
    index().on(table.sessionId),
    index().on(table.channelId),
    index().on(table.node),
    index().on(table.graceUntil).where(sql`grace_until is not null`),
    // W-8.1, whatever else goes wrong.
    uniqueIndex("connections_one_conversation").on(table.userId, table.workspaceId).where(sql`channel_id is not null`),
  ],
);
