import { and, asc, eq, inArray, or, type SQL } from "drizzle-orm";
import { accounts } from "../../accounts/tables.ts";
import type { Clock } from "../../clock.ts";
import type { Orm } from "../../database/database.ts";
import { channelsOf, membersOf, roleIn } from "./access.ts";
import type { Change } from "./changes.ts";
import type { MediaServers } from "./media/media.ts";
import { type Notices, rooms } from "./notices.ts";
import type { LockedUser, Statuses } from "./status.ts";
import { channelMembers, channels, connections, pendingInvites, workspaceMembers, workspaces } from "./tables.ts";
import type { ChannelRow } from "./views.ts";

export type ConnectionRow = typeof connections.$inferSelect;

/** How somebody goes, and what goes with him: the orders W-6.37 and W-6.39 to W-6.42. */
export class Departures {
  readonly #parts: {
    readonly notices: Notices;
    readonly media: MediaServers;
    readonly statuses: Statuses;
    readonly clock: Clock;
  };
  readonly #hidePrivate: boolean;

  constructor(
    parts: { notices: Notices; media: MediaServers; statuses: Statuses; clock: Clock },
    options: { hidePrivateChannels: boolean },
  ) {
    this.#parts = parts;
    this.#hidePrivate = options.hidePrivateChannels;
  }

  /** A connection leaves its conversation and stays (W-6.16, W-6.37). The user was held before the row was read. */
  async leaveConversation(change: Change, row: ConnectionRow): Promise<void> {
    if (row.channelId === null) return;
    const channel = await lockChannel(change.tx, row.channelId);
    if (channel) await this.leaveChannel(change, row, channel);
  }

  /** The same where the channel is held already. */
  async leaveChannel(change: Change, row: ConnectionRow, channel: ChannelRow): Promise<void> {
    await this.vacate(change.tx, [row]);
    await this.conversationLeft(change, row, channel);
  }

  /** Takes connections out of their conversations, without a word. */
  async vacate(tx: Orm, rows: readonly ConnectionRow[]): Promise<void> {
    if (rows.length === 0) return;
    const ids = rows.map(({ id }) => id);
    await tx
      .update(connections)
      .set({ channelId: null, mediaState: null, mediaGrant: null })
      .where(inArray(connections.id, ids));
  }

  /** What follows when a connection is out of its conversation, as its row was before. User and channel are held. */
  async conversationLeft(change: Change, row: ConnectionRow, channel: ChannelRow): Promise<void> {
    this.#tellLeft(change, row);
    await this.#endIfForsaken(change, channel);
  }

  /** A connection is gone for good (W-6.39). The user is held. */
  async removeConnection(change: Change, user: LockedUser, connectionId: string): Promise<void> {
    const { tx } = change;
    const mine = eq(connections.id, connectionId);
    const [seen] = await tx.select().from(connections).where(mine);
    if (!seen) return;
    const channel = seen.channelId === null ? null : await lockChannel(tx, seen.channelId);
    const [row] = await tx.delete(connections).where(mine).returning();
    if (!row) return;
    await this.#parts.statuses.settle(change, user);
    if (row.channelId !== null) {
      this.#tellLeft(change, row);
      if (channel) await this.#endIfForsaken(change, channel);
    }
    if (!user.isGuest) return;
    const [other] = await tx.select({ id: connections.id }).from(connections).where(eq(connections.userId, user.id));
    if (!other) await this.removeGuest(change, user.id);
  }

  /** A guest's account ends, with its last connection or because it never had one (W-8.16). The user is held. */
  async removeGuest(change: Change, userId: string): Promise<void> {
    const rows = await change.tx
      .delete(workspaceMembers)
      .where(eq(workspaceMembers.userId, userId))
      .returning({ id: workspaceMembers.workspaceId });
    await this.cancelInvites(change, concerning(userId));
    await change.tx.delete(accounts).where(eq(accounts.id, userId));
    for (const { id } of rows) change.after(() => this.#parts.notices.userLeft(id, userId));
  }

  /** A channel ends (W-6.41). */
  async eraseChannel(change: Change, channelId: string): Promise<void> {
    const { tx } = change;
    const { notices } = this.#parts;
    const channel = await lockChannel(tx, channelId);
    if (!channel) return;
    const { id, workspaceId } = channel;
    await change.ends(id);
    const inside = await tx.select().from(connections).where(eq(connections.channelId, id)).for("update");
    await this.vacate(tx, inside);
    for (const row of inside) this.#tellLeft(change, row);
    await this.cancelInvites(change, eq(pendingInvites.channelId, id));
    const audience = await this.audienceOf(tx, channel);
    await tx.delete(channels).where(eq(channels.id, id));
    change.after(() => {
      for (const room of audience) notices.channelDeleted(room, id, workspaceId);
    });
  }

  /** Who hears of the creation and deletion of a channel: W, or U of its members (W-13.12). */
  async audienceOf(tx: Orm, channel: ChannelRow): Promise<string[]> {
    if (!this.#hidePrivate || !channel.isPrivate) return [rooms.workspace(channel.workspaceId)];
    return (await membersOf(tx, channel)).map(({ person }) => rooms.user(person.id));
  }

  /**
   * A person loses a channel: is put out or leaves (W-4.56, W-4.57). The channel gets another admin if it has none left,
   * and ends with its last member, a temporary one also when he was the last inside (W-6.37). The user is held.
   */
  async loseChannel(change: Change, userId: string, channelId: string): Promise<void> {
    const { tx } = change;
    const { notices, clock } = this.#parts;
    const channel = await lockChannel(tx, channelId);
    if (!channel) return;
    const { workspaceId } = channel;
    const inside = await tx
      .select()
      .from(connections)
      .where(and(eq(connections.channelId, channelId), eq(connections.userId, userId)))
      .for("update");
    await this.vacate(tx, inside);
    for (const row of inside) this.#tellLeft(change, row, "expelled");
    const mine = and(eq(channelMembers.channelId, channelId), eq(channelMembers.userId, userId));
    if (channel.isPrivate || (await roleIn(tx, workspaceId, userId)) === "guest") {
      await tx.delete(channelMembers).where(mine);
    } else {
      await tx
        .insert(channelMembers)
        .values({ channelId, userId, role: "left", joinedAt: new Date(clock.now()) })
        .onConflictDoUpdate({ target: [channelMembers.channelId, channelMembers.userId], set: { role: "left" } });
    }
    await this.cancelInvites(change, and(eq(pendingInvites.channelId, channelId), concerning(userId)));
    change.after(() => {
      notices.leave(rooms.userIn(userId, workspaceId), rooms.channel(channelId));
      notices.channelDeleted(rooms.user(userId), channelId, workspaceId);
    });
    const members = await membersOf(tx, channel);
    if (members.length === 0) await this.eraseChannel(change, channelId);
    else if (!members.some(({ relation }) => relation.role === "admin")) {
      const heir = members.find(({ role }) => role !== "guest") ?? members[0]!;
      await tx
        .insert(channelMembers)
        .values({ channelId, userId: heir.person.id, role: "admin", joinedAt: new Date(clock.now()) })
        .onConflictDoUpdate({ target: [channelMembers.channelId, channelMembers.userId], set: { role: "admin" } });
    }
    if (inside.length > 0) await this.#endIfForsaken(change, channel);
  }

  /** A person goes out of a workspace, by will or not (W-6.40); false for somebody who was no member. The user is held. */
  async leaveWorkspace(change: Change, user: LockedUser, workspaceId: string): Promise<boolean> {
    const { tx } = change;
    const { notices, statuses } = this.#parts;
    const role = await roleIn(tx, workspaceId, user.id);
    if (role === null) return false;
    const sockets = await this.#liveSockets(tx, user.id, workspaceId);
    for (const row of sockets.filter(({ channelId }) => channelId !== null)) await this.#leaveForced(change, row);
    const lost = await channelsOf(tx, workspaceId, user.id, role);
    await tx
      .delete(workspaceMembers)
      .where(and(eq(workspaceMembers.workspaceId, workspaceId), eq(workspaceMembers.userId, user.id)));
    for (const { channel } of lost) await this.loseChannel(change, user.id, channel.id);
    await this.#forgetChannels(tx, user.id, workspaceId);
    await this.cancelInvites(change, and(eq(pendingInvites.workspaceId, workspaceId), concerning(user.id)));
    await tx.delete(connections).where(and(eq(connections.userId, user.id), eq(connections.workspaceId, workspaceId)));
    change.after(() => {
      notices.userLeft(workspaceId, user.id);
      notices.kicked(user.id, workspaceId);
      notices.close(sockets.map(({ id }) => id));
    });
    await statuses.settle(change, user);
    if (user.isGuest) await tx.delete(accounts).where(eq(accounts.id, user.id));
    return true;
  }

  /** A workspace ends (W-6.42). */
  async eraseWorkspace(change: Change, workspaceId: string): Promise<void> {
    const { tx } = change;
    const { notices, statuses } = this.#parts;
    const members = await tx
      .select({ id: workspaceMembers.userId })
      .from(workspaceMembers)
      .where(eq(workspaceMembers.workspaceId, workspaceId))
      .orderBy(asc(workspaceMembers.userId));
    const held: LockedUser[] = [];
    for (const { id } of members) {
      const user = await statuses.lock(change, id);
      if (user) held.push(user);
    }
    await tx
      .select()
      .from(channels)
      .where(eq(channels.workspaceId, workspaceId))
      .orderBy(asc(channels.id))
      .for("update");
    const sockets = await tx.select().from(connections).where(eq(connections.workspaceId, workspaceId)).for("update");
    for (const row of sockets) if (row.channelId !== null) this.#tellLeft(change, row);
    await this.cancelInvites(change, eq(pendingInvites.workspaceId, workspaceId));
    await tx.delete(workspaces).where(eq(workspaces.id, workspaceId));
    change.after(() => {
      for (const { id } of held) notices.kicked(id, workspaceId);
      notices.close(sockets.map(({ id }) => id));
    });
    for (const user of held) {
      await statuses.settle(change, user);
      if (user.isGuest) await tx.delete(accounts).where(eq(accounts.id, user.id));
    }
  }

  /** Takes invites back that nobody has answered (W-9.11). */
  async cancelInvites(change: Change, which: SQL | undefined): Promise<void> {
    const gone = await change.tx
      .delete(pendingInvites)
      .where(which)
      .returning({ id: pendingInvites.id, toUser: pendingInvites.toUser });
    change.after(() => {
      for (const { id, toUser } of gone) this.#parts.notices.inviteCancelled(toUser, id);
    });
  }

  /** W-6.37 */
  async #endIfForsaken(change: Change, channel: ChannelRow): Promise<void> {
    const { isTemporary, expiredAt, id } = channel;
    if (!isTemporary || (expiredAt !== null && expiredAt.getTime() > this.#parts.clock.now())) return;
    const [inside] = await change.tx
      .select({ id: connections.id })
      .from(connections)
      .where(eq(connections.channelId, id));
    if (!inside) await this.eraseChannel(change, id);
  }

  async #leaveForced(change: Change, row: ConnectionRow): Promise<void> {
    const channel = await lockChannel(change.tx, row.channelId as string);
    if (!channel) return;
    await this.vacate(change.tx, [row]);
    this.#tellLeft(change, row, "expelled");
    await this.#endIfForsaken(change, channel);
  }

  #tellLeft(change: Change, row: ConnectionRow, how: "left" | "expelled" = "left"): void {
    const { notices, media } = this.#parts;
    const { id, userId, channelId, mediaGrant } = row;
    if (channelId === null) return;
    change.concerns(channelId);
    change.after(() => {
      notices.unselected({ userId, channelId, socketId: id });
      if (how === "expelled") media.expel(mediaGrant, userId);
      else media.leave(mediaGrant);
    });
  }

  #liveSockets(tx: Orm, userId: string, workspaceId: string): Promise<ConnectionRow[]> {
    return tx
      .select()
      .from(connections)
      .where(and(eq(connections.userId, userId), eq(connections.workspaceId, workspaceId)));
  }

  /** Having left a public channel, too, ends with the membership of the workspace. */
  async #forgetChannels(tx: Orm, userId: string, workspaceId: string): Promise<void> {
    const its = tx.select({ id: channels.id }).from(channels).where(eq(channels.workspaceId, workspaceId));
    await tx
      .delete(channelMembers)
      .where(and(eq(channelMembers.userId, userId), inArray(channelMembers.channelId, its)));
  }
}

/** Holds a channel, so that nobody enters or leaves it meanwhile. */
export async function lockChannel(tx: Orm, id: string): Promise<ChannelRow | null> {
  const [channel] = await tx.select().from(channels).where(eq(channels.id, id)).for("update");
  return channel ?? null;
}

/** Invites from or to somebody. */
const concerning = (userId: string) => or(eq(pendingInvites.fromUser, userId), eq(pendingInvites.toUser, userId));
