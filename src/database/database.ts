import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";

/** Drizzle over whichever driver serves: the same SQL dialect, the same schema, the same migrations. */
export type Orm = PgDatabase<PgQueryResultHKT>;

/** The one relational store of the gateway: a Postgres server, or PGlite inside this process. */
export interface Database {
  readonly kind: "postgres" | "embedded";
  readonly orm: Orm;
  /** Rejects when the store does not answer within two seconds. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The store cannot be reached, told apart from an error in a statement. */
export class DatabaseUnavailable extends Error {
  override readonly name = "DatabaseUnavailable";
}
