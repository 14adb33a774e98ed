import { eq } from "drizzle-orm";
import type { Change } from "./changes.ts";
import type { ChosenBy, OnlineStatus } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { People } from "./people.ts";
import { connections, users } from "./tables.ts";

/** A user whose row the change holds: nobody else alters the user's connections or status meanwhile. */
export interface LockedUser {
  readonly id: string;
  readonly isGuest: boolean;
  chosenStatus: OnlineStatus | null;
  chosenBy: ChosenBy | null;
  visibleStatus: OnlineStatus;
}

/** What others see (W-7.2). `asleep` has an entry for each connection, those in grace included. */
export function visibleStatus(chosen: OnlineStatus | null, asleep: readonly boolean[]): OnlineStatus {
  if (asleep.length === 0) return "offline";
  if (chosen === "offline" || chosen === "idle") return chosen;
  return asleep.every(Boolean) ? "idle" : "online";
}

/** The online status of users (section 7). */
export class Statuses {
  readonly #notices: Notices;
  readonly #people: People;

  constructor(parts: { notices: Notices; people: People }) {
    this.#notices = parts.notices;
    this.#people = parts.people;
  }

  /** Holds a user; null when there is none any more. */
  async lock({ tx }: Change, userId: string): Promise<LockedUser | null> {
    const [user] = await tx
      .select({
        id: users.id,
        isGuest: users.isGuest,
        chosenStatus: users.chosenStatus,
        chosenBy: users.chosenBy,
        visibleStatus: users.visibleStatus,
      })
      .from(users)
      .where(eq(users.id, userId))
      .for("update");
    return user ?? null;
  }

  /** Notes what a user chose (W-7.4, W-7.5); `settle` has to follow. */
  choose(user: LockedUser, status: OnlineStatus | null, by: ChosenBy | null): void {
    user.chosenStatus = status;
    user.chosenBy = by;
  }

  /** Writes what changed after the user's connections or choice did, and tells what others see (W-7.9, W-7.10). */
  async settle(change: Change, user: LockedUser): Promise<void> {
    const { tx } = change;
    const rows = await tx
      .select({ asleep: connections.asleep })
      .from(connections)
      .where(eq(connections.userId, user.id));
    if (rows.length === 0) this.choose(user, null, null);
    const visible = visibleStatus(
      user.chosenStatus,
      rows.map(({ asleep }) => asleep),
    );
    const before = user.visibleStatus;
    user.visibleStatus = visible;
    const { chosenStatus, chosenBy, visibleStatus: visibleNow } = user;
    await tx.update(users).set({ chosenStatus, chosenBy, visibleStatus: visibleNow }).where(eq(users.id, user.id));
    if (visible === before) return;
    const workspaces = await this.#people.workspacesOf(user.id, tx);
    change.after(() => this.#notices.status(workspaces, user.id, visible));
  }
}
