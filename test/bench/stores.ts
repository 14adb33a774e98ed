import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";

/** Where a run keeps its data: a database, a Redis prefix and a folder of its own. */
export interface Stores {
  /** Name of the database and prefix of the Redis keys. */
  readonly name: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** A new, empty folder. */
  folder(): Promise<string>;
  /** A new, empty database; gives its URL. */
  database(): Promise<string>;
  /** A Redis prefix that nobody else uses. */
  keyPrefix(): string;
  /** Removes everything the run has made. */
  close(): Promise<void>;
}

const POSTGRES = process.env.BENCH_POSTGRES_URL ?? "postgres://postgres@127.0.0.1:5432/postgres";
const REDIS = process.env.BENCH_REDIS_URL ?? "redis://127.0.0.1:6379";

/** Opens the stores of this run. Throws when Postgres or Redis does not answer. */
export async function openStores(): Promise<Stores> {
  const name = `patchbay_bench_${process.pid}`;
  const admin = postgres(POSTGRES, { max: 1, onnotice: () => {} });
  const redis = new Redis(REDIS, { maxRetriesPerRequest: 1 });
  redis.on("error", (error) => console.error(`redis: ${error.message}`));
  const databases: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), "patchbay-bench-"));
  let made = 0;
  const database = async () => {
    const own = `${name}_${++made}`;
    await admin`create database ${admin(own)}`;
    databases.push(own);
    const url = new URL(POSTGRES);
    url.pathname = own;
    return url.href;
  };
  await redis.ping();
  return {
    name,
    databaseUrl: await database(),
    redisUrl: REDIS,
    database,
    folder: () => mkdtemp(join(folder, "data-")),
    keyPrefix: () => `${name}:${++made}:`,
    async close() {
      for (const own of databases) await admin`drop database if exists ${admin(own)} with (force)`;
      await admin.end();
      for await (const keys of redis.scanStream({ match: `${name}:*`, count: 1000 })) {
        if (keys.length > 0) await redis.unlink(keys);
      }
      await redis.quit();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
