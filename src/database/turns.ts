import type { PGlite, QueryOptions, Transaction } from "@electric-sql/pglite";
import { Semaphore } from "../semaphore.ts";
import { DatabaseUnavailable } from "./database.ts";
import { statementError } from "./errors.ts";
import { asTransaction, refuseInsideTransaction } from "./transaction.ts";
import { maxWaiting, patience } from "./waiting.ts";

/**
 * PGlite as drizzle is to see it. It does one thing at a time; here the others wait for their turn, not without end, and
 * results have the shape that postgres.js gives them.
 */
export class Turns {
  /** What drizzle takes for PGlite: the two calls it makes. */
  readonly client: PGlite;
  readonly #target: PGlite;
  readonly #turns = new Semaphore({
    permits: 1,
    maxWaiting,
    patience,
    refusal: () => new DatabaseUnavailable("too many statements wait for the database", { unsent: true }),
  });
  #closed = false;

  constructor(target: PGlite) {
    this.#target = target;
    const client = {
      query: (...call: Call) => this.#turn(() => query(target, call)),
      transaction: <T>(body: (tx: Transaction) => Promise<T>) =>
        this.#turn(() => target.transaction((tx) => asTransaction(() => body(handle(tx))))),
    };
    this.client = client as unknown as PGlite;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Closes PGlite after the statements that already have or await their turn. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#turns.idle();
    await this.#target.close();
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    refuseInsideTransaction();
    if (this.#closed) throw new DatabaseUnavailable("the embedded database is closed", { unsent: true });
    try {
      return await this.#turns.run(work);
    } catch (error) {
      throw statementError(error);
    }
  }
}

type Call = [text: string, parameters?: unknown[], options?: QueryOptions];

/** Runs a statement; the result is an array of rows with a count, and what drizzle reads of PGlite's own besides. */
async function query(target: PGlite | Transaction, call: Call) {
  const { rows, fields, affectedRows } = await target.query<Record<string, unknown>>(...call);
  return Object.assign(rows, { rows, fields, count: Math.max(affectedRows ?? 0, rows.length) });
}

function handle(tx: Transaction): Transaction {
  return { ...tx, query: (...call: Call) => query(tx, call) } as unknown as Transaction;
}
