import { and, asc, desc, eq, inArray, ne } from "drizzle-orm";
import { accounts } from "../../accounts/tables.ts";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { channelsOf, demand, isInsider, isLeader, roleIn, type WorkspaceAccess, workspaceFor } from "./access.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Change, Changes } from "./changes.ts";
import type { Conversations } from "./conversations.ts";
import type { Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { WorkspaceRole } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { People } from "./people.ts";
import type { Statuses } from "./status.ts";
import { channelMembers, channels, userCalls, users, workspaceMembers, workspaces } from "./tables.ts";
import { personColumns, type Views } from "./views.ts";

/** Parts of the workspaces. */
export interface WorkspaceParts {
  readonly arrivals: Arrivals;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly conversations: Conversations;
  readonly database: Database;
  readonly departures: Departures;
  readonly notices: Notices;
  readonly people: People;
  readonly statuses: Statuses;
  readonly views: Views;
}

/** Workspaces and their members (W-4.30 to W-4.45). */
export class Workspaces {
  readonly #parts: WorkspaceParts;

  constructor(parts: WorkspaceParts) {
    this.#parts = parts;
  }

  /** The workspaces of a person; `role` narrows them. */
  async list(userId: string, role?: WorkspaceRole) {
    const rows = await this.#orm
      .select({ workspace: workspaces })
      .from(workspaces)
      .innerJoin(workspaceMembers, eq(workspaceMembers.workspaceId, workspaces.id))
      .where(and(eq(workspaceMembers.userId, userId), role === undefined ? undefined : eq(workspaceMembers.role, role)))
      .orderBy(asc(workspaces.createdAt));
    return rows.map(({ workspace }) => this.#parts.views.workspace(workspace));
  }

  /** With a public channel `general` (W-4.31). */
  async create(userId: string, { name, avatarFileId }: { name: string; avatarFileId?: string | undefined }) {
    const { changes, people, arrivals, views } = this.#parts;
    if (avatarFileId !== undefined) await people.checkAvatar(userId, avatarFileId);
    return changes.ofUser(userId, async (change) => {
      const { tx } = change;
      const now = this.#now;
      const times = { createdAt: now, updatedAt: now };
      const [workspace] = await tx
        .insert(workspaces)
        .values({ id: crypto.randomUUID(), name, avatarFileId: avatarFileId ?? null, creatorId: userId, ...times })
        .returning();
      if (!workspace) throw errors.fault("internal");
      const general = {
        id: crypto.randomUUID(),
        workspaceId: workspace.id,
        creatorId: userId,
        name: "general",
        isPrivate: false,
        isTemporary: false,
        ...times,
      };
      await tx.insert(channels).values(general);
      await tx.insert(channelMembers).values({ channelId: general.id, userId, role: "admin", joinedAt: now });
      await arrivals.joinWorkspace(change, userId, workspace, "admin", null);
      return views.workspaceFor(workspace, "admin");
    });
  }

  /** Everything a client shows of a workspace (W-4.32). Throws `not_found`, for strangers too. */
  async state(userId: string, id: string) {
    const { conversations, views } = this.#parts;
    const { workspace, role } = await workspaceFor(this.#orm, id, userId);
    if (role === null) throw errors.fault("not_found");
    const mine = await channelsOf(this.#orm, id, userId, role);
    const inside = await conversations.participants(mine.map(({ channel }) => channel.id));
    const people = await this.#orm
      .select({
        person: personColumns,
        onlineStatus: users.visibleStatus,
        role: workspaceMembers.role,
        callsCount: userCalls.callsCount,
        latestCall: userCalls.latestCall,
      })
      .from(workspaceMembers)
      .innerJoin(users, eq(users.id, workspaceMembers.userId))
      .innerJoin(accounts, eq(accounts.id, users.id))
      .leftJoin(userCalls, and(eq(userCalls.userId, userId), eq(userCalls.otherId, users.id)))
      .where(eq(workspaceMembers.workspaceId, id))
      .orderBy(asc(workspaceMembers.joinedAt));
    return {
      workspace: views.workspaceFor(workspace, role),
      channels: mine.map(({ channel, relation }) => views.channelFor(channel, relation, inside.get(channel.id) ?? [])),
      users: people.map(({ person, latestCall, callsCount, ...state }) => ({
        ...(isInsider(role) || person.id === userId ? views.userWithEmail(person) : views.user(person)),
        ...state,
        callsCount: callsCount ?? 0,
        ...(latestCall === null ? {} : { latestCall: latestCall.toISOString() }),
      })),
    };
  }

  /** A workspace for one of its members. Throws `access_denied` for strangers, also to unknown ones. */
  async forMember(userId: string, id: string): Promise<WorkspaceAccess & { role: WorkspaceRole }> {
    const access = await this.#access(userId, id);
    if (access.role === null) throw errors.fault("access_denied");
    return { ...access, role: access.role };
  }

  /** The members as administrators see them (W-4.30). */
  async members(userId: string, id: string) {
    const { role } = await this.#access(userId, id);
    demand(role === "admin");
    const rows = await this.#orm
      .select({ person: personColumns, role: workspaceMembers.role, latest: workspaceMembers.latestActivityAt })
      .from(workspaceMembers)
      .innerJoin(users, eq(users.id, workspaceMembers.userId))
      .innerJoin(accounts, eq(accounts.id, users.id))
      .where(eq(workspaceMembers.workspaceId, id))
      .orderBy(desc(workspaceMembers.latestActivityAt), asc(workspaceMembers.joinedAt));
    return rows.map((row) => ({
      ...this.#parts.views.userWithEmail(row.person),
      role: row.role,
      latestActivityAt: row.latest?.toISOString() ?? null,
    }));
  }

  /** W-4.34 */
  async setSettings(userId: string, id: string, canUsersInvite: boolean) {
    demand(isLeader((await this.#access(userId, id)).role));
    const [workspace] = await this.#orm
      .update(workspaces)
      .set({ canUsersInvite, updatedAt: this.#now })
      .where(eq(workspaces.id, id))
      .returning();
    if (!workspace) throw errors.fault("not_found");
    return this.#parts.views.workspaceSettings(workspace);
  }

  /** W-4.35 */
  async update(
    userId: string,
    id: string,
    given: { name?: string | undefined; avatarFileId?: string | null | undefined },
  ) {
    const { changes, people, views, notices } = this.#parts;
    demand(isLeader((await this.#access(userId, id)).role));
    if (typeof given.avatarFileId === "string") await people.checkAvatar(userId, given.avatarFileId);
    return changes.run(async ({ tx, after }) => {
      const [row] = await tx
        .update(workspaces)
        .set({ ...given, updatedAt: this.#now })
        .where(eq(workspaces.id, id))
        .returning();
      if (!row) throw errors.fault("not_found");
      const workspace = views.workspace(row);
      after(() => notices.workspaceUpdated(workspace));
      return workspace;
    });
  }

  /** W-4.36 */
  async erase(userId: string, id: string, name: string): Promise<void> {
    const { changes, departures } = this.#parts;
    changes.mustReachOthers();
    const { role, workspace } = await this.#access(userId, id);
    demand(role === "admin");
    if (workspace.name !== name) throw errors.fault("wrong_name");
    await changes.run((change) => departures.eraseWorkspace(change, id));
  }

  /** W-4.43 */
  async setRole(userId: string, id: string, targetId: string, role: "admin" | "user"): Promise<void> {
    const mine = await this.#access(userId, id);
    demand(isLeader(mine.role));
    await this.#parts.changes.ofUser(targetId, async (change) => {
      await this.#parts.statuses.lock(change, targetId);
      const theirs = await roleIn(change.tx, id, targetId);
      if (theirs === null) throw errors.fault("not_workspace_member");
      demand(theirs !== "guest" && (mine.role === "admin" || (role !== "admin" && theirs !== "admin")));
      if (targetId === mine.workspace.creatorId && role !== "admin") throw errors.fault("demote_creator");
      await change.tx
        .update(workspaceMembers)
        .set({ role })
        .where(and(eq(workspaceMembers.workspaceId, id), eq(workspaceMembers.userId, targetId)));
    });
  }

  /** W-4.44 */
  async leave(userId: string, id: string): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      const user = await statuses.lock(change, userId);
      const { role, workspace } = await this.#held(change, userId, id);
      demand(role !== null);
      const isLast = role === "admin" && !(await this.#hasOtherAdmin(change.tx, id, userId));
      if (workspace.creatorId === userId || isLast) throw errors.fault("last_admin_leaves");
      if (user) await departures.leaveWorkspace(change, user, id);
    });
  }

  /** W-4.45. `byModerators`: whether moderators may do it to users and guests. */
  async kick(userId: string, id: string, targetId: string, { byModerators }: { byModerators: boolean }): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(targetId, async (change) => {
      const target = await statuses.lock(change, targetId);
      const { role, workspace } = await this.#held(change, userId, id);
      demand(role === "admin" || (byModerators && role === "moderator"));
      const theirs = await roleIn(change.tx, id, targetId);
      if (!target || theirs === null) throw errors.fault("not_workspace_member");
      if (workspace.creatorId === targetId) throw errors.fault("kick_creator");
      demand(role === "admin" || !isLeader(theirs));
      if (theirs === "admin" && !(await this.#hasOtherAdmin(change.tx, id, targetId))) {
        throw errors.fault("kick_last_admin");
      }
      await departures.leaveWorkspace(change, target, id);
    });
  }

  /** Puts out everybody who came by these codes, but admins and the creator (W-4.42, W-4.61). */
  async kickInvited(id: string, codeIds: readonly string[]): Promise<void> {
    if (codeIds.length === 0) return;
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    const invited = await this.#orm
      .select({ userId: workspaceMembers.userId, creatorId: workspaces.creatorId })
      .from(workspaceMembers)
      .innerJoin(workspaces, eq(workspaces.id, workspaceMembers.workspaceId))
      .where(
        and(
          eq(workspaceMembers.workspaceId, id),
          inArray(workspaceMembers.inviteId, [...codeIds]),
          ne(workspaceMembers.role, "admin"),
        ),
      );
    for (const { userId, creatorId } of invited) {
      if (userId === creatorId) continue;
      await changes.ofUser(userId, async (change) => {
        const user = await statuses.lock(change, userId);
        if (user) await departures.leaveWorkspace(change, user, id);
      });
    }
  }

  #access(userId: string, id: string): Promise<WorkspaceAccess> {
    return workspaceFor(this.#orm, id, userId);
  }

  /** Holds the workspace, so that of two admins who leave at once one stays. */
  async #held({ tx }: Change, userId: string, id: string): Promise<WorkspaceAccess> {
    await tx.select({ id: workspaces.id }).from(workspaces).where(eq(workspaces.id, id)).for("update");
    return workspaceFor(tx, id, userId);
  }

  async #hasOtherAdmin(tx: Orm, id: string, userId: string): Promise<boolean> {
    const [other] = await tx
      .select({ id: workspaceMembers.userId })
      .from(workspaceMembers)
      .where(
        and(
          eq(workspaceMembers.workspaceId, id),
          eq(workspaceMembers.role, "admin"),
          ne(workspaceMembers.userId, userId),
        ),
      )
      .limit(1);
    return other !== undefined;
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }

  get #now(): Date {
    return new Date(this.#parts.clock.now());
  }
}
