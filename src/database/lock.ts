import { SQLiteError, Database as Sqlite } from "bun:sqlite";

/** Another process works in the data folder. */
export class DataFolderInUse extends Error {
  override readonly name = "DataFolderInUse";
}

/**
 * Keeps other processes out of a data folder until the returned function is called or this process ends, however it
 * ends. SQLite takes the lock because it takes it from the operating system, on every platform and across containers
 * that share a volume; a file with a process id in it would outlive a killed process and lie after a restart.
 *
 * Throws {@link DataFolderInUse}.
 */
export function lockFolder(folder: string): () => void {
  const file = new Sqlite(`${folder}/db.lock`, { create: true });
  try {
    file.run("PRAGMA busy_timeout = 0");
    file.run("BEGIN EXCLUSIVE");
  } catch (error) {
    file.close();
    if (error instanceof SQLiteError && error.code?.startsWith("SQLITE_BUSY")) {
      throw new DataFolderInUse(
        `the data folder ${folder} is in use by another process; give each its own DATA_DIR, or one Postgres to all of them`,
      );
    }
    throw error;
  }
  return () => file.close();
}
