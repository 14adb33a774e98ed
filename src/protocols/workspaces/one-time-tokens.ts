import { randomBytes } from "node:crypto";
import { and, eq, gt, isNull, lte, ne, or } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { hashOf } from "./seal.ts";
import { oneTimeTokens } from "./tables.ts";

export type TokenKind = "link" | "verification" | "reset";

/** Milliseconds each kind lives (W-2.16). */
const LIVES: Record<TokenKind, number> = { link: 600_000, verification: 86_400_000, reset: 3_600_000 };
/** 82 hex characters (W-2.16). */
const BYTES = 41;

/** Codes that are good once: auth links, verifications, password resets. */
export class OneTimeTokens {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(parts: { database: Database; clock: Clock }) {
    this.#database = parts.database;
    this.#clock = parts.clock;
  }

  /** @param email the address a verification is for: it must not verify another one */
  async issue(kind: TokenKind, userId: string, email?: string): Promise<string> {
    const token = randomBytes(BYTES).toString("hex");
    const expiresAt = new Date(this.#clock.now() + LIVES[kind]);
    await this.#database.orm.insert(oneTimeTokens).values({ hash: hashOf(token), kind, userId, email, expiresAt });
    return token;
  }

  /** Uses a token up; whose it is and for which address, or null. Of several callers exactly one gets it. */
  async redeem(
    kind: TokenKind,
    token: string,
    orm: Orm = this.#database.orm,
  ): Promise<{ userId: string; email: string | null } | null> {
    const [row] = await orm
      .update(oneTimeTokens)
      .set({ usedAt: this.#now })
      .where(and(this.#isGood(token), eq(oneTimeTokens.kind, kind)))
      .returning({ userId: oneTimeTokens.userId, email: oneTimeTokens.email });
    return row ?? null;
  }

  /** Ends every token of a user but the verification of the address that is his already. */
  async withdraw(userId: string, ownEmail: string | null, orm: Orm): Promise<void> {
    const ends = or(ne(oneTimeTokens.kind, "verification"), ne(oneTimeTokens.email, ownEmail ?? ""));
    await orm.delete(oneTimeTokens).where(and(eq(oneTimeTokens.userId, userId), ends));
  }

  /** True for a token that could be redeemed now. */
  async isGood(token: string): Promise<boolean> {
    const rows = await this.#database.orm
      .select({ hash: oneTimeTokens.hash })
      .from(oneTimeTokens)
      .where(this.#isGood(token));
    return rows.length > 0;
  }

  /** Forgets those that are over. */
  async tidy(): Promise<void> {
    await this.#database.orm.delete(oneTimeTokens).where(lte(oneTimeTokens.expiresAt, this.#now));
  }

  #isGood(token: string) {
    return and(
      eq(oneTimeTokens.hash, hashOf(token)),
      isNull(oneTimeTokens.usedAt),
      gt(oneTimeTokens.expiresAt, this.#now),
    );
  }

  get #now(): Date {
    return new Date(this.#clock.now());
  }
}
