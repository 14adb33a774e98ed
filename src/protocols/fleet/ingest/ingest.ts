import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { gather } from "../../../database/gather.ts";
import type { Counters } from "../counters.ts";
import type { Coalescer } from "./coalescer.ts";
import type { Rules } from "./reading.ts";
import { type Outcome, type Report, weight } from "./report.ts";
import { ReportStore, type Stored } from "./store.ts";

/** Rows of one transaction, and rows that may wait for theirs. */
const MAX_ROWS = 500;
const MAX_QUEUED = 50_000;
/** Transactions under way at a time, so that the next one is thought out while Postgres is at the one before. */
const LANES = 2;

/** The way of every report into the store and on to its watchers (F-6.3, F-5.3). */
export class Ingest {
  readonly #parts: {
    readonly database: Database;
    readonly clock: Clock;
    readonly frames: Coalescer;
    readonly counters: Counters;
  };
  readonly #reports: ReportStore;
  /** Where reports are gathered; those of a unit always in the same one, and so in order. */
  readonly #lanes: readonly ((report: Report) => Promise<Outcome>)[];

  constructor(
    parts: { database: Database; clock: Clock; frames: Coalescer; counters: Counters },
    rules: Rules,
    maxWait: number,
  ) {
    this.#parts = parts;
    this.#reports = new ReportStore(parts.database, rules);
    const lane = () =>
      gather<Report, Outcome>({
        write: (reports) => this.#store(reports),
        maxRows: MAX_ROWS,
        maxQueued: MAX_QUEUED / LANES,
        maxWait,
        weight,
      });
    this.#lanes = Array.from({ length: LANES }, lane);
  }

  /**
   * Stores a report; resolves when it is committed and its frames are on their way. Rejects with `DatabaseUnavailable`;
   * the report may then still have been stored, and sending it again does no harm.
   */
  submit(report: Report): Promise<Outcome> {
    return this.#lanes[report.uid % LANES]!(report);
  }

  async #store(reports: readonly Report[]): Promise<Outcome[]> {
    const committed = await this.#reports.store(reports, (some) => this.#settled(some));
    return committed.map(({ known, entries: { records, doubles } }) => ({ known, stored: records.length, doubles }));
  }

  /** Frames leave here, in the order of commits, and not with each caller, who comes to it in any order. */
  #settled(stored: readonly Stored[]): void {
    const { frames, counters } = this.#parts;
    for (const [uid, some] of Map.groupBy(stored, ({ report }) => report.uid)) {
      const version = some[0]?.committed.version ?? null;
      if (version !== null) frames.send(uid, version, some);
    }
    for (const { committed } of stored) {
      const { entries, newEvents } = committed;
      counters.stored("records", entries.records.length);
      counters.stored("events", newEvents);
      counters.doubled(entries.doubles);
      for (const { tmx, rmx } of entries.records) counters.lag(Math.max(0, rmx - tmx) / 1000);
    }
  }
}
