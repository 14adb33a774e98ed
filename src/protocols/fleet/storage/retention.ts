import { sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Partitions } from "./partitions.ts";

/** Rows of one statement, so that none of them holds up the reports that come meanwhile; statements of one look. */
const PIECE = 2_000;
const MAX_PIECES = 500;

/** Removes what is older than it may be (F-6.6). */
export class Retention {
  readonly #database: Database;
  readonly #partitions: Partitions;
  readonly #clock: Clock;
  readonly #ages: { readonly history: number; readonly messages: number };

  /** Ages in milliseconds; 0 keeps everything. */
  constructor(
    parts: { database: Database; partitions: Partitions; clock: Clock },
    ages: { history: number; messages: number },
  ) {
    this.#database = parts.database;
    this.#partitions = parts.partitions;
    this.#clock = parts.clock;
    this.#ages = ages;
  }

  async run(): Promise<void> {
    const now = this.#clock.now();
    const { history, messages } = this.#ages;
    if (history > 0) {
      const before = now - history;
      await this.#partitions.drop(before);
      // Also in the partition that holds the moment itself.
      await this.#remove("records", "tmx", before);
      await this.#remove("events", "tmx", before);
      await this.#remove("driver_items", "rmx", before);
      await this.#remove("audit", "at", before);
    }
    if (messages > 0) await this.#remove("messages", "created_at", now - messages);
  }

  async #remove(table: string, column: string, before: number): Promise<void> {
    const [name, moment] = [sql.raw(`fleet.${table}`), sql.raw(column)];
    const limit = new Date(before).toISOString();
    for (let piece = 0; piece < MAX_PIECES; piece++) {
      const { count } = await this.#database.orm.execute(sql`
        delete from ${name} where (tableoid, ctid) in
          (select tableoid, ctid from ${name} where ${moment} < ${limit}::timestamptz limit ${PIECE})`);
      if (count < PIECE) return;
    }
  }
}
