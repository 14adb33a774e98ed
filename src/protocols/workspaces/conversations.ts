import { and, asc, eq, inArray, ne, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { type ChannelAccess, channelFor, demand, holdChannels } from "./access.ts";
import { countCalls } from "./calls.ts";
import type { Change, Changes } from "./changes.ts";
import type { Connections } from "./connections.ts";
import type { ConnectionRow, Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { ConnectionOptions, Grant, MediaServers } from "./media/media.ts";
import { nextState } from "./media-state.ts";
import type { MediaFlags, OnlineStatus } from "./messages.ts";
import { type Notices, rooms } from "./notices.ts";
import type { Statuses } from "./status.ts";
import { channelMembers, channels, connections, pendingInvites, users } from "./tables.ts";
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
    // Media are prepared for those alone who may enter; it is checked again under the locks.
    if (media.enabled) {
      const { row } = await this.#devices(this.#orm, userId, socketId);
      mayEnter(row, await channelFor(this.#orm, channelId, userId));
    }
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
    const { changes, departures } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      // Everything that has to be held, in one statement and in the order of all changes.
      const [found] = await change.tx
        .select({ actingNode: users.actingNode, channel: channels, connection: connections })
        .from(users)
        .innerJoin(channels, eq(channels.id, channelId))
        .innerJoin(
          connections,
          and(eq(connections.id, socketId), eq(connections.userId, users.id), eq(connections.channelId, channels.id)),
        )
        .where(eq(users.id, userId))
        .for("update");
      if (!found) throw errors.fault("not_selected");
      await change.held(userId, found.actingNode);
      await departures.leaveChannel(change, found.connection, found.channel);
    });
  }

  /** A participant's microphone, camera and so on (W-4.72, W-8.8, W-8.10). */
  async setMedia(userId: string, socketId: string, given: MediaFlags): Promise<void> {
    const { changes, statuses, notices, clock } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      const row = (await statuses.lockWith(change, userId, socketId))?.connection;
      if (row?.graceUntil !== null) throw errors.fault("unknown_socket");
      const { channelId } = row;
      if (channelId === null) throw errors.fault("not_in_channel");
      const mediaState = nextState(row.mediaState, given, new Date(clock.now()).toISOString());
      await change.tx.update(connections).set({ mediaState }).where(eq(connections.id, socketId));
      change.after(() => notices.mediaState(userId, channelId, mediaState));
    });
  }

  /** What a user chose to be seen as, or that a device fell asleep or woke (W-4.73, W-7.5 to W-7.8). */
  async setStatus(userId: string, socketId: string, status: OnlineStatus, cause: "manually" | "sleep"): Promise<void> {
    const { changes, statuses, notices } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      const held = await statuses.lockWith(change, userId, socketId);
      if (held?.connection.graceUntil !== null) throw errors.fault("socket_not_found");
      const { user, connection } = held;
      if (cause === "manually") {
        statuses.choose(user, status, "manual");
        await statuses.settle(change, user);
        change.after(() => notices.myStatus(userId, status));
        return;
      }
      const asleep = status === "idle";
      if (connection.asleep !== asleep) {
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

  /** The living connection, and the one of the user in a conversation of its workspace. Throws `socket_not_found`. */
  async #devices(tx: Orm, userId: string, socketId: string) {
    const mine = await tx.select().from(connections).where(eq(connections.userId, userId));
    const row = mine.find(({ id, graceUntil }) => id === socketId && graceUntil === null);
    if (!row) throw errors.fault("socket_not_found");
    const inside = mine.find(({ workspaceId, channelId }) => workspaceId === row.workspaceId && channelId !== null);
    return { row, inside };
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
    const { row, inside } = await this.#devices(tx, userId, socketId);
    const held = await holdChannels(tx, inside?.channelId ? [channelId, inside.channelId] : [channelId], userId);
    const access = (id: string | null | undefined) => held.find(({ channel }) => channel.id === id);
    mayEnter(row, access(channelId));
    const former = access(inside?.channelId)?.channel;
    if (inside && former) {
      if (inside.id === socketId) await departures.leaveChannel(change, inside, former);
      else await departures.vacate(tx, [inside]);
    }
    const now = new Date(clock.now());
    const others = await occupy(tx, row, { channelId, mediaState: flagsOf(state), mediaGrant: grant.id }, now);
    if (inside?.channelId !== channelId) await countCalls(tx, userId, others, now);
    change.concerns(channelId);
    after(() => notices.selected({ userId, channelId, socketId }, flagsOf(state)));
    if (inside && former && inside.id !== socketId) await this.#endOn(change, inside, channelId, former);
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

  async #live(tx: Orm, userId: string, socketId: string): Promise<ConnectionRow | undefined> {
    const row = await this.#parts.connections.find(userId, socketId, tx);
    return row?.graceUntil === null ? row : undefined;
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }
}

/** The checks of a select, in the order of W-4.70. */
function mayEnter({ workspaceId, channelId }: ConnectionRow, access: ChannelAccess | undefined): void {
  if (!access) throw errors.fault("not_found");
  demand(access.channel.workspaceId === workspaceId && access.relation !== null);
  if (channelId === access.channel.id) throw errors.fault("already_selected");
}

/** Puts a connection into a channel and counts the use of it (W-8.11), in one statement; returns who else is inside. */
async function occupy(
  tx: Orm,
  { id, userId }: ConnectionRow,
  place: { channelId: string; mediaState: MediaFlags; mediaGrant: string | null },
  now: Date,
): Promise<string[]> {
  const { channelId } = place;
  const entered = tx
    .$with("entered")
    .as(tx.update(connections).set(place).where(eq(connections.id, id)).returning({ id: connections.id }));
  const counted = tx.$with("counted").as(
    tx
      .insert(channelMembers)
      .values({ channelId, userId, role: "user", usageCount: 1, latestUsage: now, joinedAt: now })
      .onConflictDoUpdate({
        target: [channelMembers.channelId, channelMembers.userId],
        set: { usageCount: sql`${channelMembers.usageCount} + 1`, latestUsage: now },
      })
      .returning({ userId: channelMembers.userId }),
  );
  const others = await tx
    .with(entered, counted)
    .select({ userId: connections.userId })
    .from(connections)
    .where(and(eq(connections.channelId, channelId), ne(connections.userId, userId)));
  return others.map((other) => other.userId);
}
