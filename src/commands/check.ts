import { createClient } from "../backplane/redis/client.ts";
import { defaultTimes } from "../backplane/redis/times.ts";
import { parseRedisUrl } from "../backplane/redis/url.ts";
import { loadSettings } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { openPostgres } from "../database/postgres.ts";
import { maskText } from "../observe/redact.ts";
import { protocols } from "../protocols/index.ts";
import { commandLog } from "./stores.ts";
import { parseArguments } from "./usage.ts";

/** Milliseconds a store may take to answer: a machine that is busy starting others is no reason to say it does not. */
const timeLimit = 6_000;

/** `patchbay check [--connect]`. Faults of the settings are thrown, to be shown as at a start. */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  const { connect } = parseArguments(args, { connect: { type: "boolean" } }).values;
  const { gateway, warnings, serves } = loadSettings(protocols, env, { keep: false });
  if (gateway.redisUrl !== undefined) parseRedisUrl(gateway.redisUrl);
  for (const warning of warnings) console.log(`warning: ${warning}`);
  const served = protocols.map((protocol) => protocol.name).filter(serves);
  console.log(`the settings are sound; ${served.join(", ")} would be served on ${gateway.host}:${gateway.port}`);
  if (!connect) return 0;
  const answers = await Promise.all([
    tryOut("Postgres", gateway.databaseUrl, pingPostgres),
    tryOut("Redis", gateway.redisUrl, pingRedis),
  ]);
  return answers.every(Boolean) ? 0 : 1;
}

async function tryOut(name: string, url: string | undefined, ping: (url: string) => Promise<void>): Promise<boolean> {
  if (url === undefined) {
    console.log(`${name} is not set`);
    return true;
  }
  try {
    await ping(url);
    console.log(`${name} answers at ${maskText(url)}`);
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`${name} does not answer at ${maskText(url)}: ${maskText(reason)}`);
    return false;
  }
}

async function pingPostgres(url: string): Promise<void> {
  const database = openPostgres(url, { log: commandLog() });
  await database.orm.execute("select 1").finally(() => database.close());
}

/** Asks with a plain client: a backplane would take a lease and be a node of the installation for a moment. */
async function pingRedis(url: string): Promise<void> {
  const client = createClient(parseRedisUrl(url), { ...defaultTimes, command: timeLimit }, false);
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error("no answer in time")), timeLimit);
  client.once("ready", resolve);
  client.on("error", reject);
  try {
    await ready;
    await client.ping();
  } finally {
    clearTimeout(timer);
    client.disconnect();
  }
}
