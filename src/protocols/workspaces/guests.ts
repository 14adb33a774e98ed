import { and, eq, isNotNull, isNull, lte, or } from "drizzle-orm";
import type { Accounts } from "../../accounts/accounts.ts";
import type { Clock } from "../../clock.ts";
import type { Changes } from "./changes.ts";
import type { Departures } from "./departures.ts";
import type { InviteCodes } from "./invite-codes.ts";
import type { Logins } from "./logins.ts";
import type { People } from "./people.ts";
import type { Statuses } from "./status.ts";
import { connections, users, workspaceMembers } from "./tables.ts";

/** Parts of the guests. */
export interface GuestParts {
  readonly accounts: Accounts;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly departures: Departures;
  readonly inviteCodes: InviteCodes;
  readonly logins: Logins;
  readonly people: People;
  readonly statuses: Statuses;
}

/** Accounts of people who came by a channel's token, for as long as they stay (W-4.60, W-8.16). */
export class Guests {
  readonly #parts: GuestParts;
  /** Milliseconds a guest who never connects is kept. */
  readonly #ttl: number;

  constructor(parts: GuestParts, options: { ttl: number }) {
    this.#parts = parts;
    this.#ttl = options.ttl;
  }

  /** Throws `guest_code`. */
  async join(token: string, name: string) {
    const { inviteCodes, people, changes, accounts, logins } = this.#parts;
    await inviteCodes.checkGuestToken(token);
    const { id } = await people.registerGuest(name);
    try {
      await changes.ofUser(id, async (change) => {
        await people.introduce(id, { isGuest: true, hasPassword: false }, change.tx);
        await inviteCodes.redeemAsGuest(change, token, id);
      });
    } catch (error) {
      await accounts.remove(id);
      throw error;
    }
    return logins.welcome(id);
  }

  /** Guests without a connection whose time is over, or who had one: it ended with the only node (W-8.16). */
  async sweep(): Promise<void> {
    const { changes, clock, departures, statuses } = this.#parts;
    const due = await changes.orm
      .select({ id: users.id })
      .from(users)
      .leftJoin(workspaceMembers, eq(workspaceMembers.userId, users.id))
      .leftJoin(connections, eq(connections.userId, users.id))
      .where(
        and(
          eq(users.isGuest, true),
          or(
            lte(users.createdAt, new Date(clock.now() - this.#ttl)),
            // Set with the first connection.
            isNotNull(workspaceMembers.latestActivityAt),
          ),
          isNull(connections.id),
        ),
      )
      .limit(100);
    for (const { id } of due) {
      await changes.ofUser(id, async (change) => {
        const user = await statuses.lock(change, id);
        const [socket] = await change.tx.select().from(connections).where(eq(connections.userId, id)).limit(1);
        if (user && !socket) await departures.removeGuest(change, id);
      });
    }
  }
}
