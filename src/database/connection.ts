import type { Socket } from "node:net";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres, { type Sql } from "postgres";
import type { Log } from "../observe/log.ts";
import { DatabaseUnavailable } from "./database.ts";
import type { Dial } from "./dial.ts";
import { statementError } from "./errors.ts";
import type { RecurringTexts } from "./recurring.ts";
import { asTransaction } from "./transaction.ts";

/** A statement as drizzle hands it over. */
export type Statement = readonly [text: string, parameters?: Parameters<Sql["unsafe"]>[1]];
/** What the server answered: rows, as objects or as arrays of values. */
export type Answer = unknown[] & { readonly command?: string };

export interface ConnectionOptions {
  readonly url: string;
  readonly dial: Dial;
  readonly log: Log;
  /** Milliseconds after which the server ends a statement; 0 sets no limit. */
  readonly statementTimeout: number;
  /** Milliseconds without an answer after which the connection is given up; more than the server's own limit. */
  readonly patience?: number;
  /** Seconds until an attempt to connect is given up; 3 by default. */
  readonly connectTimeout?: number;
  /** Decides what is prepared; without it nothing is. */
  readonly recurring?: RecurringTexts;
}

/**
 * Serializers by type. postgres.js puts the text of a parameter in its place, and does so once more when it repeats a
 * statement whose prepared form is no longer good: its own serializer made `true` a `false` then.
 */
const serializers = { 16: (value: unknown) => (value === true || value === "t" ? "t" : "f") };

/**
 * One connection to a Postgres server, made when it is first used and never mended: once broken it rejects everything.
 *
 * It is a postgres.js client of one connection, because postgres.js 3.4.9 cannot be trusted with a broken one. It may
 * never write to it again (porsager/postgres#1209), run the rest of a transaction outside of it (#1216), dial without end
 * (#1193), and it waits for an answer as long as a silent connection lives. Its own transactions are not used either:
 * they write to connections that are gone.
 */
export class Connection {
  readonly #sql: Sql;
  readonly #patience: number | undefined;
  readonly #recurring: RecurringTexts | undefined;
  #socket: Socket | undefined;
  #broken = false;
  #proven = false;

  constructor({ url, dial, log, statementTimeout, patience, connectTimeout = 3, recurring }: ConnectionOptions) {
    this.#patience = patience;
    this.#recurring = recurring;
    const socket: Dial = (address) => {
      if (this.#broken) throw new DatabaseUnavailable("the connection to the database is closed");
      this.#socket = dial(address);
      return this.#socket;
    };
    this.#sql = postgres(url, {
      ...{ socket },
      max: 1,
      max_lifetime: null,
      connect_timeout: connectTimeout,
      keep_alive: 15,
      connection: {
        application_name: "patchbay",
        TimeZone: "UTC",
        statement_timeout: statementTimeout,
        // A transaction that stands still holds its locks; nothing of ours waits for anything else meanwhile.
        idle_in_transaction_session_timeout: 2 * statementTimeout,
      },
      onclose: () => this.destroy(),
      onnotice: (notice) => log.debug({ notice: notice.message }, "notice of the database"),
    });
    // For its effect: drizzle sets the parsers of the client it is given.
    drizzle({ client: this.#sql });
    Object.assign(this.#sql.options.serializers, serializers);
  }

  get isBroken(): boolean {
    return this.#broken;
  }

  /** Whether the server has ever answered here. */
  get isProven(): boolean {
    return this.#proven;
  }

  /** Parsers and serializers, for drizzle. */
  get options(): Sql["options"] {
    return this.#sql.options;
  }

  /** Sends a statement. Rejects as {@link statementError} has it; without an answer in time the connection is broken. */
  async send([text, parameters]: Statement, asValues = false): Promise<Answer> {
    if (this.#broken) throw new DatabaseUnavailable("the connection to the database is lost", { unsent: true });
    const { promise: lost, reject: lose } = Promise.withResolvers<never>();
    const giveUp = () => lose(new DatabaseUnavailable("the database does not answer"));
    const timer = this.#patience === undefined ? undefined : setTimeout(giveUp, this.#patience);
    try {
      const prepare = this.#recurring?.notes(text, parameters) ?? false;
      const query = this.#sql.unsafe(text, parameters, { prepare });
      const answer = await Promise.race([asValues ? query.values() : query, lost]);
      this.#proven = true;
      return answer;
    } catch (error) {
      const reason = statementError(error);
      // Some of these a connection survives; a new one costs less than to tell them apart.
      if (!(reason instanceof DatabaseUnavailable)) throw reason;
      // A server speaks first: before it has, a client only introduces itself.
      const unsent = !this.#socket?.bytesRead;
      this.destroy();
      throw unsent ? new DatabaseUnavailable(reason.message, { cause: reason.cause, unsent }) : reason;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a transaction; nobody else may use the connection meanwhile. */
  transaction<T>(body: (transaction: Transaction) => Promise<T>): Promise<T> {
    return asTransaction(() => this.#scope(["begin", "commit", "rollback"], 0, body));
  }

  /** A transaction, or at a greater depth a savepoint in it. */
  async #scope<T>(
    [begin, keep, undo]: readonly [string, string, string],
    depth: number,
    body: (transaction: Transaction) => Promise<T>,
  ): Promise<T> {
    let over = false;
    const mark = `s${depth + 1}`;
    const inner = [`savepoint ${mark}`, `release savepoint ${mark}`, `rollback to savepoint ${mark}`] as const;
    const transaction: Transaction = {
      send: async (statement, asValues) => {
        if (over) throw new Error("the transaction is over");
        return this.send(statement, asValues);
      },
      savepoint: (nested) => this.#scope(inner, depth + 1, nested),
    };
    await this.send([begin]);
    try {
      const result = await body(transaction);
      over = true;
      // Postgres answers a commit after a failed statement with a rollback and calls it a success.
      const { command } = await this.send([keep]);
      if (command === "ROLLBACK") throw new Error("a statement of the transaction failed, so nothing of it was kept");
      return result;
    } catch (error) {
      over = true;
      // Whatever keeps the server from undoing it, it does so when the connection ends.
      await this.send([undo]).catch(() => this.destroy());
      throw error;
    }
  }

  /** Says goodbye and closes. */
  async end(): Promise<void> {
    await this.#sql.end({ timeout: 1 });
    this.destroy();
  }

  /** Closes at once; what is under way rejects. */
  destroy(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#sql.end({ timeout: 0 }).catch(() => {});
    this.#socket?.destroy();
  }
}

/** What may be done in an open transaction. */
export interface Transaction {
  send(statement: Statement, asValues?: boolean): Promise<Answer>;
  savepoint<T>(body: (nested: Transaction) => Promise<T>): Promise<T>;
}
