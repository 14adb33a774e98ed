import { and, desc, eq, inArray, lte, not, or } from "drizzle-orm";
import type { Clock } from "../clock.ts";
import type { Orm } from "../database/database.ts";
import type { Session, Sessions } from "./accounts.ts";
import { accounts, sessions } from "./tables.ts";
import { isUuid } from "./uuid.ts";

/**
 * Times of first use that are remembered of one login. Only a client that refreshes several times a second through the
 * whole grace needs more, and it loses no more than the right to show its oldest tokens again.
 */
const maxRemembered = 256;

/** Logins in the database. Every change of a login holds its row, so that simultaneous calls on any node agree. */
export class SessionStore implements Sessions {
  readonly #orm: Orm;
  readonly #clock: Clock;

  constructor(orm: Orm, clock: Clock) {
    this.#orm = orm;
    this.#clock = clock;
  }

  async open(accountId: string, scope: string, { ttl, limit }: { ttl: number; limit: number }): Promise<Session> {
    const now = this.#clock.now();
    const session = { id: crypto.randomUUID(), accountId, generation: 1, expiresAt: new Date(now + ttl) };
    const mine = and(eq(sessions.accountId, accountId), eq(sessions.scope, scope));
    const expired = lte(sessions.expiresAt, new Date(now));
    await this.#orm.transaction(async (tx) => {
      // The account's row is held so that two logins at once cannot both see room for one more.
      const [account] = await tx
        .select({ disabled: accounts.disabled })
        .from(accounts)
        .where(eq(accounts.id, accountId))
        .for("update");
      // Gone or disabled since the password was checked: as if that had come a moment after the login.
      if (!account || account.disabled) return;
      const beyond = tx
        .select({ id: sessions.id })
        .from(sessions)
        .where(and(mine, not(expired)))
        .orderBy(desc(sessions.createdAt), desc(sessions.id))
        .offset(Math.max(0, limit - 1));
      await tx.delete(sessions).where(and(mine, or(expired, inArray(sessions.id, beyond))));
      await tx.insert(sessions).values({ ...session, scope, usedAt: [], createdAt: new Date(now) });
    });
    return session;
  }

  async rotate(id: string, generation: number, { grace }: { grace: number }): Promise<Session | null> {
    if (!isUuid(id)) return null;
    return this.#orm.transaction(async (tx) => {
      const [session] = await tx.select().from(sessions).where(eq(sessions.id, id)).for("update");
      if (!session) return null;
      const now = this.#clock.now();
      const { accountId, expiresAt } = session;
      if (expiresAt.getTime() > now) {
        const successor = { id, accountId, generation: generation + 1, expiresAt };
        if (generation === session.generation) {
          const recent = session.usedAt.filter((used) => now - used.getTime() <= grace).slice(1 - maxRemembered);
          const usedAt = [...recent, new Date(now)];
          await tx.update(sessions).set({ generation: successor.generation, usedAt }).where(eq(sessions.id, id));
          return successor;
        }
        if (isRepeatable(session, generation, now - grace)) return successor;
      }
      await tx.delete(sessions).where(eq(sessions.id, id));
      return null;
    });
  }

  async close(id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const closed = await this.#orm.delete(sessions).where(eq(sessions.id, id)).returning({ id: sessions.id });
    return closed.length > 0;
  }

  async closeAll(accountId: string, scope: string): Promise<string[]> {
    if (!isUuid(accountId)) return [];
    const closed = await this.#orm
      .delete(sessions)
      .where(and(eq(sessions.accountId, accountId), eq(sessions.scope, scope)))
      .returning({ id: sessions.id });
    return closed.map(({ id }) => id);
  }

  async purgeExpired(): Promise<number> {
    const expired = await this.#orm
      .delete(sessions)
      .where(lte(sessions.expiresAt, new Date(this.#clock.now())))
      .returning({ id: sessions.id });
    return expired.length;
  }
}

/** Whether the successor of a replaced generation is unused, or was first used at `since` or later. */
function isRepeatable(session: typeof sessions.$inferSelect, generation: number, since: number): boolean {
  if (!Number.isInteger(generation) || generation < 1 || generation > session.generation) return false;
  const successor = generation + 1;
  if (successor === session.generation) return true;
  // The last remembered time is that of the generation just before the newest.
  const firstUse = session.usedAt.at(successor - session.generation);
  return firstUse !== undefined && firstUse.getTime() >= since;
}
