import { and, asc, eq, inArray, isNull, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { channelFor, demand } from "./access.ts";
import type { Change, Changes } from "./changes.ts";
import type { Connections } from "./connections.ts";
import type { ConnectionRow, Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { ConnectionOptions, Grant, MediaServers } from "./media/media.ts";
import type { MediaFlags, OnlineStatus, StoredMediaState } from "./messages.ts";
import { type Notices, rooms } from "./notices.ts";
import type { Statuses } from "./status.ts";
import { channelMembers, channels, connections, pendingInvites, userCalls } from "./tables.ts";
import { type ChannelRow, flagsOf, type UserMediaStateWithId } from "./views.ts";

/** Parts of the conversations. */
export interface ConversationParts {
  readonly database: Database;
  readonly changes: Changes;
  readonly connections: Connections;
  readonly departures: Departures;
  readonly statuses: Statuses;
  readonly media: MediaServers;
  readonly notices: Notices;
  readonly clock: Clock;
}

/** Who selected which channels, with which devices (section 8). */
export class Conversations {
  readonly #parts: ConversationParts;

  constructor(parts: ConversationParts) {
    this.#parts = parts;
  }

  /** A connection enters a channel (W-4.70, W-6.33 to W-6.36, W-8.2). */
  async select(userId: string, socketId: string, channelId: string, state: MediaFlags): Promise<ConnectionOptions> {
    const { changes, media } = this.#parts;
    changes.mustReachOthers();
    // Media are prepared for those alone who may enter; the rest is checked once, under the locks.
    if (media.enabled) await this.#mayEnter(this.#orm, userId, socketId, channelId);
    const grant = await media.admit({ channelId, userId, connection: socketId });
    try {
      await changes.ofUser(userId, (change) => this.#enter(change, userId, socketId, channelId, state, grant));
    } catch (error) {
      media.leave(grant.id);
      throw error;
    }
    return grant.options;
  }

  /** A connection, also one in grace, leaves its channel (W-4.71). Throws `not_selected`. */
  async unselect(userId: string, socketId: string, channelId: string): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      await statuses.lock(change, userId);
      const row = await this.#parts.connections.find(userId, socketId, change.tx);
      if (row?.channelId !== channelId) throw errors.fault("not_selected");
      await departures.leaveConversation(change, row);
    });
  }

  /** A participant's microphone, camera and so on (W-4.72, W-8.8, W-8.10). */
  async setMedia(userId: string, socketId: string, given: MediaFlags): Promise<void> {
    const { changes, notices, clock } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async ({ tx, after }) => {
      const [row] = await tx
        .select()
        .from(connections)
        .where(and(eq(connections.id, socketId), eq(connections.userId, userId), isNull(connections.graceUntil)))
        .for("update");
      if (!row) throw errors.fault("unknown_socket");
      const { channelId } = row;
      if (channelId === null) throw errors.fault("not_in_channel");
      const mediaState = nextState(row.mediaState, given, new Date(clock.now()).toISOString());
      await tx.update(connections).set({ mediaState }).where(eq(connections.id, socketId));
      after(() => notices.mediaState(userId, channelId, mediaState));
    });
  }

  /** What a user chose to be seen as, or that a device fell asleep or woke (W-4.73, W-7.5 to W-7.8). */
  async setStatus(userId: string, socketId: string, status: OnlineStatus, cause: "manually" | "sleep"): Promise<void> {
    const { changes, statuses, notices } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      const user = await statuses.lock(change, userId);
      const row = await this.#live(change.tx, userId, socketId);
      if (!user || !row) throw errors.fault("socket_not_found");
      if (cause === "manually") {
        statuses.choose(user, status, "manual");
        await statuses.settle(change, user);
        change.after(() => notices.myStatus(userId, status));
        return;
      }
      const asleep = status === "idle";
      if (row.asleep !== asleep) {
        await change.tx.update(connections).set({ asleep }).where(eq(connections.id, socketId));
      }
      if (!asleep && user.chosenStatus === "idle" && user.chosenBy === "auth") statuses.choose(user, "online", "auth");
      await statuses.settle(change, user);
    });
  }

  /** A member of the channel silences somebody in his own conversation (W-4.74, W-8.12). */
  async mute(userId: string, socketId: string, targetId: string): Promise<void> {
    const { changes, notices } = this.#parts;
    changes.mustReachOthers();
    const row = await this.#live(this.#orm, userId, socketId);
    if (!row) throw errors.fault("unknown_socket");
    const { channelId } = row;
    if (channelId === null) throw errors.fault("different_channels");
    const { relation } = await channelFor(this.#orm, channelId, userId);
    if (relation === null) throw errors.fault("different_channels");
    const [target] = await this.#orm
      .select({ id: connections.id })
      .from(connections)
      .where(and(eq(connections.userId, targetId), eq(connections.channelId, channelId)));
    if (!target) throw errors.fault("different_channels");
    notices.muted(targetId, userId, target.id);
  }

  /** Who is in which of these channels, with his media state. */
  async participants(channelIds: readonly string[]): Promise<Map<string, UserMediaStateWithId[]>> {
    const found = new Map<string, UserMediaStateWithId[]>(channelIds.map((id) => [id, []]));
    if (channelIds.length === 0) return found;
    const rows = await this.#orm
      .select()
      .from(connections)
      .where(inArray(connections.channelId, [...channelIds]))
      .orderBy(asc(connections.userId));
    for (const { userId, channelId, mediaState } of rows) {
      if (channelId !== null && mediaState !== null) found.get(channelId)?.push({ ...mediaState, userId });
    }
    return found;
  }

  /** The channel a connection is in, for a socket that may just have been put into it from another node. */
  async channelOf(userId: string, socketId: string): Promise<string | null> {
    return (await this.#live(this.#orm, userId, socketId))?.channelId ?? null;
  }

  /** The checks of a select, in the order of W-4.70; the connection, and the user's one in a conversation there. */
  async #mayEnter(tx: Orm, userId: string, socketId: string, channelId: string) {
    const mine = await tx.select().from(connections).where(eq(connections.userId, userId));
    const row = mine.find(({ id, graceUntil }) => id === socketId && graceUntil === null);
    if (!row) throw errors.fault("socket_not_found");
    const { channel, relation } = await channelFor(tx, channelId, userId);
    demand(channel.workspaceId === row.workspaceId && relation !== null);
    if (row.channelId === channelId) throw errors.fault("already_selected");
    return mine.find(({ workspaceId, channelId: other }) => workspaceId === row.workspaceId && other !== null);
  }

  async #enter(
    change: Change,
    userId: string,
    socketId: string,
    channelId: string,
    state: MediaFlags,
    grant: Grant,
  ): Promise<void> {
    const { statuses, departures, notices, clock } = this.#parts;
    const { tx, after } = change;
    await statuses.lock(change, userId);
    const inside = await this.#mayEnter(tx, userId, socketId, channelId);
    const held = await lockChannels(tx, inside?.channelId ? [channelId, inside.channelId] : [channelId]);
    // Memberships cannot change while the user is held; a channel could still be deleted.
    if (!held.some(({ id }) => id === channelId)) throw errors.fault("not_found");
    const other = inside?.channelId && held.some(({ id }) => id === inside.channelId) ? inside : null;
    const now = new Date(clock.now());
    if (other?.id === socketId) await departures.leaveConversation(change, other);
    const left = other !== null && other.id !== socketId ? other : null;
    if (left) await this.#vacate(tx, left);
    await tx
      .update(connections)
      .set({ channelId, mediaState: flagsOf(state), mediaGrant: grant.id })
      .where(eq(connections.id, socketId));
    await this.#count(tx, userId, channelId, now, left?.channelId === channelId);
    after(() => notices.selected({ userId, channelId, socketId }, flagsOf(state)));
    const leftChannel = held.find(({ id }) => id === left?.channelId);
    if (left && leftChannel) await this.#endOn(change, left, channelId, leftChannel);
    await departures.cancelInvites(
      change,
      and(eq(pendingInvites.toUser, userId), eq(pendingInvites.channelId, channelId)),
    );
  }

  /** The conversation of the user's other device is over (W-6.35, W-6.36). */
  async #endOn(change: Change, left: ConnectionRow, channelId: string, leftChannel: ChannelRow): Promise<void> {
    const { departures, notices, media } = this.#parts;
    const { userId } = left;
    change.after(() => notices.changedDevice(userId));
    if (left.channelId === channelId) {
      change.after(() => {
        notices.leave(left.id, rooms.conversation(channelId));
        media.leave(left.mediaGrant);
      });
    } else await departures.conversationLeft(change, left, leftChannel);
  }

  async #vacate(tx: Orm, { id }: ConnectionRow): Promise<void> {
    await tx
      .update(connections)
      .set({ channelId: null, mediaState: null, mediaGrant: null })
      .where(eq(connections.id, id));
  }

  /** W-8.11 */
  async #count(tx: Orm, userId: string, channelId: string, now: Date, wasInside: boolean): Promise<void> {
    await tx
      .insert(channelMembers)
      .values({ channelId, userId, role: "user", usageCount: 1, latestUsage: now, joinedAt: now })
      .onConflictDoUpdate({
        target: [channelMembers.channelId, channelMembers.userId],
        set: { usageCount: sql`${channelMembers.usageCount} + 1`, latestUsage: now },
      });
    if (wasInside) return;
    const others = await tx
      .select({ id: connections.userId })
      .from(connections)
      .where(and(eq(connections.channelId, channelId), sql`${connections.userId} <> ${userId}`));
    const pairs = others
      .flatMap(({ id }) => [
        { userId, otherId: id, callsCount: 1, latestCall: now },
        { userId: id, otherId: userId, callsCount: 1, latestCall: now },
      ])
      // One order for everybody, so that two who count the same pairs do not wait for each other.
      .sort((a, b) => (a.userId + a.otherId < b.userId + b.otherId ? -1 : 1));
    if (pairs.length === 0) return;
    await tx
      .insert(userCalls)
      .values(pairs)
      .onConflictDoUpdate({
        target: [userCalls.userId, userCalls.otherId],
        set: { callsCount: sql`${userCalls.callsCount} + 1`, latestCall: now },
      });
  }

  async #live(tx: Orm, userId: string, socketId: string): Promise<ConnectionRow | undefined> {
    const row = await this.#parts.connections.find(userId, socketId, tx);
    return row?.graceUntil === null ? row : undefined;
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }
}

/** Holds channels in the order of their ids, as everybody does who holds several. */
async function lockChannels(tx: Orm, ids: readonly string[]): Promise<ChannelRow[]> {
  return tx
    .select()
    .from(channels)
    .where(inArray(channels.id, [...new Set(ids)]))
    .orderBy(asc(channels.id))
    .for("update");
}

/** What follows a state when a client sends another one: the server keeps the start times (W-8.8). */
export function nextState(before: StoredMediaState | null, given: MediaFlags, now: string): StoredMediaState {
  const flags = { ...flagsOf(given), speaking: given.speaking && given.microphone };
  const starts = {
    startScreenTs: before?.screen ? before.startScreenTs : now,
    startCameraTs: before?.camera ? before.startCameraTs : now,
    startSpeakingTs: before?.speaking ? before.startSpeakingTs : now,
  };
  return {
    ...flags,
    ...(flags.screen && starts.startScreenTs && { startScreenTs: starts.startScreenTs }),
    ...(flags.camera && starts.startCameraTs && { startCameraTs: starts.startCameraTs }),
    ...(flags.speaking && starts.startSpeakingTs && { startSpeakingTs: starts.startSpeakingTs }),
  };
}
