import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";

/** What `orm.execute(sql)` gives on both drivers: the rows, and how many a statement touched. */
interface Rows extends PgQueryResultHKT {
  readonly type: this["row"][] & { readonly count: number };
}

/**
 * Drizzle over whichever driver serves: the same SQL dialect, the same schema, the same migrations. A statement rejects
 * with {@link DatabaseUnavailable} when the store is away, else with the driver's own error, whose `code` is the
 * SQLSTATE (`isUniqueViolation` in errors.ts reads it). Neither holds the statement's parameters.
 */
export type Orm = PgDatabase<Rows>;

/** What the body of `orm.transaction` is given; it is an {@link Orm} too. */
export type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];

/** The one relational store of the gateway: a Postgres server, or PGlite inside this process. */
export interface Database {
  readonly kind: "postgres" | "embedded";
  /** For the quick statements of a running gateway: none may take longer than five seconds. */
  readonly orm: Orm;
  /** Runs work that may take its time (migrations, cleaning) with an Orm that sets no limit, on a connection of its own. */
  unhurried<T>(work: (orm: Orm) => Promise<T>): Promise<T>;
  /** Rejects with {@link DatabaseUnavailable} when the store does not answer within two seconds. */
  ping(): Promise<void>;
  /** Lets statements under way end, then lets go of the store; later ones are refused. */
  close(): Promise<void>;
}

/** The store cannot be reached, told apart from an error in a statement. */
export class DatabaseUnavailable extends Error {
  override readonly name = "DatabaseUnavailable";
  /** True when the statement was surely never given to the store; else it may have been, or may still be, carried out. */
  readonly unsent: boolean;

  constructor(message: string, options: { cause?: unknown; unsent?: boolean } = {}) {
    super(message, options);
    this.unsent = options.unsent ?? false;
  }

  /** By name: under `bun --hot` this class is made anew while the store that throws it lives on. */
  static override [Symbol.hasInstance](value: unknown): value is DatabaseUnavailable {
    return value instanceof Error && value.name === "DatabaseUnavailable";
  }
}
