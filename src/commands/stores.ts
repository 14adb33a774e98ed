import { createAccounts } from "../accounts/store.ts";
import { systemClock } from "../clock.ts";
import type { GatewaySettings } from "../config/gateway.ts";
import type { Database } from "../database/database.ts";
import { DataFolderInUse } from "../database/lock.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/open.ts";
import { createLog, type Log } from "../observe/log.ts";
import type { CommandStores } from "../protocols/protocol.ts";

/** What commands other than `serve` have to say beside their result: only what matters, on standard error. */
export function commandLog(): Log {
  return createLog({ level: "warn", format: "auto", stream: process.stderr });
}

/** Another process, most likely a running gateway, has the embedded database. */
export class DatabaseTaken extends Error {
  override readonly name = "DatabaseTaken";
}

/** Opens the database of these settings. Throws {@link DatabaseTaken} with what to do then. */
export async function openStore(settings: GatewaySettings, log: Log): Promise<Database> {
  try {
    return await openDatabase(settings, { log });
  } catch (error) {
    if (!(error instanceof DataFolderInUse)) throw error;
    throw new DatabaseTaken(
      `the embedded database in ${settings.dataDir} belongs to a process that runs, most likely the gateway; ` +
        "stop it while this command works, or give both a Postgres (DATABASE_URL)",
    );
  }
}

/** Lends out a database that is up to date, and its accounts. Throws {@link DatabaseTaken}. */
export async function withStores<T>(
  settings: GatewaySettings,
  work: (stores: CommandStores) => Promise<T>,
): Promise<T> {
  const log = commandLog();
  const database = await openStore(settings, log);
  try {
    await migrate(database, log);
    return await work({ database, accounts: createAccounts(database, { clock: systemClock }) });
  } finally {
    await database.close();
  }
}
