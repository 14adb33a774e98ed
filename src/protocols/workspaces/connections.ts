import { and, eq } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { channelsOf } from "./access.ts";
import type { Alarms } from "./alarms.ts";
import type { Change, Changes } from "./changes.ts";
import type { ConnectionRow, Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { OnlineStatus, WorkspaceRole } from "./messages.ts";
import { type Notices, rooms } from "./notices.ts";
import type { Identity, WorkspacesPeer } from "./session.ts";
import type { LockedUser, Statuses } from "./status.ts";
import { connections, workspaceMembers } from "./tables.ts";

/** What a socket asks for when it authenticates. */
export interface Opening {
  readonly identity: Identity;
  readonly onlineStatus?: OnlineStatus | undefined;
  readonly prevSocketId?: string | null | undefined;
}

/** What came of it. */
export interface Opened {
  readonly reconnected: boolean;
  readonly onlineStatus: OnlineStatus;
  /** The conversation it is in. */
  readonly channelId: string | null;
  readonly mediaGrant: string | null;
}

/** Parts of the live state of sockets. */
export interface ConnectionParts {
  readonly database: Database;
  readonly changes: Changes;
  readonly statuses: Statuses;
  readonly departures: Departures;
  readonly notices: Notices;
  readonly alarms: Alarms;
  readonly clock: Clock;
  /** Soft-closes a socket on whichever node it is (W-8.22). */
  readonly replace: (socketId: string) => void;
}

/** Where connections are, and how many a user may have. */
export interface ConnectionOptions {
  /** This run of this process. */
  readonly node: string;
  readonly perUser: number;
}

/** Sockets that authenticated: how they become connections, are taken over, and are put out (sections 2 and 8). */
export class Connections {
  readonly #parts: ConnectionParts;
  readonly #options: ConnectionOptions;

  constructor(parts: ConnectionParts, options: ConnectionOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Makes the socket a connection (W-2.22 to W-2.27, W-8.20 to W-8.22): in its audiences first, then told of. */
  async open(peer: WorkspacesPeer, opening: Opening): Promise<Opened> {
    const { changes, statuses } = this.#parts;
    changes.mustReachOthers();
    const { userId, workspaceId } = opening.identity;
    const before = [...peer.socket.rooms];
    try {
      return await changes.ofUser(userId, async (change) => {
        const user = await statuses.lock(change, userId);
        if (!user) throw errors.fault("invalid_access_token");
        const role = await this.#enter(change.tx, userId, workspaceId);
        const mine = await this.#ofUser(change.tx, userId);
        const own = mine.find(({ id }) => id === peer.id);
        if (own?.workspaceId === workspaceId) return this.#rebind(change, user, own, opening);
        const previous = mine.find((row) => this.#canBeTakenOver(row, opening));
        if (previous) return this.#takeOver(change, peer, user, { role, own, previous }, opening);
        return this.#begin(change, peer, user, { role, own, others: mine }, opening);
      });
    } catch (error) {
      for (const room of peer.socket.rooms) if (!before.includes(room)) void peer.socket.leave(room);
      throw error;
    }
  }

  /** A socket is gone for good (W-5.11, W-6.39). Whatever its user does next on this node comes after it. */
  async drop(socketId: string, userId: string): Promise<void> {
    const { changes, statuses, departures } = this.#parts;
    await changes.ofUser(userId, async (change) => {
      const mine = eq(connections.id, socketId);
      const [row] = await change.tx.select({ id: connections.id }).from(connections).where(mine);
      // Whoever had the socket closed has removed it as a rule: then the user need not be held, nor a node asked for him.
      if (!row) return;
      const user = await statuses.lock(change, userId);
      if (user) await departures.removeConnection(change, user, socketId);
    });
  }

  /** Ends all connections of a user, or of one session of his, and closes their sockets for good (W-2.11). */
  async dropAll(userId: string, sessionId?: string): Promise<void> {
    const { departures, notices } = this.#parts;
    await this.#remove(userId, async (change, user) => {
      const rows = await this.#ofUser(change.tx, userId);
      const ending = rows.filter((row) => sessionId === undefined || row.sessionId === sessionId);
      for (const { id } of ending) await departures.removeConnection(change, user, id);
      change.after(() => notices.close(ending.map(({ id }) => id)));
    });
  }

  /** Ends the connections of a session whose user is not at hand. */
  async dropSession(sessionId: string): Promise<void> {
    const [row] = await this.#orm
      .select({ userId: connections.userId })
      .from(connections)
      .where(eq(connections.sessionId, sessionId));
    if (row) await this.dropAll(row.userId, sessionId);
  }

  /** A living connection of a user by its socket id (W-4.5), or one in grace where that is allowed. */
  async find(userId: string, socketId: string, orm: Orm = this.#orm): Promise<ConnectionRow | undefined> {
    const [row] = await orm
      .select()
      .from(connections)
      .where(and(eq(connections.id, socketId), eq(connections.userId, userId)));
    return row;
  }

  /** Marks the membership as active and returns its role; throws `cannot_listen` (W-2.22). */
  async #enter(tx: Orm, userId: string, workspaceId: string): Promise<WorkspaceRole> {
    const [member] = await tx
      .update(workspaceMembers)
      .set({ latestActivityAt: this.#now })
      .where(and(eq(workspaceMembers.userId, userId), eq(workspaceMembers.workspaceId, workspaceId)))
      .returning({ role: workspaceMembers.role });
    if (!member) throw errors.fault("cannot_listen");
    return member.role;
  }

  /** W-2.26 */
  async #rebind(
    { tx }: Change,
    user: LockedUser,
    own: ConnectionRow,
    { identity, prevSocketId }: Opening,
  ): Promise<Opened> {
    await tx.update(connections).set({ sessionId: identity.sessionId }).where(eq(connections.id, own.id));
    const { channelId, mediaGrant } = own;
    const reconnected = channelId !== null || prevSocketId === own.id;
    return { reconnected, onlineStatus: user.visibleStatus, channelId, mediaGrant };
  }

  /** W-8.20 */
  #canBeTakenOver({ id, workspaceId, graceUntil }: ConnectionRow, { identity, prevSocketId }: Opening): boolean {
    if (id !== prevSocketId || workspaceId !== identity.workspaceId) return false;
    return graceUntil === null || graceUntil > this.#now;
  }

  /** W-8.22: another socket in place of a connection's own. */
  async #takeOver(
    change: Change,
    peer: WorkspacesPeer,
    user: LockedUser,
    { role, own, previous }: { role: WorkspaceRole; own: ConnectionRow | undefined; previous: ConnectionRow },
    { identity }: Opening,
  ): Promise<Opened> {
    const { notices, departures, alarms, replace } = this.#parts;
    if (own) {
      await departures.leaveConversation(change, own);
      await change.tx.delete(connections).where(eq(connections.id, own.id));
    }
    const [row] = await change.tx
      .update(connections)
      .set({ id: peer.id, node: this.#options.node, sessionId: identity.sessionId, graceUntil: null })
      .where(eq(connections.id, previous.id))
      .returning();
    const { channelId, mediaGrant } = row ?? previous;
    await this.#listen(change.tx, peer, identity, role, channelId);
    change.after(() => {
      if (previous.graceUntil === null) replace(previous.id);
      else alarms.cancel("grace", previous.id);
      if (channelId !== null) notices.reconnecting(channelId, user.id, false);
    });
    return { reconnected: true, onlineStatus: user.visibleStatus, channelId, mediaGrant };
  }

  /** A fresh connection, or a socket that goes on to another workspace (W-2.27). */
  async #begin(
    change: Change,
    peer: WorkspacesPeer,
    user: LockedUser,
    { role, own, others }: { role: WorkspaceRole; own: ConnectionRow | undefined; others: readonly ConnectionRow[] },
    { identity, onlineStatus }: Opening,
  ): Promise<Opened> {
    const { statuses, departures } = this.#parts;
    const { userId, workspaceId, sessionId } = identity;
    const values = { id: peer.id, userId, workspaceId, sessionId, node: this.#options.node };
    if (own) {
      await departures.leaveConversation(change, own);
      await change.tx.update(connections).set(values).where(eq(connections.id, own.id));
    } else {
      if (others.length >= this.#options.perUser) throw errors.fault("too_many_connections");
      await change.tx.insert(connections).values(values);
    }
    // W-7.4: nobody of this user was awake before.
    if (others.every(({ asleep }) => asleep)) statuses.choose(user, onlineStatus ?? "online", "auth");
    await this.#listen(change.tx, peer, identity, role, null);
    await statuses.settle(change, user);
    return { reconnected: false, onlineStatus: user.visibleStatus, channelId: null, mediaGrant: null };
  }

  /**
   * Puts the socket into its audiences. It is in those of its user and workspace before its channels are read: who adds
   * it to a channel from then on does so through them, so that none is missed whatever happens at the same time.
   */
  async #listen(tx: Orm, peer: WorkspacesPeer, identity: Identity, role: WorkspaceRole, conversation: string | null) {
    const { socket } = peer;
    const { userId, workspaceId } = identity;
    for (const room of socket.rooms) if (room !== socket.id) void socket.leave(room);
    const general = [rooms.workspace(workspaceId), rooms.user(userId), rooms.userIn(userId, workspaceId)];
    void socket.join(role === "guest" ? general : [...general, rooms.insiders(workspaceId)]);
    const members = await channelsOf(tx, workspaceId, userId, role);
    void socket.join(members.map(({ channel }) => rooms.channel(channel.id)));
    if (conversation !== null) void socket.join(rooms.conversation(conversation));
  }

  async #remove(userId: string, work: (change: Change, user: LockedUser) => Promise<void>): Promise<void> {
    const { changes, statuses } = this.#parts;
    await changes.ofUser(userId, async (change) => {
      const user = await statuses.lock(change, userId);
      if (user) await work(change, user);
    });
  }

  #ofUser(tx: Orm, userId: string): Promise<ConnectionRow[]> {
    return tx.select().from(connections).where(eq(connections.userId, userId));
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }

  get #now(): Date {
    return new Date(this.#parts.clock.now());
  }
}
