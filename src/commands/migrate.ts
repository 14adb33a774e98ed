import { loadGateway } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { migrate } from "../database/migrate.ts";
import { commandLog, openStore } from "./stores.ts";
import { parseArguments } from "./usage.ts";

/** `patchbay migrate` */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  parseArguments(args, {});
  const log = commandLog();
  const database = await openStore(loadGateway(env), log);
  try {
    const applied = await migrate(database, log);
    console.log(
      applied.length === 0 ? "the database is up to date" : applied.map((name) => `applied ${name}`).join("\n"),
    );
  } finally {
    await database.close();
  }
  return 0;
}
