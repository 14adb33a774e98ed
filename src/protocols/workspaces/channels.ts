import { and, eq, inArray, isNull, lte } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import {
  type ChannelAccess,
  channelFor,
  demand,
  isInsider,
  managesChannel,
  membersOf,
  workspaceFor,
} from "./access.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Change, Changes } from "./changes.ts";
import type { Departures } from "./departures.ts";
import { lockChannel } from "./departures.ts";
import { errors } from "./errors.ts";
import { type Notices, rooms } from "./notices.ts";
import type { Statuses } from "./status.ts";
import { channelMembers, channels, connections, workspaceMembers } from "./tables.ts";
import type { ChannelRow, Views } from "./views.ts";

/** Parts of the channels. */
export interface ChannelParts {
  readonly arrivals: Arrivals;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly database: Database;
  readonly departures: Departures;
  readonly notices: Notices;
  readonly statuses: Statuses;
  readonly views: Views;
}

/** A channel to be made (W-4.50). `lifespan` in ms; 0 sets none. */
export interface NewChannel {
  readonly name: string;
  readonly description?: string | undefined;
  readonly isPrivate: boolean;
  readonly isTemporary: boolean;
  readonly lifespan: number;
}

/** Milliseconds an expired channel is left before the sweep may take it (W-8.14). */
const EXPIRED_SLACK = 60_000;

/** Channels and their members (W-4.50 to W-4.58). */
export class Channels {
  readonly #parts: ChannelParts;
  /** Milliseconds an empty talk lives. */
  readonly #emptyTtl: number;

  constructor(parts: ChannelParts, options: { emptyTalkTtl: number }) {
    this.#parts = parts;
    this.#emptyTtl = options.emptyTalkTtl;
  }

  /** W-4.50 */
  async create(userId: string, workspaceId: string, given: NewChannel) {
    const { changes, notices, departures, views } = this.#parts;
    const { role } = await workspaceFor(this.#orm, workspaceId, userId);
    if (!isInsider(role)) throw errors.fault("cannot_create");
    return changes.ofUser(userId, async (change) => {
      const channel = await this.insert(change.tx, workspaceId, [userId], given);
      const audience = await departures.audienceOf(change.tx, channel);
      change.after(() => {
        const members = channel.isPrivate ? rooms.userIn(userId, workspaceId) : rooms.insiders(workspaceId);
        notices.join(members, rooms.channel(channel.id));
        for (const room of audience) notices.channelCreated(room, channel.id, workspaceId);
      });
      return views.channel(channel);
    });
  }

  /** Writes a channel; the first member made it and is its admin. */
  async insert(tx: Orm, workspaceId: string, members: readonly string[], given: NewChannel): Promise<ChannelRow> {
    const { name, description, isPrivate, isTemporary, lifespan } = given;
    const now = this.#parts.clock.now();
    const [creatorId] = members;
    const expires = isTemporary && lifespan > 0 ? now + lifespan : null;
    const emptyUntil = expires === null ? now + this.#emptyTtl : expires + EXPIRED_SLACK;
    const [channel] = await tx
      .insert(channels)
      .values({
        id: crypto.randomUUID(),
        workspaceId,
        creatorId: creatorId as string,
        name,
        description: description ?? null,
        isPrivate,
        isTemporary,
        expiredAt: expires === null ? null : new Date(expires),
        emptyUntil: isTemporary ? new Date(emptyUntil) : null,
        createdAt: new Date(now),
        updatedAt: new Date(now),
      })
      .returning();
    if (!channel) throw errors.fault("internal");
    await tx.insert(channelMembers).values(
      members.map((userId, index) => ({
        channelId: channel.id,
        userId,
        role: index === 0 ? ("admin" as const) : ("user" as const),
        joinedAt: new Date(now),
      })),
    );
    return channel;
  }

  /** A channel for one of its members. Throws `not_found` or `access_denied`. */
  async forMember(userId: string, id: string): Promise<ChannelAccess> {
    const access = await channelFor(this.#orm, id, userId);
    demand(access.relation !== null);
    return access;
  }

  /** W-4.52 */
  async members(userId: string, id: string) {
    const { channel, role } = await this.forMember(userId, id);
    const { views } = this.#parts;
    const members = await membersOf(this.#orm, channel);
    return members.map(({ person, role: workspaceRole, relation }) => ({
      ...(isInsider(role) || person.id === userId ? views.userWithEmail(person) : views.user(person)),
      workspaceRelation: { role: workspaceRole },
      channelRelation: { role: relation.role },
    }));
  }

  /** W-4.53 */
  async update(userId: string, id: string, given: { name: string; description?: string | undefined }) {
    const { changes, notices, views, clock } = this.#parts;
    demand(managesChannel(await channelFor(this.#orm, id, userId)));
    return changes.run(async ({ tx, after, concerns }) => {
      const before = await lockChannel(tx, id);
      if (!before) throw errors.fault("not_found");
      concerns(id);
      const description = given.description ?? before.description;
      if (before.name === given.name && before.description === description) return views.channel(before);
      const [row] = await tx
        .update(channels)
        .set({ name: given.name, description, updatedAt: new Date(clock.now()) })
        .where(eq(channels.id, id))
        .returning();
      const channel = views.channel(row ?? before);
      after(() => notices.channelUpdated(channel));
      return channel;
    });
  }

  /** W-4.54 */
  async erase(userId: string, id: string): Promise<void> {
    const { changes, departures } = this.#parts;
    changes.mustReachOthers();
    demand(managesChannel(await channelFor(this.#orm, id, userId)));
    await changes.run((change) => departures.eraseChannel(change, id));
  }

  /** W-4.55 */
  async addUsers(userId: string, id: string, given: readonly string[]): Promise<void> {
    const { changes, statuses, arrivals } = this.#parts;
    changes.mustReachOthers();
    const { channel } = await this.#asAdmin(userId, id);
    const added = [...new Set(given)];
    await this.#mustBeIn(channel.workspaceId, added);
    for (const one of added) {
      await changes.ofUser(one, async (change) => {
        if (!(await statuses.lock(change, one))) return;
        const current = await lockChannel(change.tx, id);
        if (current) await arrivals.joinChannel(change, current, one);
      });
    }
  }

  /** W-4.56 */
  async deleteUsers(userId: string, id: string, given: readonly string[]): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    const { channel } = await this.#asAdmin(userId, id);
    const removed = [...new Set(given)];
    await this.#mustBeIn(channel.workspaceId, removed);
    const members = await membersOf(this.#orm, channel);
    const admins = members.filter(({ relation }) => relation.role === "admin");
    if (admins.every(({ person }) => removed.includes(person.id))) throw errors.fault("last_channel_admin");
    const others = removed.filter((one) => one !== userId && members.some(({ person }) => person.id === one));
    // The caller goes last: until then the right to put others out is his.
    for (const one of removed.includes(userId) ? [...others, userId] : others) {
      await changes.ofUser(one, async (change) => {
        if (!(await statuses.lock(change, one))) return;
        const held = await lockChannel(change.tx, id);
        if (!held) return;
        // Another admin may have put the caller out meanwhile, or left him as the last one.
        demand((await channelFor(change.tx, id, userId)).relation?.role === "admin");
        if (!(await this.#hasOtherAdmin(change, held, one))) throw errors.fault("last_channel_admin");
        await departures.loseChannel(change, one, id);
      });
    }
  }

  /** W-4.57 */
  async leave(userId: string, id: string): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      await statuses.lock(change, userId);
      const { relation } = await channelFor(change.tx, id, userId);
      demand(relation !== null);
      await departures.loseChannel(change, userId, id);
    });
  }

  /** W-4.58 */
  async setRole(userId: string, id: string, targetId: string, role: "admin" | "user"): Promise<void> {
    const { changes, statuses, clock } = this.#parts;
    await this.#asAdmin(userId, id);
    await changes.ofUser(targetId, async (change) => {
      const { tx } = change;
      await statuses.lock(change, targetId);
      const channel = await lockChannel(tx, id);
      if (!channel) throw errors.fault("not_found");
      const { relation } = await channelFor(tx, id, targetId);
      if (relation === null) throw errors.fault("not_channel_member");
      if (role === "user" && relation.role === "admin" && !(await this.#hasOtherAdmin(change, channel, targetId))) {
        throw errors.fault("last_channel_admin");
      }
      await tx
        .insert(channelMembers)
        .values({ channelId: id, userId: targetId, role, joinedAt: new Date(clock.now()) })
        .onConflictDoUpdate({ target: [channelMembers.channelId, channelMembers.userId], set: { role } });
    });
  }

  /** Temporary channels that nobody is in when their time has come (W-8.14). */
  async sweep(): Promise<void> {
    const { changes, departures, clock } = this.#parts;
    const due = await this.#orm
      .select({ id: channels.id })
      .from(channels)
      .leftJoin(connections, eq(connections.channelId, channels.id))
      .where(and(lte(channels.emptyUntil, new Date(clock.now())), isNull(connections.id)))
      .limit(100);
    for (const { id } of due) {
      await changes.run(async (change) => {
        if (!(await lockChannel(change.tx, id))) return;
        const inside = await change.tx.select().from(connections).where(eq(connections.channelId, id)).limit(1);
        if (inside.length === 0) await departures.eraseChannel(change, id);
      });
    }
  }

  async #asAdmin(userId: string, id: string): Promise<ChannelAccess> {
    const access = await channelFor(this.#orm, id, userId);
    demand(access.relation?.role === "admin");
    return access;
  }

  async #hasOtherAdmin({ tx }: Change, channel: ChannelRow, userId: string): Promise<boolean> {
    const members = await membersOf(tx, channel);
    return members.some(({ person, relation }) => relation.role === "admin" && person.id !== userId);
  }

  async #mustBeIn(workspaceId: string, userIds: readonly string[]): Promise<void> {
    const rows = await this.#orm
      .select({ id: workspaceMembers.userId })
      .from(workspaceMembers)
      .where(and(eq(workspaceMembers.workspaceId, workspaceId), inArray(workspaceMembers.userId, [...userIds])));
    if (rows.length !== userIds.length) throw errors.fault("strangers");
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }
}
