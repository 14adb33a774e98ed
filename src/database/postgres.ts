import { drizzle } from "drizzle-orm/postgres-js";
import postgres, { type Sql } from "postgres";
import type { Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import { type Database, DatabaseUnavailable, type Orm } from "./database.ts";
import "./errors.ts";

/** Connections of one node. More do not make a Postgres faster, and ten nodes must fit its usual limit of 100. */
const poolSize = 8;
/** Seconds until a connection attempt is given up. */
const connectTimeout = 3;
/** Milliseconds after which the server itself ends a statement. */
const statementTimeout = 5_000;
const pingTimeout = 2_000;
/** Seconds that statements under way get when the gateway stops. */
const closeTimeout = 5;

/** Opens a pool on a Postgres server without contacting it yet. */
export function openPostgres(url: string, { log }: { readonly log: Log; readonly clock: Clock }): Database {
  const connect = (max: number, timeout: number): Sql =>
    postgres(url, {
      max,
      connect_timeout: connectTimeout,
      keep_alive: 15,
      // A server that is back is tried within a second; the default waits up to 20 s.
      backoff: () => 0.1 + Math.random() * 0.4,
      connection: { application_name: "patchbay", statement_timeout: timeout },
      onnotice: (notice) => log.debug({ notice: notice.message }, "notice of the database"),
    });
  const pool = connect(poolSize, statementTimeout);
  const orm = drizzle({ client: pool }) as unknown as Orm;
  return {
    kind: "postgres",
    orm,
    async unhurried(work) {
      const own = connect(1, 0);
      try {
        return await work(drizzle({ client: own }) as unknown as Orm);
      } finally {
        await own.end({ timeout: closeTimeout });
      }
    },
    async ping() {
      const { promise, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new DatabaseUnavailable("the database does not answer")), pingTimeout);
      try {
        await Promise.race([orm.execute("select 1"), promise]);
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => pool.end({ timeout: closeTimeout }),
  };
}
