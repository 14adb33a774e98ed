import { sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database, Orm } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";

const DAY = 86_400_000;
/** Days that have a partition before they begin: a node may be down, or its task late, for most of that time. */
const AHEAD = 3;
const tables = ["records", "events"] as const;
/** Any number nobody else takes: nodes change partitions one at a time. */
const LOCK = 7_242_863;
/** Milliseconds a change waits for running statements before it gives way to them and is tried at the next look. */
const LOCK_TIMEOUT = 2_000;

/**
 * Records and events lie in one partition a UTC day, which are dropped as a whole when their time is over: no statement
 * has to find and remove a day's rows. What no partition is there for, such as reports that come a month late, lies in
 * `<table>_other`.
 */
export class Partitions {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor({ database, clock, log }: { database: Database; clock: Clock; log: Log }) {
    this.#database = database;
    this.#clock = clock;
    this.#log = log;
  }

  /** Makes the partitions of today and the days to come. */
  async prepare(): Promise<void> {
    const today = Math.floor(this.#clock.now() / DAY);
    const present = await this.#present();
    for (const table of tables) {
      for (let day = today; day <= today + AHEAD; day++) {
        const name = nameOf(table, day);
        if (present.has(name)) continue;
        const [from, to] = [bound(day), bound(day + 1)];
        const made = `create table if not exists fleet.${name} partition of fleet.${table} for values from ('${from}') to ('${to}')`;
        await this.#change(made, name);
      }
    }
  }

  /** Drops the partitions of days that ended before a moment. */
  async drop(before: number): Promise<void> {
    for (const name of await this.#present()) {
      const [, year, month, day] = /_(\d{4})(\d\d)(\d\d)$/.exec(name) ?? [];
      if (year === undefined || Date.UTC(Number(year), Number(month) - 1, Number(day) + 1) > before) continue;
      await this.#change(`drop table if exists fleet.${name}`, name);
    }
  }

  async #present(): Promise<Set<string>> {
    const rows = await this.#database.orm.execute<{ name: string }>(sql`
      select child.relname as name from pg_inherits
      join pg_class child on child.oid = inhrelid
      where inhparent in ('fleet.records'::regclass, 'fleet.events'::regclass)`);
    return new Set(rows.map(({ name }) => name));
  }

  /** A day that could not be changed now (somebody reads it, rows of it lie in `_other`) is no reason to stop. */
  async #change(statement: string, name: string): Promise<void> {
    try {
      await this.#database.orm.transaction(async (tx) => {
        await (tx as unknown as Orm).execute(sql`select pg_advisory_xact_lock(${LOCK})`);
        await tx.execute(sql.raw(`set local lock_timeout = ${LOCK_TIMEOUT}`));
        await tx.execute(sql.raw(statement));
      });
    } catch (error) {
      this.#log.warn({ partition: name, error }, "partition not changed");
    }
  }
}

const bound = (day: number) => new Date(day * DAY).toISOString();
const nameOf = (table: string, day: number) => `${table}_${bound(day).slice(0, 10).replaceAll("-", "")}`;
