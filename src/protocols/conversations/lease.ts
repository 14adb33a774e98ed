import { and, eq, sql } from "drizzle-orm";
import type { Database } from "../../database/database.ts";
import { leases } from "./tables.ts";

/**
 * A job that one node at a time has, kept in the database, since it is work on the database. Whoever has it must say so
 * again before the lease ends; the database's clock counts.
 */
export class DatabaseLease {
  readonly #database: Database;
  readonly #name: string;
  readonly #holder: string;
  /** Milliseconds. */
  readonly #life: number;

  constructor(database: Database, lease: { name: string; holder: string; life: number }) {
    this.#database = database;
    this.#name = lease.name;
    this.#holder = lease.holder;
    this.#life = lease.life;
  }

  /** Takes the lease, or prolongs it; false while another node has it. */
  async take(): Promise<boolean> {
    const until = sql`now() + ${this.#life / 1000} * interval '1 second'`;
    const taken = await this.#database.orm
      .insert(leases)
      .values({ name: this.#name, holder: this.#holder, until })
      .onConflictDoUpdate({
        target: leases.name,
        set: { holder: this.#holder, until },
        setWhere: sql`${leases.holder} = ${this.#holder} or ${leases.until} < now()`,
      })
      .returning({ name: leases.name });
    return taken.length > 0;
  }

  /** Gives the lease up, if this node has it. */
  async release(): Promise<void> {
    await this.#database.orm.delete(leases).where(and(eq(leases.name, this.#name), eq(leases.holder, this.#holder)));
  }
}
