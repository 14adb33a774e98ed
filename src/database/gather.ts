import { DatabaseUnavailable } from "./database.ts";
import { refuseInsideTransaction } from "./transaction.ts";

/** How single rows become statements. */
export interface GatherOptions<Row, Result> {
  /**
   * Writes rows in one statement or transaction, all of them or none, and returns one result a row in the same order.
   */
  readonly write: (rows: readonly Row[]) => Promise<readonly Result[]>;
  /** Rows of one statement at most; a single one that is heavier goes alone. */
  readonly maxRows: number;
  /** How many rows an item stands for, where that is not one. */
  readonly weight?: (row: Row) => number;
  /**
   * Milliseconds that rows wait for company when nothing is being written, those as well that came while something was:
   * fewer and larger statements, for that much of time. By default a row goes with those that arrive in the same turn of
   * the event loop: under load rows find company anyway, behind the statement under way.
   */
  readonly maxWait?: number;
  /** Rows that may wait; beyond it callers are turned away. */
  readonly maxQueued: number;
}

interface Entry<Row, Result> {
  readonly row: Row;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Turns simultaneous inserts of single rows into few statements: rows that come while a statement is under way make up
 * the next one. Returns the function that takes a row and resolves to its result once it is committed.
 *
 * A row that the database refuses fails alone. Rejects with `DatabaseUnavailable` when too many rows wait, and when the
 * store is away; as with any statement, the row may then still have been written.
 */
export function gather<Row, Result>(options: GatherOptions<Row, Result>): (row: Row) => Promise<Result> {
  const { write, maxRows, maxWait, maxQueued, weight = () => 1 } = options;
  const queue: Entry<Row, Result>[] = [];
  let queued = 0;
  let writing = false;
  /** Ends the wait for company. */
  let cancel: (() => void) | undefined;

  function schedule(): void {
    if (cancel) return;
    if (maxWait === undefined) {
      const turn = setImmediate(drain);
      cancel = () => clearImmediate(turn);
    } else {
      const timer = setTimeout(drain, maxWait);
      cancel = () => clearTimeout(timer);
    }
  }

  async function drain(): Promise<void> {
    cancel?.();
    cancel = undefined;
    if (writing) return;
    writing = true;
    while (queue.length > 0) {
      await writeEach(nextBatch());
      if (maxWait !== undefined && queued < maxRows) break;
    }
    writing = false;
    if (queue.length > 0) schedule();
  }

  /** Takes what fits into one statement from the front of the queue. */
  function nextBatch(): readonly Entry<Row, Result>[] {
    let count = 0;
    let rows = 0;
    for (const { row } of queue) {
      rows += weight(row);
      if (count > 0 && rows > maxRows) break;
      count++;
    }
    const batch = queue.splice(0, count);
    for (const { row } of batch) queued -= weight(row);
    return batch;
  }

  /** Settles every entry; never rejects. Refused rows are found by halves: one bad among n costs about 2 log n tries. */
  async function writeEach(entries: readonly Entry<Row, Result>[]): Promise<void> {
    let results: readonly Result[];
    try {
      results = await write(entries.map(({ row }) => row));
    } catch (error) {
      if (entries.length === 1 || error instanceof DatabaseUnavailable) return rejectAll(entries, error);
      const half = Math.ceil(entries.length / 2);
      await writeEach(entries.slice(0, half));
      return writeEach(entries.slice(half));
    }
    if (results.length !== entries.length) {
      return rejectAll(entries, new Error("a gathered write must return one result for each row"));
    }
    for (const [index, { resolve }] of entries.entries()) resolve(results[index] as Result);
  }

  return async (row) => {
    // The statement runs outside the caller's transaction, which could not wait for it.
    refuseInsideTransaction();
    if (queued >= maxQueued) throw new DatabaseUnavailable("too many rows wait to be written", { unsent: true });
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    queue.push({ row, resolve, reject });
    queued += weight(row);
    if (queued >= maxRows) void drain();
    else if (!writing) schedule();
    return promise;
  };
}

function rejectAll(entries: readonly Pick<Entry<unknown, unknown>, "reject">[], error: unknown): void {
  for (const { reject } of entries) reject(error);
}
