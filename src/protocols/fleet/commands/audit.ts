import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { gather } from "../../../database/gather.ts";
import type { Log } from "../../../observe/log.ts";
import { audit } from "../tables.ts";

/** One thing that somebody did; `user` is null for the administrator (F-10.4). */
export interface Deed {
  readonly user: number | null;
  readonly uid: number | null;
  readonly action: string;
  readonly result: string;
}

/** Who did what. Notes are written beside the deed and never hold it up. */
export class Audit {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #write: (row: typeof audit.$inferInsert) => Promise<null>;

  constructor({ database, clock, log }: { database: Database; clock: Clock; log: Log }) {
    this.#clock = clock;
    this.#log = log;
    this.#write = gather({
      async write(rows: readonly (typeof audit.$inferInsert)[]) {
        await database.orm.insert(audit).values([...rows]);
        return rows.map(() => null);
      },
      maxRows: 200,
      maxWait: 50,
      maxQueued: 5_000,
    });
  }

  note(deed: Deed): void {
    this.#write({ ...deed, at: new Date(this.#clock.now()) }).catch((error) => {
      this.#log.warn({ error }, "audit row not written");
    });
  }
}
