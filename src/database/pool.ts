import { drizzle } from "drizzle-orm/postgres-js";
import type { Sql, TransactionSql } from "postgres";
import type { Log } from "../observe/log.ts";
import { Semaphore } from "../semaphore.ts";
import { DatabaseUnavailable, type Orm } from "./database.ts";
import { statementError } from "./errors.ts";
import { asTransaction, refuseInsideTransaction } from "./transaction.ts";
import { maxWaiting, patience } from "./waiting.ts";

/** Milliseconds that statements under way get when a pool is given up or closed. */
const endTimeout = 5_000;

type Call = Parameters<Sql["unsafe"]>;
type Lose = (reason: DatabaseUnavailable) => void;

/**
 * Postgres.js that cannot hang. By itself it waits as long as the connection lives, and one that a firewall forgot or
 * whose server froze lives for a quarter of an hour. Here a statement without an answer is given up, and its pool with
 * it: what is under way on other connections of that pool may still end, the next statement finds a new one.
 *
 * Statements wait for a connection here and not in postgres.js: it would send them ahead on busy connections, where they
 * stand behind slow ones and where a transaction may lose its connection (it forgets to reserve one that is full).
 *
 * Time is the system's, not an injected clock's: networks do not follow a test.
 */
export class Pool {
  readonly orm: Orm;
  readonly #connect: () => Sql;
  readonly #connections: Semaphore;
  readonly #log: Log;
  #current: Sql;
  #closed = false;

  /** `connect` makes a pool of `size` connections; it is called again for each pool that is given up. */
  constructor(connect: () => Sql, size: number, log: Log) {
    this.#connect = () => {
      const sql = connect();
      // For its effect: drizzle sets the parsers of a pool it is given.
      drizzle({ client: sql });
      return sql;
    };
    this.#connections = new Semaphore({
      permits: size,
      maxWaiting,
      patience,
      refusal: () => new DatabaseUnavailable("too many statements wait for the database"),
    });
    this.#log = log;
    this.#current = this.#connect();
    // Drizzle gets the few calls it makes of postgres.js, each of them bounded.
    const client = {
      options: this.#current.options,
      unsafe: (...call: Call) => this.#statement(call),
      begin: (body: (tx: TransactionSql) => Promise<unknown>) => this.#transaction(body),
    };
    this.orm = drizzle({ client: client as unknown as Sql }) as unknown as Orm;
  }

  /** Lets statements under way end, for five seconds at most. */
  async close(): Promise<void> {
    this.#closed = true;
    // postgres.js would wait the full time for a connection that was lost in mid-statement.
    await Promise.race([this.#connections.idle(), Bun.sleep(endTimeout)]);
    await this.#current.end({ timeout: 0 });
  }

  #admit(): void {
    refuseInsideTransaction();
    if (this.#closed) throw new DatabaseUnavailable("the database is closed");
  }

  #statement(call: Call) {
    this.#admit();
    return rowsOrValues((prepare) =>
      this.#connections.run(() => {
        const sql = this.#current;
        return this.#within(sql, prepare(sql, call));
      }),
    );
  }

  /**
   * A transaction is lost as a whole when one of its statements is; the waits for its begin and its end are bounded like
   * those for a statement.
   */
  #transaction<T>(body: (tx: TransactionSql) => Promise<T>): Promise<T> {
    this.#admit();
    return this.#connections.run(async () => {
      const sql = this.#current;
      const { promise: lost, reject: lose } = Promise.withResolvers<never>();
      let endWait = this.#wait(sql, lose);
      const done = sql.begin(async (tx) => {
        endWait();
        try {
          return await asTransaction(() => body(this.#handle(sql, tx, lose)));
        } finally {
          endWait = this.#wait(sql, lose);
        }
      });
      try {
        return (await Promise.race([done, lost])) as T;
      } catch (error) {
        throw statementError(error);
      } finally {
        endWait();
      }
    });
  }

  /** What drizzle calls of a transaction or savepoint. */
  #handle(sql: Sql, tx: TransactionSql, lose: Lose): TransactionSql {
    const handle = {
      unsafe: (...call: Call) =>
        rowsOrValues(async (prepare) => {
          await null;
          return this.#within(sql, prepare(tx, call), lose);
        }),
      savepoint: (body: (tx: TransactionSql) => Promise<unknown>) =>
        tx.savepoint((nested) => body(this.#handle(sql, nested, lose))),
    };
    return handle as unknown as TransactionSql;
  }

  /** The answer of a statement sent to `sql`, or its loss. */
  async #within<T>(sql: Sql, statement: PromiseLike<T>, loseTransaction?: Lose): Promise<T> {
    const { promise: lost, reject } = Promise.withResolvers<never>();
    const endWait = this.#wait(sql, (reason) => {
      reject(reason);
      loseTransaction?.(reason);
    });
    try {
      return await Promise.race([statement, lost]);
    } finally {
      endWait();
    }
  }

  /** Begins to wait for an answer of `sql`; `lose` is called when none comes. Returns the function that ends the wait. */
  #wait(sql: Sql, lose: Lose): () => void {
    const timer = setTimeout(() => {
      this.#giveUp(sql);
      lose(new DatabaseUnavailable("the database does not answer"));
    }, patience).unref();
    return () => clearTimeout(timer);
  }

  #giveUp(sql: Sql): void {
    if (sql !== this.#current) return;
    this.#current = this.#connect();
    this.#log.warn({ patience }, "the database does not answer; its connections are given up");
    sql
      .end({ timeout: endTimeout / 1000 })
      .catch((error) => this.#log.warn({ error }, "old connections did not end well"));
  }
}

type Prepare = (target: Sql | TransactionSql, call: Call) => PromiseLike<unknown[]>;

/**
 * A statement as drizzle asks for it: a promise of rows, whose `values()`, called at once, makes them arrays. `send` may
 * prepare the statement only after that call had its chance.
 */
function rowsOrValues(send: (prepare: Prepare) => Promise<unknown[]>) {
  let asValues = false;
  const answer = send((target, call) => {
    const statement = target.unsafe(...call);
    return asValues ? statement.values() : statement;
  });
  const values = () => {
    asValues = true;
    return answer;
  };
  return Object.assign(answer, { values });
}
