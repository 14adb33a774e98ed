import { randomBytes } from "node:crypto";
import { and, eq, gt, inArray, isNotNull, lte } from "drizzle-orm";
import * as v from "valibot";
import { accounts } from "../../accounts/tables.ts";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { errors } from "./errors.ts";
import { hashOf, Seal } from "./seal.ts";
import { retiredTokens, sessions, users } from "./tables.ts";

/** W-3.21 */
const Credentials = v.object({
  sessionId: v.string(),
  accessToken: v.string(),
  refreshToken: v.string(),
  accessTokenExpiredAt: v.string(),
  refreshTokenExpiredAt: v.string(),
});
export type Credentials = v.InferOutput<typeof Credentials>;

/** A refresh that gets no tokens. */
export interface RefusedRefresh {
  readonly refused: "credentials_invalid" | "refresh_expired";
  /** The session that was ended for it. */
  readonly revoked?: string;
}

/** Who shows a token. */
export interface Bearer {
  readonly userId: string;
  readonly sessionId: string;
  readonly isGuest: boolean;
  /** When the session's newest access token ends (W-2.12). */
  readonly accessExpiresAt: Date;
}

/** Times in milliseconds. */
export interface SessionOptions {
  readonly accessTtl: number;
  readonly refreshTtl: number;
  readonly refreshGrace: number;
}

/** Milliseconds for which it is remembered that a session expired, to say so (W-2.9). */
const REMEMBERED = 7 * 86_400_000;

/** Logins and their tokens (section 2). Tokens are random and kept as hashes alone. */
export class Sessions {
  readonly #orm: Orm;
  readonly #clock: Clock;
  readonly #options: SessionOptions;

  constructor(parts: { database: Database; clock: Clock }, options: SessionOptions) {
    this.#orm = parts.database.orm;
    this.#clock = parts.clock;
    this.#options = options;
  }

  /** Opens a session (W-2.3). */
  async open(userId: string, orm: Orm = this.#orm): Promise<Credentials> {
    const pair = this.#mint(crypto.randomUUID());
    await orm.insert(sessions).values({ ...stored(pair), id: pair.sessionId, userId, createdAt: this.#now });
    return pair;
  }

  /** Whose access token this is (W-2.4, W-2.8). Throws `bad_token` or `access_expired`. */
  async bearer(accessToken: string): Promise<Bearer> {
    const hash = hashOf(accessToken);
    const current = await this.#find(eq(sessions.accessHash, hash));
    if (current) {
      if (current.accessExpiresAt > this.#now) return current;
      throw errors.fault("access_expired");
    }
    const [retired] = await this.#orm.select().from(retiredTokens).where(eq(retiredTokens.accessHash, hash));
    const session = retired && (await this.#find(eq(sessions.id, retired.sessionId)));
    if (!session) throw errors.fault("bad_token");
    if (retired.accessExpiresAt > this.#now && this.#isInGrace(retired.retiredAt)) return session;
    throw errors.fault("access_expired");
  }

  /** Which session a refresh token belongs to, or belonged to. */
  async ofRefreshToken(refreshToken: string): Promise<string | null> {
    const hash = hashOf(refreshToken);
    const [current] = await this.#orm.select({ id: sessions.id }).from(sessions).where(eq(sessions.refreshHash, hash));
    if (current) return current.id;
    const [retired] = await this.#orm
      .select({ id: retiredTokens.sessionId })
      .from(retiredTokens)
      .where(eq(retiredTokens.refreshHash, hash));
    return retired?.id ?? null;
  }

  /**
   * Trades a pair for its successor (W-2.5..W-2.9). A refusal may have ended the session, which is then named, so that
   * its sockets can be closed.
   */
  refresh(accessToken: string, refreshToken: string): Promise<Credentials | RefusedRefresh> {
    return this.#orm.transaction((tx) => this.#rotate(tx, hashOf(accessToken), refreshToken));
  }

  /** Ends a session; false if it had ended (W-2.10). */
  async close(id: string, orm: Orm = this.#orm): Promise<boolean> {
    return (await orm.delete(sessions).where(eq(sessions.id, id)).returning({ id: sessions.id })).length > 0;
  }

  /** Ends every session of a user. */
  async closeAll(userId: string, orm: Orm = this.#orm): Promise<void> {
    await orm.delete(sessions).where(eq(sessions.userId, userId));
  }

  /** When the newest access tokens of sessions end; those that have ended are missing (W-2.13). */
  async expiries(ids: readonly string[]): Promise<Map<string, Date>> {
    if (ids.length === 0) return new Map();
    const rows = await this.#orm
      .select({ id: sessions.id, expires: sessions.accessExpiresAt })
      .from(sessions)
      .where(inArray(sessions.id, [...ids]));
    return new Map(rows.map(({ id, expires }) => [id, expires]));
  }

  /** Forgets the replies whose grace is over and the sessions that have expired. */
  async tidy(): Promise<void> {
    const before = new Date(this.#clock.now() - this.#options.refreshGrace);
    await this.#orm
      .update(retiredTokens)
      .set({ reply: null })
      .where(and(isNotNull(retiredTokens.reply), lte(retiredTokens.retiredAt, before)));
    const forgotten = new Date(this.#clock.now() - REMEMBERED);
    await this.#orm.delete(sessions).where(lte(sessions.refreshExpiresAt, forgotten));
  }

  async #rotate(tx: Orm, accessHash: string, refreshToken: string): Promise<Credentials | RefusedRefresh> {
    const refreshHash = hashOf(refreshToken);
    // Held to the end, so that of simultaneous calls one trades the pair and the others repeat its answer.
    const [session] = await tx.select().from(sessions).where(eq(sessions.refreshHash, refreshHash)).for("update");
    if (!session) return this.#repeat(tx, refreshHash, accessHash, refreshToken);
    if (session.accessHash !== accessHash) return { refused: "credentials_invalid" };
    if (session.refreshExpiresAt <= this.#now) return { refused: "refresh_expired" };
    const pair = this.#mint(session.id);
    await tx.insert(retiredTokens).values({
      refreshHash,
      accessHash,
      accessExpiresAt: session.accessExpiresAt,
      sessionId: session.id,
      retiredAt: this.#now,
      reply: new Seal(refreshToken).seal(JSON.stringify(pair)),
    });
    await tx.update(sessions).set(stored(pair)).where(eq(sessions.id, session.id));
    return pair;
  }

  /**
   * An old pair again: the same answer within the grace (W-2.6). After it the session ends, whatever access token came
   * along: who has the refresh token alone is no less a stranger (W-2.7).
   */
  async #repeat(
    tx: Orm,
    refreshHash: string,
    accessHash: string,
    refreshToken: string,
  ): Promise<Credentials | RefusedRefresh> {
    const [retired] = await tx.select().from(retiredTokens).where(eq(retiredTokens.refreshHash, refreshHash));
    if (!retired) return { refused: "credentials_invalid" };
    const { reply, retiredAt, sessionId } = retired;
    if (reply !== null && this.#isInGrace(retiredAt)) {
      if (retired.accessHash !== accessHash) return { refused: "credentials_invalid" };
      return v.parse(v.pipe(v.string(), v.parseJson(), Credentials), new Seal(refreshToken).open(reply));
    }
    await this.close(sessionId, tx);
    return { refused: "credentials_invalid", revoked: sessionId };
  }

  async #find(condition: ReturnType<typeof eq>): Promise<Bearer | undefined> {
    const [found] = await this.#orm
      .select({
        userId: sessions.userId,
        sessionId: sessions.id,
        isGuest: users.isGuest,
        accessExpiresAt: sessions.accessExpiresAt,
      })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .innerJoin(accounts, eq(accounts.id, sessions.userId))
      .where(and(condition, eq(accounts.disabled, false), gt(sessions.refreshExpiresAt, this.#now)));
    return found;
  }

  #mint(sessionId: string): Credentials {
    const now = this.#clock.now();
    return {
      sessionId,
      accessToken: newToken(),
      refreshToken: newToken(),
      accessTokenExpiredAt: new Date(now + this.#options.accessTtl).toISOString(),
      refreshTokenExpiredAt: new Date(now + this.#options.refreshTtl).toISOString(),
    };
  }

  #isInGrace(retiredAt: Date): boolean {
    return retiredAt.getTime() + this.#options.refreshGrace > this.#clock.now();
  }

  get #now(): Date {
    return new Date(this.#clock.now());
  }
}

/** W-2.1 */
const newToken = () => randomBytes(32).toString("hex");

function stored(pair: Credentials) {
  return {
    accessHash: hashOf(pair.accessToken),
    accessExpiresAt: new Date(pair.accessTokenExpiredAt),
    refreshHash: hashOf(pair.refreshToken),
    refreshExpiresAt: new Date(pair.refreshTokenExpiredAt),
  };
}
