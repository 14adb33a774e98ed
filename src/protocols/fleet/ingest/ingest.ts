import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { gather } from "../../../database/gather.ts";
import type { Counters } from "../counters.ts";
import type { Coalescer } from "./coalescer.ts";
import type { Rules } from "./entries.ts";
import { type Outcome, type Report, weight } from "./report.ts";
import { type Committed, storeReports } from "./store.ts";

/** Rows of one transaction, and rows that may wait for theirs. */
const MAX_ROWS = 500;
const MAX_QUEUED = 50_000;

/** The way of every report into the store and on to its watchers (F-6.3, F-5.3). */
export class Ingest {
  readonly #parts: {
    readonly database: Database;
    readonly clock: Clock;
    readonly frames: Coalescer;
    readonly counters: Counters;
  };
  readonly #rules: Rules;
  readonly #write: (report: Report) => Promise<Outcome>;

  constructor(
    parts: { database: Database; clock: Clock; frames: Coalescer; counters: Counters },
    rules: Rules,
    maxWait: number,
  ) {
    this.#parts = parts;
    this.#rules = rules;
    this.#write = gather<Report, Outcome>({
      write: (reports) => this.#store(reports),
      maxRows: MAX_ROWS,
      maxQueued: MAX_QUEUED,
      maxWait,
      weight,
    });
  }

  /**
   * Stores a report; resolves when it is committed and its frames are on their way. Rejects with `DatabaseUnavailable`;
   * the report may then still have been stored, and sending it again does no harm.
   */
  submit(report: Report): Promise<Outcome> {
    return this.#write(report);
  }

  /** Frames leave here, in the order of commits, and not with each caller, who comes to it in any order. */
  async #store(reports: readonly Report[]): Promise<Outcome[]> {
    const committed = await storeReports(this.#parts.database, reports, this.#rules);
    return committed.map((result, index) => this.#tell(reports[index]!, result));
  }

  #tell(report: Report, { known, entries, frames, newEvents }: Committed): Outcome {
    const { counters } = this.#parts;
    this.#parts.frames.send(report, entries, frames);
    counters.stored("records", entries.records.length);
    counters.stored("events", newEvents);
    counters.doubled(entries.doubles);
    for (const { tmx, rmx } of entries.records) counters.lag(Math.max(0, rmx - tmx) / 1000);
    return { known, stored: entries.records.length, doubles: entries.doubles };
  }
}
