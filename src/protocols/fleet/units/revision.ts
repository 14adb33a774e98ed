import { sql } from "drizzle-orm";
import type { Topics } from "../../../backplane/backplane.ts";
import type { Database, Orm } from "../../../database/database.ts";
import { revision } from "../tables.ts";

const TOPIC = "fleet:revision";

/**
 * Tells every node that units, rights, logins or sessions were changed by hand. The number in the database is the truth,
 * looked at every second or so; the word between nodes only makes it quicker, so that nothing is missed while the
 * backplane is away (F-2.11, F-2.13: five seconds).
 */
export class Revision {
  readonly #database: Database;
  readonly #topics: Topics;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;
  #seen: number | null = null;

  constructor({ database, topics }: { database: Database; topics: Topics }) {
    this.#database = database;
    this.#topics = topics;
    this.#stop = topics.subscribe(TOPIC, () => this.#tell());
  }

  /** Called after each change, on every node; more often does no harm. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Runs a change in a transaction and tells of it once it is committed. */
  async change<T>(work: (tx: Orm) => Promise<T>): Promise<T> {
    const result = await this.#database.orm.transaction(async (tx) => {
      const done = await work(tx as unknown as Orm);
      await tx
        .insert(revision)
        .values({ number: 1 })
        .onConflictDoUpdate({ target: revision.only, set: { number: sql`${revision.number} + 1` } });
      return done;
    });
    this.#tell();
    this.#topics.publish(TOPIC, "");
    return result;
  }

  /** Looks whether another node has changed something. */
  async check(): Promise<void> {
    const [row] = await this.#database.orm.select({ number: revision.number }).from(revision);
    const number = row?.number ?? 0;
    if (number === this.#seen) return;
    this.#seen = number;
    // The first look tells as well: something may have been read before a change that came before it.
    this.#tell();
  }

  close(): void {
    this.#stop();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
