import type { Log } from "../observe/log.ts";
import type { Database } from "./database.ts";
import { openPostgres } from "./postgres.ts";

/** Where the store is: a Postgres URL, or else a folder for the embedded one. */
export interface DatabaseSettings {
  readonly databaseUrl?: string | undefined;
  readonly dataDir: string;
}

/**
 * Opens the store. A Postgres server is not contacted yet: while it is away statements reject with
 * `DatabaseUnavailable`, and they work again when it is back. The embedded store is open when the promise resolves;
 * throws `DataFolderInUse` when another process has its folder.
 */
export async function openDatabase(settings: DatabaseSettings, deps: { readonly log: Log }): Promise<Database> {
  if (settings.databaseUrl) return openPostgres(settings.databaseUrl, deps);
  // PGlite takes 300 MB: its code is loaded only where it serves.
  const { openEmbedded } = await import("./embedded.ts");
  return openEmbedded(settings.dataDir, deps);
}
