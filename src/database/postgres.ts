import { connect as dial, type Socket } from "node:net";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres, { type Sql } from "postgres";
import type { Log } from "../observe/log.ts";
import type { Database, Orm } from "./database.ts";
import { answersPing } from "./ping.ts";
import { Pool } from "./pool.ts";

/** Connections of one node. More do not make a Postgres faster, and ten nodes must fit its usual limit of 100. */
const poolSize = 8;
/** Seconds until a connection attempt is given up. */
const connectTimeout = 3;
/** Milliseconds after which the server ends a statement; less than the pool's patience. */
const statementTimeout = 5_000;

/** Opens a pool on a Postgres server without contacting it yet. */
export function openPostgres(url: string, { log }: { readonly log: Log }): Database {
  const connect = (limits: { readonly max: number; readonly statementTimeout: number }): Sql =>
    postgres(url, {
      ...{ socket: connector() },
      max: limits.max,
      connect_timeout: connectTimeout,
      keep_alive: 15,
      // Seconds between attempts; the default grows to 20, and a server that is back should be found within one.
      backoff: () => 0.1 + Math.random() * 0.4,
      connection: { application_name: "patchbay", statement_timeout: limits.statementTimeout, TimeZone: "UTC" },
      onnotice: (notice) => log.debug({ notice: notice.message }, "notice of the database"),
    });
  const pool = new Pool(() => connect({ max: poolSize, statementTimeout }), poolSize, log);
  return {
    kind: "postgres",
    orm: pool.orm,
    async unhurried(work) {
      const own = connect({ max: 1, statementTimeout: 0 });
      try {
        return await work(drizzle({ client: own }) as unknown as Orm);
      } finally {
        await own.end({ timeout: 0 });
      }
    },
    ping: () => answersPing(pool.orm),
    close: () => pool.close(),
  };
}

/** Hosts and ports of the URL as postgres.js read them; `path` is a Unix socket in their place. */
interface Address {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false;
}

/**
 * Makes sockets for postgres.js, to which a connection that is closed without a word is no failure: where a proxy stands
 * before a server that is away it would dial without a pause and never answer the statement. Here that is an error.
 */
function connector(): (address: Address) => Socket {
  let attempt = 0;
  return ({ host, port, path }) => {
    const turn = attempt % host.length;
    const target = path ? { path } : { host: host[turn] as string, port: port[turn] as number };
    const socket = dial(target);
    socket.on("error", () => attempt++);
    socket.on("end", () => {
      socket.destroy(Object.assign(new Error("the server closed the connection"), { code: "CONNECTION_CLOSED" }));
    });
    // postgres.js takes the name to expect in a certificate from here.
    return Object.assign(socket, path ? {} : target);
  };
}
