import { Unsealable } from "../seal.ts";

/** What can be read of rows that hold sealed texts; those whose key the settings no longer have are passed over. */
export function readable<Row, T>(rows: readonly Row[], read: (row: Row) => T): T[] {
  return rows.flatMap((row) => {
    try {
      return [read(row)];
    } catch (error) {
      if (error instanceof Unsealable) return [];
      throw error;
    }
  });
}

/** Those that are passed over. */
export function unreadable<Row>(rows: readonly Row[], read: (row: Row) => unknown): Row[] {
  return rows.filter((row) => readable([row], read).length === 0);
}
