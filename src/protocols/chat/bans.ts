import { and, asc, eq, gt, inArray, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database } from "../../database/database.ts";
import { bans, connections } from "./tables.ts";

/** A ban that is in force; `until` null lasts until it is removed. */
export interface Ban {
  readonly userId: string;
  readonly until: Date | null;
  /** For administrators only. */
  readonly reason: string | null;
}

/** Users looked up in one statement. */
const BATCH = 5_000;

const columns = { userId: bans.userId, until: bans.until, reason: bans.reason };

/** Who may not take part. A ban that has ended counts as none (C-3.31). */
export class Bans {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(parts: { database: Database; clock: Clock }) {
    this.#database = parts.database;
    this.#clock = parts.clock;
  }

  /** Bans a user for so many milliseconds, or until further notice; replaces an earlier ban. */
  async set(userId: string, { reason, duration }: { reason: string | null; duration: number | null }): Promise<Ban> {
    const now = this.#clock.now();
    const ban = { userId, reason, until: duration === null ? null : new Date(now + duration) };
    const row = { ...ban, createdAt: new Date(now) };
    await this.#database.orm.insert(bans).values(row).onConflictDoUpdate({ target: bans.userId, set: row });
    return ban;
  }

  async remove(userId: string): Promise<void> {
    await this.#database.orm.delete(bans).where(eq(bans.userId, userId));
  }

  async find(userId: string): Promise<Ban | null> {
    const [ban] = await this.#database.orm
      .select(columns)
      .from(bans)
      .where(and(eq(bans.userId, userId), this.#inForce()));
    return ban ?? null;
  }

  /** All bans in force, the oldest first. */
  async list(): Promise<Ban[]> {
    return await this.#database.orm
      .select(columns)
      .from(bans)
      .where(this.#inForce())
      .orderBy(asc(bans.createdAt), asc(bans.userId));
  }

  /** Those of the users who are banned. */
  async among(users: readonly string[]): Promise<string[]> {
    const banned: string[] = [];
    for (let at = 0; at < users.length; at += BATCH) {
      const rows = await this.#database.orm
        .select({ userId: bans.userId })
        .from(bans)
        .where(and(inArray(bans.userId, users.slice(at, at + BATCH)), this.#inForce()));
      banned.push(...rows.map(({ userId }) => userId));
    }
    return banned;
  }

  /** The number of a new connection of the user; null when he is banned. */
  async admit(userId: string): Promise<number | null> {
    const [row] = await this.#database.orm.execute<{ number: unknown; banned: boolean }>(sql`
      select nextval(${`chat.${connections.seqName}`}) as number,
        exists(select from ${bans} where ${bans.userId} = ${userId} and ${this.#inForce()}) as banned`);
    return row!.banned ? null : Number(row!.number);
  }

  /** Forgets the bans that have ended. */
  async purge(): Promise<void> {
    await this.#database.orm.delete(bans).where(lte(bans.until, this.#now()));
  }

  #inForce(): SQL | undefined {
    return or(isNull(bans.until), gt(bans.until, this.#now()));
  }

  #now(): Date {
    return new Date(this.#clock.now());
  }
}
