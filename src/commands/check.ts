import { openBackplane } from "../backplane/open.ts";
import { systemClock } from "../clock.ts";
import type { GatewaySettings } from "../config/gateway.ts";
import { loadSettings } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { openDatabase } from "../database/open.ts";
import { maskText } from "../observe/redact.ts";
import { protocols } from "../protocols/index.ts";
import { commandLog } from "./stores.ts";
import { parseArguments } from "./usage.ts";

/** `patchbay check [--connect]`. Faults of the settings are thrown, to be shown as at a start. */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  const { connect } = parseArguments(args, { connect: { type: "boolean" } }).values;
  const { gateway, warnings, serves } = loadSettings(protocols, env, { keep: false });
  for (const warning of warnings) console.log(`warning: ${warning}`);
  const served = protocols.map((protocol) => protocol.name).filter(serves);
  console.log(`the settings are sound; ${served.join(", ")} would be served on ${gateway.host}:${gateway.port}`);
  if (!connect) return 0;
  const answers = await Promise.all([
    tryOut("Postgres", gateway.databaseUrl, () => pingPostgres(gateway)),
    tryOut("Redis", gateway.redisUrl, () => pingRedis(gateway)),
  ]);
  return answers.every(Boolean) ? 0 : 1;
}

async function tryOut(name: string, url: string | undefined, ping: () => Promise<void>): Promise<boolean> {
  if (url === undefined) {
    console.log(`${name} is not set`);
    return true;
  }
  try {
    await ping();
    console.log(`${name} answers at ${maskText(url)}`);
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`${name} does not answer at ${maskText(url)}: ${maskText(reason)}`);
    return false;
  }
}

async function pingPostgres(settings: GatewaySettings): Promise<void> {
  const database = await openDatabase(settings, { log: commandLog(), clock: systemClock });
  await database.ping().finally(() => database.close());
}

async function pingRedis(settings: GatewaySettings): Promise<void> {
  const backplane = await openBackplane(settings, { log: commandLog(), clock: systemClock });
  await backplane.ping().finally(() => backplane.close());
}
