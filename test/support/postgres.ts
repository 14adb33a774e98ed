import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import type { Database } from "../../src/database/database.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openDatabase } from "../../src/database/open.ts";
import { startPostgres } from "./postgres-server.ts";
import { quietLog } from "./quiet-log.ts";

export type DatabaseKind = Database["kind"];

/** URL of a Postgres server whose role may create databases; undefined when there is none and none can be started. */
export const postgresUrl = await findServer();

/** The kinds of database that can be tested here: `for (const kind of databaseKinds) describe(...)`. */
export const databaseKinds: readonly DatabaseKind[] = postgresUrl ? ["embedded", "postgres"] : ["embedded"];

/** Where a fresh database is: settings for `openDatabase`, and how to get rid of it. */
export interface FreshDatabase {
  readonly databaseUrl?: string;
  readonly dataDir: string;
  remove(): Promise<void>;
}

/** Makes an empty database of a kind: a database on the test server, or a data folder. Nothing opens it yet. */
export async function freshDatabase(kind: DatabaseKind): Promise<FreshDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), "patchbay-data-"));
  const removeFolder = () => rm(dataDir, { recursive: true, force: true });
  if (kind === "embedded") return { dataDir, remove: removeFolder };
  if (!postgresUrl) throw new Error("there is no Postgres server to test with");
  const name = `${prefix}${Date.now()}_${crypto.randomUUID().slice(0, 8)}`;
  await administer(async (sql) => {
    await dropLeftovers(sql);
    await sql.unsafe(`create database ${name}`);
  });
  const url = new URL(postgresUrl);
  url.pathname = name;
  return {
    databaseUrl: url.href,
    dataDir,
    async remove() {
      await administer((sql) => sql.unsafe(`drop database if exists ${name} with (force)`));
      await removeFolder();
    },
  };
}

/** An open, migrated database of its own for a suite; `remove` closes and removes it. */
export async function openFreshDatabase(
  kind: DatabaseKind,
): Promise<{ readonly database: Database; remove(): Promise<void> }> {
  const fresh = await freshDatabase(kind);
  const database = await openDatabase(fresh, { log: quietLog });
  await migrate(database, quietLog);
  return {
    database,
    async remove() {
      await database.close();
      await fresh.remove();
    },
  };
}

/** Followed by the time of creation in milliseconds. */
const prefix = "patchbay_test_";
/** Milliseconds after which nobody can still be testing with a database. */
const leftoverAge = 3_600_000;

/** Drops what tests that were killed have left behind. */
async function dropLeftovers(sql: postgres.Sql): Promise<void> {
  const rows = await sql<{ datname: string }[]>`select datname from pg_database where starts_with(datname, ${prefix})`;
  for (const { datname } of rows) {
    const created = Number.parseInt(datname.slice(prefix.length), 10);
    // Another process may drop it at the same moment.
    if (created < Date.now() - leftoverAge) await sql.unsafe(`drop database if exists ${datname}`).catch(() => {});
  }
}

/** Runs statements on the test server outside any test database. */
async function administer(work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(postgresUrl as string, { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}

/** TEST_DATABASE_URL, else the usual local server, else one started from the binaries on this machine. */
async function findServer(): Promise<string | undefined> {
  const candidates = [process.env.TEST_DATABASE_URL, "postgres://postgres@127.0.0.1:5432/postgres"];
  for (const url of candidates) if (url && (await answers(url))) return url;
  const started = await startPostgres();
  if (started && (await answers(started.url, 100))) return started.url;
  const warning = "NO POSTGRES: set TEST_DATABASE_URL or install its server; the Postgres half of the tests is NOT RUN";
  if (process.env.CI === "true") throw new Error(warning);
  console.error(`\n*** ${warning} ***\n`);
  return undefined;
}

/** Whether a server answers, tried up to `attempts` times with 200 ms between them. */
async function answers(url: string, attempts = 1): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 20 });
  try {
    for (let attempt = 1; ; attempt++) {
      const works = await sql`select 1`.then(Boolean, () => false);
      if (works || attempt >= attempts) return works;
      await Bun.sleep(200);
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
}
