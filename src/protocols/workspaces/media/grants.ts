import { and, eq, inArray, isNotNull, isNull, lt, ne, notExists, notInArray, or, sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database, Orm } from "../../../database/database.ts";
import type { Seal } from "../seal.ts";
import { connections } from "../tables.ts";
import type { Seat } from "./media.ts";
import { randomToken } from "./random.ts";
import { readable, unreadable } from "./readable.ts";
import { mediaGrants } from "./tables.ts";

/** The two tokens of one connection (W-10.11), plain. */
export interface TokenPair {
  readonly id: string;
  readonly channelId: string;
  readonly userId: string;
  readonly server: string;
  readonly serverToken: string;
  readonly channelToken: string;
}

/** One that ended. */
export interface EndedPair extends TokenPair {
  readonly expelled: boolean;
}

/** A socket and the grant it holds. */
export interface Holder {
  readonly socketId: string;
  readonly userId: string;
  readonly grant: string;
}

type Row = typeof mediaGrants.$inferSelect;

/** Milliseconds a node has for removing a pair of tokens; then another one takes over. */
const LEASE = 20_000;
/** Milliseconds from the making of a grant until its connection must be known to hold it. */
const YOUTH = 30_000;
const DAY = 86_400_000;
/** Rows looked at by one purge. */
const MAX_PURGED = 1_000;

/** Tokens on record: those that work, and those that are to be removed (W-10.12, W-10.13). */
export class Grants {
  readonly #database: Database;
  readonly #seal: Seal;
  readonly #clock: Clock;

  constructor(parts: { database: Database; seal: Seal; clock: Clock }) {
    this.#database = parts.database;
    this.#seal = parts.seal;
    this.#clock = parts.clock;
  }

  /** Records two fresh tokens. */
  async add(tx: Orm, { channelId, userId }: Seat, server: string): Promise<TokenPair> {
    const pair = { id: crypto.randomUUID(), channelId, userId, server, ...freshTokens() };
    await tx.insert(mediaGrants).values({ ...pair, ...this.#sealed(pair), createdAt: this.#now() });
    return pair;
  }

  /** A grant that has not ended. */
  async find(id: string, tx: Orm = this.#database.orm): Promise<TokenPair | null> {
    const rows = await tx
      .select()
      .from(mediaGrants)
      .where(and(sql`${mediaGrants.id}::text = ${id}`, isNull(mediaGrants.endedAt)));
    return readable(rows, (row) => this.#plain(row))[0] ?? null;
  }

  /** Grants of a conversation that have not ended. */
  async live(channelId: string, server: string, tx: Orm = this.#database.orm): Promise<TokenPair[]> {
    const rows = await tx.select().from(mediaGrants).where(living(channelId, server));
    return readable(rows, (row) => this.#plain(row));
  }

  /** Ends a grant; its tokens are the caller's to remove, within the lease. False when it had ended, or has moved. */
  async end(tx: Orm, { id, server }: TokenPair, expelled: boolean): Promise<boolean> {
    const ended = await tx
      .update(mediaGrants)
      .set({ endedAt: this.#now(), expelled, leasedUntil: this.#lease() })
      .where(and(eq(mediaGrants.id, id), eq(mediaGrants.server, server), isNull(mediaGrants.endedAt)))
      .returning({ id: mediaGrants.id });
    return ended.length > 0;
  }

  /** Gives a grant new tokens on another server; the old ones are on record as to be removed (W-10.25). */
  async move(tx: Orm, pair: TokenPair, server: string): Promise<void> {
    const former = { ...pair, ...this.#sealed(pair), id: crypto.randomUUID() };
    await tx.insert(mediaGrants).values({ ...former, createdAt: this.#now(), endedAt: this.#now() });
    await tx
      .update(mediaGrants)
      .set({ server, ...this.#sealed(freshTokens()) })
      .where(eq(mediaGrants.id, pair.id));
  }

  /** Whether this user has another grant of the same conversation. */
  async hasAnother({ id, channelId, server, userId }: TokenPair): Promise<boolean> {
    const others = and(living(channelId, server), eq(mediaGrants.userId, userId), ne(mediaGrants.id, id));
    const rows = await this.#database.orm.select({ id: mediaGrants.id }).from(mediaGrants).where(others).limit(1);
    return rows.length > 0;
  }

  /** Ended grants whose tokens no node is at removing; they are the caller's for the lease. */
  async claimEnded(servers: readonly string[], limit: number): Promise<EndedPair[]> {
    if (servers.length === 0) return [];
    const { orm } = this.#database;
    const free = or(isNull(mediaGrants.leasedUntil), lt(mediaGrants.leasedUntil, this.#now()));
    const claimable = orm
      .select({ id: mediaGrants.id })
      .from(mediaGrants)
      .where(and(isNotNull(mediaGrants.endedAt), inArray(mediaGrants.server, [...servers]), free))
      .limit(limit)
      .for("update", { skipLocked: true });
    const rows = await orm
      .update(mediaGrants)
      .set({ leasedUntil: this.#lease() })
      .where(inArray(mediaGrants.id, claimable))
      .returning();
    return readable(rows, (row) => ({ ...this.#plain(row), expelled: row.expelled }));
  }

  /** The tokens of an ended grant could not be removed: to be tried again. */
  async release({ id }: TokenPair): Promise<void> {
    await this.#database.orm.update(mediaGrants).set({ leasedUntil: null }).where(eq(mediaGrants.id, id));
  }

  /** The tokens of an ended grant are removed. */
  async forget({ id }: TokenPair): Promise<void> {
    await this.#database.orm.delete(mediaGrants).where(and(eq(mediaGrants.id, id), isNotNull(mediaGrants.endedAt)));
  }

  /**
   * Drops, after a day, what cannot be removed: tokens on servers that are not in the settings any more, and those sealed
   * with a key that is not (W-14.11).
   */
  async purge(known: readonly string[]): Promise<void> {
    const { orm } = this.#database;
    const yesterday = new Date(this.#clock.now() - DAY);
    const endedLongAgo = lt(mediaGrants.endedAt, yesterday);
    await orm.delete(mediaGrants).where(and(endedLongAgo, notInArray(mediaGrants.server, [...known])));
    const left = and(lt(mediaGrants.createdAt, yesterday), or(isNotNull(mediaGrants.endedAt), this.#isOrphan()));
    const rows = await orm.select().from(mediaGrants).where(left).limit(MAX_PURGED);
    const lost = unreadable(rows, (row) => this.#plain(row)).map(({ id }) => id);
    if (lost.length > 0) await orm.delete(mediaGrants).where(inArray(mediaGrants.id, lost));
  }

  /** Grants that no connection holds and that are no longer young. */
  async orphans(limit: number): Promise<string[]> {
    const old = lt(mediaGrants.createdAt, new Date(this.#clock.now() - YOUTH));
    const rows = await this.#database.orm
      .select({ id: mediaGrants.id })
      .from(mediaGrants)
      .where(and(old, this.#isOrphan()))
      .limit(limit);
    return rows.map(({ id }) => id);
  }

  /** The sockets, not those that are lost, that hold grants on a server, or of one conversation there. */
  async holders(server: string, channelId?: string): Promise<Holder[]> {
    const of = channelId === undefined ? undefined : eq(mediaGrants.channelId, channelId);
    return this.#database.orm
      .select({ socketId: connections.id, userId: connections.userId, grant: mediaGrants.id })
      .from(connections)
      .innerJoin(mediaGrants, eq(connections.mediaGrant, sql`${mediaGrants.id}::text`))
      .where(and(eq(mediaGrants.server, server), of, isNull(mediaGrants.endedAt), isNull(connections.graceUntil)));
  }

  /** It has not ended, and no connection holds it. */
  #isOrphan() {
    const holders = this.#database.orm
      .select({ id: connections.id })
      .from(connections)
      .where(eq(connections.mediaGrant, sql`${mediaGrants.id}::text`));
    return and(isNull(mediaGrants.endedAt), notExists(holders));
  }

  #sealed({ serverToken, channelToken }: Pick<TokenPair, "serverToken" | "channelToken">) {
    return { serverToken: this.#seal.seal(serverToken), channelToken: this.#seal.seal(channelToken) };
  }

  #plain({ id, channelId, userId, server, serverToken, channelToken }: Row): TokenPair {
    const tokens = { serverToken: this.#seal.open(serverToken), channelToken: this.#seal.open(channelToken) };
    return { id, channelId, userId, server, ...tokens };
  }

  #now(): Date {
    return new Date(this.#clock.now());
  }

  #lease(): Date {
    return new Date(this.#clock.now() + LEASE);
  }
}

function living(channelId: string, server: string) {
  return and(eq(mediaGrants.channelId, channelId), eq(mediaGrants.server, server), isNull(mediaGrants.endedAt));
}

function freshTokens() {
  return { serverToken: randomToken(), channelToken: randomToken() };
}
