import { sql } from "drizzle-orm";
import type { Log } from "../observe/log.ts";
import type { Database, Orm } from "./database.ts";
import { migrationFiles } from "./embed.ts" with { type: "macro" };
import type { Migration } from "./embed.ts";

/** The schema's history as this build knows it. */
export const migrations: readonly Migration[] = migrationFiles();

/** The database and this build do not share one history. */
export class MigrationRefused extends Error {
  override readonly name = "MigrationRefused";
}

/** Any number nobody else takes: nodes that start at once wait for each other on this advisory lock. */
const lockKey = 7_242_862;

/** drizzle-kit puts this line between statements. */
const breakpoint = "--> statement-breakpoint";

/**
 * Brings the database to the schema of this build and returns the names of the migrations it applied. Each is applied in
 * a transaction of its own, by one node at a time.
 *
 * Throws {@link MigrationRefused} when the database holds a migration this build does not know (it was made by a newer
 * one) or one whose text differs, and `DatabaseUnavailable`.
 */
export function migrate(database: Database, log: Log, history: readonly Migration[] = migrations): Promise<string[]> {
  return database.unhurried(async (orm) => {
    // Held by the connection, so it goes with it whatever happens.
    await orm.execute(sql`select pg_advisory_lock(${lockKey})`);
    try {
      return await applyMissing(orm, history, log);
    } finally {
      await orm.execute(sql`select pg_advisory_unlock(${lockKey})`);
    }
  });
}

async function applyMissing(orm: Orm, history: readonly Migration[], log: Log): Promise<string[]> {
  await orm.execute(sql`create schema if not exists migrations`);
  await orm.execute(sql`create table if not exists migrations.applied (
    name text primary key, hash text not null, applied_at timestamptz not null default now())`);
  const rows = await orm.execute<{ name: string; hash: string }>(sql`select name, hash from migrations.applied`);
  const applied = new Map(rows.map(({ name, hash }) => [name, hash]));
  refuseStrangers(applied, history);
  const missing = history.filter(({ name }) => !applied.has(name));
  for (const { name, hash, sql: text } of missing) {
    const started = performance.now();
    await orm.transaction(async (tx) => {
      for (const statement of text.split(breakpoint)) await tx.execute(sql.raw(statement));
      await tx.execute(sql`insert into migrations.applied (name, hash) values (${name}, ${hash})`);
    });
    log.info({ migration: name, ms: Math.round(performance.now() - started) }, "migration applied");
  }
  return missing.map(({ name }) => name);
}

function refuseStrangers(applied: ReadonlyMap<string, string>, history: readonly Migration[]): void {
  const known = new Map(history.map(({ name, hash }) => [name, hash]));
  for (const [name, hash] of applied) {
    if (!known.has(name)) {
      throw new MigrationRefused(
        `the database is newer than this build: it has migration ${name}; run the newer build`,
      );
    }
    if (known.get(name) !== hash) {
      throw new MigrationRefused(`migration ${name} was applied with another text than this build has`);
    }
  }
}
