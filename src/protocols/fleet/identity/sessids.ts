import { and, eq, gt, inArray, lte, sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { hashOf, newSessid } from "../secrets.ts";
import { sessions } from "../tables.ts";

/** A living SESSID as the store knows it. Times are epoch milliseconds. */
export interface StoredSession {
  readonly hash: string;
  readonly user: number;
  readonly expiresAt: number;
}

/** The SESSIDs of all nodes (F-2.4). */
export class Sessids {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #ttl: number;

  constructor(parts: { database: Database; clock: Clock }, ttl: number) {
    this.#database = parts.database;
    this.#clock = parts.clock;
    this.#ttl = ttl;
  }

  /** Binds a SESSID to the user, or prolongs it; null when it is another user's (F-3.17). Without one it makes one. */
  async grant(user: number, given?: string): Promise<{ sessid: string; expiresAt: number } | null> {
    const sessid = given ?? newSessid();
    const now = new Date(this.#clock.now());
    const expiresAt = new Date(now.getTime() + this.#ttl);
    const [row] = await this.#database.orm
      .insert(sessions)
      .values({ hash: hashOf(sessid), user, expiresAt })
      .onConflictDoUpdate({
        target: sessions.hash,
        set: { user, expiresAt },
        setWhere: sql`${sessions.user} = ${user} or ${sessions.expiresAt} <= ${now.toISOString()}`,
      })
      .returning({ hash: sessions.hash });
    return row ? { sessid, expiresAt: expiresAt.getTime() } : null;
  }

  /** The living session of this SESSID; null when there is none. */
  async find(sessid: string): Promise<StoredSession | null> {
    const living = gt(sessions.expiresAt, new Date(this.#clock.now()));
    const [row] = await this.#database.orm
      .select()
      .from(sessions)
      .where(and(eq(sessions.hash, hashOf(sessid)), living));
    return row ? { ...row, expiresAt: row.expiresAt.getTime() } : null;
  }

  /** When these sessions end; one that was revoked or removed is left out. */
  async expiries(hashes: readonly string[]): Promise<Map<string, number>> {
    if (hashes.length === 0) return new Map();
    const rows = await this.#database.orm
      .select({ hash: sessions.hash, expiresAt: sessions.expiresAt })
      .from(sessions)
      .where(inArray(sessions.hash, [...hashes]));
    return new Map(rows.map(({ hash, expiresAt }) => [hash, expiresAt.getTime()]));
  }

  /** Removes sessions that ended a day ago: until then a socket can still be told that its session expired. */
  async purge(): Promise<void> {
    await this.#database.orm.delete(sessions).where(lte(sessions.expiresAt, new Date(this.#clock.now() - 86_400_000)));
  }
}
