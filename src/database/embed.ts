import { readdirSync, readFileSync } from "node:fs";

/** One step of the schema's history. */
export interface Migration {
  /** File name without its ending; the history's order is that of the names. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the SQL. */
  readonly hash: string;
}

/**
 * Reads the SQL files of `drizzle/`. Called as a macro: Bun runs it while it transpiles the caller and puts the result
 * in its place, so the files are part of the executable and none can be left out.
 */
export function migrationFiles(): Migration[] {
  const folder = new URL("../../drizzle/", import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith(".sql"))
    .sort()
    .map((file) => {
      const sql = readFileSync(new URL(file, folder), "utf8");
      return {
        name: file.slice(0, -".sql".length),
        sql,
        hash: new Bun.CryptoHasher("sha256").update(sql).digest("hex"),
      };
    });
}
