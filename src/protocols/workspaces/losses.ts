import { and, eq, inArray, isNotNull, isNull, lte } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { gather } from "../../database/gather.ts";
import type { Log } from "../../observe/log.ts";
import type { Alarms } from "./alarms.ts";
import type { Changes } from "./changes.ts";
import type { ConnectionRow, Departures } from "./departures.ts";
import type { Notices } from "./notices.ts";
import type { Statuses } from "./status.ts";
import { connections } from "./tables.ts";

/** What losses are dealt with by. */
export interface LossParts {
  readonly alarms: Alarms;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly database: Database;
  readonly departures: Departures;
  readonly log: Log;
  readonly notices: Notices;
  readonly statuses: Statuses;
}

/** Times in milliseconds. */
export interface LossOptions {
  /** This run of this process. */
  readonly node: string;
  readonly grace: number;
  readonly graceInChannel: number;
}

/** Most connections looked at in one sweep. */
const SWEEP = 500;

/** Connections whose socket is gone: their grace, and its end (W-8.17 to W-8.19, W-7.11, W-11.22). */
export class Losses {
  readonly #parts: LossParts;
  readonly #options: LossOptions;
  /** Lost sockets whose loss could not be written yet. */
  readonly #unwritten = new Set<string>();
  readonly #loseOne: (id: string) => Promise<ConnectionRow | null>;

  constructor(parts: LossParts, options: LossOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#loseOne = gather({
      write: (ids) => this.#writeLosses(ids),
      maxRows: 500,
      maxWait: 1,
      maxQueued: 100_000,
    });
  }

  /** A socket is lost: it may come back for a while (W-8.17, W-8.18). Never rejects. */
  async lost(socketId: string): Promise<void> {
    this.#unwritten.add(socketId);
    try {
      const row = await this.#loseOne(socketId);
      this.#unwritten.delete(socketId);
      if (row) this.#tellLost(row);
    } catch (error) {
      this.#parts.log.warn({ error }, "a lost socket was not recorded, it will be tried again");
    }
  }

  /** The time of a lost connection is over, if it really is (W-8.19). */
  async expire(socketId: string): Promise<void> {
    const { departures, changes, statuses } = this.#parts;
    const [seen] = await this.#orm.select().from(connections).where(this.#isOverdue(socketId));
    if (!seen) return;
    await changes.ofUser(seen.userId, async (change) => {
      const user = await statuses.lock(change, seen.userId);
      const [row] = await change.tx.select().from(connections).where(this.#isOverdue(socketId)).for("update");
      if (user && row) await departures.removeConnection(change, user, socketId);
    });
  }

  /** Writes losses that could not be written, and expires what no alarm has rung for. */
  async sweep(): Promise<void> {
    for (const id of [...this.#unwritten]) await this.lost(id);
    const overdue = await this.#orm
      .select({ id: connections.id })
      .from(connections)
      .where(and(isNotNull(connections.graceUntil), lte(connections.graceUntil, this.#now)))
      .limit(SWEEP);
    for (const { id } of overdue) await this.expire(id);
  }

  /** The nodes that hold connections as the database has it. */
  async nodes(): Promise<string[]> {
    const rows = await this.#orm
      .selectDistinct({ node: connections.node })
      .from(connections)
      .where(isNull(connections.graceUntil));
    return rows.map(({ node }) => node);
  }

  /** The sockets of a node that died are lost, each once (W-7.11, W-11.22). */
  async abandon(node: string): Promise<void> {
    const rows = await this.#orm
      .select({ id: connections.id })
      .from(connections)
      .where(and(eq(connections.node, node), isNull(connections.graceUntil)));
    for (let at = 0; at < rows.length; at += SWEEP) {
      const ids = rows.slice(at, at + SWEEP).map(({ id }) => id);
      for (const row of await this.#writeLosses(ids, node)) if (row) this.#tellLost(row);
    }
  }

  /** This node was given up by mistake: a socket that is there counts again; false if it has to start anew. */
  async reclaim(socketId: string): Promise<boolean> {
    const { notices, alarms } = this.#parts;
    const mine = and(eq(connections.id, socketId), eq(connections.node, this.#options.node));
    const [before] = await this.#orm.select().from(connections).where(mine);
    if (!before) return false;
    if (before.graceUntil === null) return true;
    const [row] = await this.#orm.update(connections).set({ graceUntil: null }).where(mine).returning();
    if (!row) return false;
    alarms.cancel("grace", socketId);
    if (row.channelId !== null) notices.reconnecting(row.channelId, row.userId, false);
    return true;
  }

  /** Puts connections into grace; null for those that are no more, or belong to another node or are lost already. */
  async #writeLosses(ids: readonly string[], node = this.#options.node): Promise<(ConnectionRow | null)[]> {
    const { grace, graceInChannel } = this.#options;
    const now = this.#parts.clock.now();
    const lose = (inside: boolean, until: number) =>
      this.#orm
        .update(connections)
        .set({ graceUntil: new Date(until) })
        .where(
          and(
            inArray(connections.id, [...ids]),
            eq(connections.node, node),
            isNull(connections.graceUntil),
            inside ? isNotNull(connections.channelId) : isNull(connections.channelId),
          ),
        )
        .returning();
    const rows = [...(await lose(true, now + graceInChannel)), ...(await lose(false, now + grace))];
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => byId.get(id) ?? null);
  }

  #tellLost({ id, userId, channelId, graceUntil }: ConnectionRow): void {
    const { alarms, notices } = this.#parts;
    if (channelId !== null) notices.reconnecting(channelId, userId, true);
    if (graceUntil !== null) alarms.set("grace", id, graceUntil);
  }

  #isOverdue(socketId: string) {
    return and(eq(connections.id, socketId), isNotNull(connections.graceUntil), lte(connections.graceUntil, this.#now));
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }

  get #now(): Date {
    return new Date(this.#parts.clock.now());
  }
}
