import { and, asc, eq, inArray, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";
import { accounts } from "../../accounts/tables.ts";
import type { Orm } from "../../database/database.ts";
import { errors } from "./errors.ts";
import type { WorkspaceRole } from "./messages.ts";
import { channelMembers, channels, users, workspaceMembers, workspaces } from "./tables.ts";
import { type ChannelRelation, type ChannelRow, type Person, personColumns, type WorkspaceRow } from "./views.ts";

/** A person before a workspace; `role` is null for somebody who is no member. */
export interface WorkspaceAccess {
  readonly workspace: WorkspaceRow;
  readonly role: WorkspaceRole | null;
}

/** A person before a channel; `relation` is null for somebody who is no member of it. */
export interface ChannelAccess {
  readonly userId: string;
  readonly channel: ChannelRow;
  readonly role: WorkspaceRole | null;
  readonly relation: ChannelRelation | null;
}

/** A member of a channel. */
export interface ChannelMember {
  readonly person: Person;
  readonly role: WorkspaceRole;
  readonly relation: ChannelRelation;
}

type MemberRow = typeof channelMembers.$inferSelect | null;

const nobody: ChannelRelation = { role: "user", usageCount: 0, latestUsage: null };

/** Whether somebody is a member of a channel, and as what (CM in the contract's terms). */
export function relationOf(
  { isPrivate }: Pick<ChannelRow, "isPrivate">,
  role: WorkspaceRole | null,
  row: MemberRow,
): ChannelRelation | null {
  if (role === null || row?.role === "left") return null;
  if (row) return { role: row.role, usageCount: row.usageCount, latestUsage: row.latestUsage };
  return isPrivate || role === "guest" ? null : nobody;
}

export async function roleIn(orm: Orm, workspaceId: string, userId: string): Promise<WorkspaceRole | null> {
  const [row] = await orm
    .select({ role: workspaceMembers.role })
    .from(workspaceMembers)
    .where(and(eq(workspaceMembers.workspaceId, workspaceId), eq(workspaceMembers.userId, userId)));
  return row?.role ?? null;
}

/** Throws `not_found` for an unknown workspace. */
export async function workspaceFor(orm: Orm, id: string, userId: string): Promise<WorkspaceAccess> {
  const [row] = await orm
    .select({ workspace: workspaces, role: workspaceMembers.role })
    .from(workspaces)
    .leftJoin(
      workspaceMembers,
      and(eq(workspaceMembers.workspaceId, workspaces.id), eq(workspaceMembers.userId, userId)),
    )
    .where(eq(workspaces.id, id));
  if (!row) throw errors.fault("not_found");
  return row;
}

/** Throws `not_found` for an unknown channel. */
export async function channelFor(orm: Orm, id: string, userId: string): Promise<ChannelAccess> {
  const [access] = accessesOf(userId, await accessQuery(orm, [id], userId));
  if (!access) throw errors.fault("not_found");
  return access;
}

/**
 * Holds channels in the order of their ids, as everybody does who holds several; those that are gone are missing. The
 * user has to be held before, so that no membership changes while this waits.
 */
export async function holdChannels(tx: Orm, ids: readonly string[], userId: string): Promise<ChannelAccess[]> {
  return accessesOf(userId, await accessQuery(tx, ids, userId).orderBy(asc(channel.id)).for("update", { of: channel }));
}

/** Under a name without a schema: a lock can be put on no other. */
const channel = alias(channels, "channel");

function accessQuery(orm: Orm, ids: readonly string[], userId: string) {
  return orm
    .select({ channel, role: workspaceMembers.role, member: channelMembers })
    .from(channel)
    .leftJoin(
      workspaceMembers,
      and(eq(workspaceMembers.workspaceId, channel.workspaceId), eq(workspaceMembers.userId, userId)),
    )
    .leftJoin(channelMembers, and(eq(channelMembers.channelId, channel.id), eq(channelMembers.userId, userId)))
    .where(inArray(channel.id, [...ids]))
    .$dynamic();
}

function accessesOf(userId: string, rows: Awaited<ReturnType<typeof accessQuery>>): ChannelAccess[] {
  return rows.map(({ channel, role, member }) => {
    return { userId, channel, role, relation: relationOf(channel, role, member) };
  });
}

/** The channels of a workspace of which somebody in it is a member, oldest first. */
export async function channelsOf(
  orm: Orm,
  workspaceId: string,
  userId: string,
  role: WorkspaceRole,
): Promise<{ channel: ChannelRow; relation: ChannelRelation }[]> {
  const rows = await orm
    .select({ channel: channels, member: channelMembers })
    .from(channels)
    .leftJoin(channelMembers, and(eq(channelMembers.channelId, channels.id), eq(channelMembers.userId, userId)))
    .where(eq(channels.workspaceId, workspaceId))
    .orderBy(asc(channels.createdAt), asc(channels.id));
  return rows.flatMap(({ channel, member }) => {
    const relation = relationOf(channel, role, member);
    return relation === null ? [] : [{ channel, relation }];
  });
}

/** Every member of a channel, those who joined it first at the front. */
export async function membersOf(orm: Orm, channel: ChannelRow): Promise<ChannelMember[]> {
  const joined = sql`coalesce(${channelMembers.joinedAt}, ${workspaceMembers.joinedAt})`;
  const rows = await orm
    .select({ person: personColumns, role: workspaceMembers.role, member: channelMembers })
    .from(workspaceMembers)
    .innerJoin(users, eq(users.id, workspaceMembers.userId))
    .innerJoin(accounts, eq(accounts.id, users.id))
    .leftJoin(
      channelMembers,
      and(eq(channelMembers.channelId, channel.id), eq(channelMembers.userId, workspaceMembers.userId)),
    )
    .where(eq(workspaceMembers.workspaceId, channel.workspaceId))
    .orderBy(joined, asc(workspaceMembers.userId));
  return rows.flatMap(({ person, role, member }) => {
    const relation = relationOf(channel, role, member);
    return relation === null ? [] : [{ person, role, relation }];
  });
}

/** WA, WM */
export const isLeader = (role: WorkspaceRole | null) => role === "admin" || role === "moderator";
/** WA, WM, WU */
export const isInsider = (role: WorkspaceRole | null) => role !== null && role !== "guest";

/** Who may change and delete a channel: CC, CA, WA, WM (W-4.53, W-4.54). */
export function managesChannel({ userId, channel, role, relation }: ChannelAccess): boolean {
  if (role === null) return false;
  return isLeader(role) || channel.creatorId === userId || relation?.role === "admin";
}

/** Who may make and end invites of a channel: its members but for guests (W-4.59, W-4.61). */
export const invitesToChannel = ({ role, relation }: Pick<ChannelAccess, "role" | "relation">) =>
  relation !== null && isInsider(role);

/** Who may invite to a workspace (W-4.37). */
export const invitesToWorkspace = ({ workspace, role }: WorkspaceAccess) =>
  isLeader(role) || (role === "user" && workspace.canUsersInvite);

/** Throws `access_denied`. */
export function demand(allowed: boolean): void {
  if (!allowed) throw errors.fault("access_denied");
}
