import { and, eq, sql } from "drizzle-orm";
import type { Change } from "./changes.ts";
import type { ConnectionRow } from "./departures.ts";
import type { ChosenBy, OnlineStatus } from "./messages.ts";
import type { Notices } from "./notices.ts";
import { connections, users, workspaceMembers } from "./tables.ts";

/** A user whose row the change holds: nobody else alters the user's connections or status meanwhile. */
export interface LockedUser {
  readonly id: string;
  readonly isGuest: boolean;
  chosenStatus: OnlineStatus | null;
  chosenBy: ChosenBy | null;
  visibleStatus: OnlineStatus;
}

/** What is read of a user who is being held. */
const heldUser = {
  id: users.id,
  isGuest: users.isGuest,
  chosenStatus: users.chosenStatus,
  chosenBy: users.chosenBy,
  visibleStatus: users.visibleStatus,
  actingNode: users.actingNode,
};

/** What others see (W-7.2). `asleep`: whether all connections are, those in grace included; null when there are none. */
export function visibleStatus(chosen: OnlineStatus | null, asleep: boolean | null): OnlineStatus {
  if (asleep === null) return "offline";
  if (chosen === "offline" || chosen === "idle") return chosen;
  return asleep ? "idle" : "online";
}

/** The online status of users (section 7). */
export class Statuses {
  readonly #notices: Notices;

  constructor(parts: { notices: Notices }) {
    this.#notices = parts.notices;
  }

  /** Holds a user; null when there is none any more. */
  async lock({ tx, held }: Change, userId: string): Promise<LockedUser | null> {
    const [user] = await tx.select(heldUser).from(users).where(eq(users.id, userId)).for("update");
    if (user) await held(userId, user.actingNode);
    return user ?? null;
  }

  /** Holds a user and a connection of his, those in grace included; null when there is none. */
  async lockWith(
    { tx, held }: Change,
    userId: string,
    socketId: string,
  ): Promise<{ user: LockedUser; connection: ConnectionRow } | null> {
    // All tables of the join are locked, so that all of the row is as it stands when the wait for the user is over.
    const [found] = await tx
      .select({ user: heldUser, connection: connections })
      .from(users)
      .innerJoin(connections, and(eq(connections.userId, users.id), eq(connections.id, socketId)))
      .where(eq(users.id, userId))
      .for("update");
    if (found) await held(userId, found.user.actingNode);
    return found ?? null;
  }

  /** Notes what a user chose (W-7.4, W-7.5); `settle` has to follow. */
  choose(user: LockedUser, status: OnlineStatus | null, by: ChosenBy | null): void {
    user.chosenStatus = status;
    user.chosenBy = by;
  }

  /** Writes what changed after the user's connections or choice did, and tells what others see (W-7.9, W-7.10). */
  async settle(change: Change, user: LockedUser): Promise<void> {
    const { tx } = change;
    // Whoever has a connection is a member of its workspace, so that no row means no connection as well.
    const rows = await tx
      .select({
        workspaceId: workspaceMembers.workspaceId,
        asleep: sql<boolean | null>`(select bool_and(asleep) from ${connections} where user_id = ${user.id})`,
      })
      .from(workspaceMembers)
      .where(eq(workspaceMembers.userId, user.id));
    const asleep = rows[0]?.asleep ?? null;
    if (asleep === null) this.choose(user, null, null);
    const before = user.visibleStatus;
    const after = visibleStatus(user.chosenStatus, asleep);
    user.visibleStatus = after;
    const { chosenStatus, chosenBy, visibleStatus: visible } = user;
    await tx.update(users).set({ chosenStatus, chosenBy, visibleStatus: visible }).where(eq(users.id, user.id));
    if (after === before) return;
    const workspaces = rows.map(({ workspaceId }) => workspaceId);
    change.after(() => this.#notices.status(workspaces, user.id, after));
  }
}
