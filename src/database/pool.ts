import { Semaphore } from "../semaphore.ts";
import type { Connection } from "./connection.ts";
import { DatabaseUnavailable } from "./database.ts";
import { refuseInsideTransaction } from "./transaction.ts";
import { maxWaiting, patience } from "./waiting.ts";

/** Milliseconds without new attempts after one failed: a server that struggles need not fend off every statement. */
const pause = 200;
/** Milliseconds that work under way gets when the pool closes. */
const closeTimeout = 5_000;

/** A few connections that are lent to one piece of work at a time; broken ones are replaced. */
export class Pool {
  readonly #connect: () => Connection;
  readonly #turns: Semaphore;
  readonly #idle: Connection[] = [];
  readonly #lent = new Set<Connection>();
  /** The last connection that could not be made. */
  #failure: { readonly error: unknown; readonly at: number } = { error: undefined, at: Number.NEGATIVE_INFINITY };
  #closed = false;

  constructor(connect: () => Connection, size: number) {
    this.#connect = connect;
    this.#turns = new Semaphore({
      permits: size,
      maxWaiting,
      patience,
      refusal: () => new DatabaseUnavailable("too many statements wait for the database", { unsent: true }),
    });
  }

  /** Runs work with a connection when one is free. Throws `DatabaseUnavailable` when that takes too long. */
  async run<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    this.admit();
    return this.#turns.run(async () => {
      const connection = this.#take();
      try {
        return await work(connection);
      } catch (error) {
        if (connection.isBroken && !connection.isProven) this.#failure = { error, at: performance.now() };
        throw error;
      } finally {
        this.#lent.delete(connection);
        if (!connection.isBroken) this.#idle.push(connection);
      }
    });
  }

  /** Throws when the caller may not use the database now: it is closed, or the caller has a transaction open. */
  admit(): void {
    refuseInsideTransaction();
    if (this.#closed) throw new DatabaseUnavailable("the database is closed", { unsent: true });
  }

  /** Lets work under way end, for five seconds at most, and closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.race([this.#turns.idle(), Bun.sleep(closeTimeout)]);
    for (const connection of this.#lent) connection.destroy();
    await Promise.all(this.#idle.splice(0).map((connection) => connection.end()));
  }

  #take(): Connection {
    let connection = this.#idle.pop();
    while (connection?.isBroken) connection = this.#idle.pop();
    if (!connection) {
      const { error: cause, at } = this.#failure;
      if (performance.now() - at < pause)
        throw new DatabaseUnavailable("the database did not serve just now", { cause, unsent: true });
      connection = this.#connect();
    }
    this.#lent.add(connection);
    return connection;
  }
}
