import { drizzle } from "drizzle-orm/postgres-js";
import type { Sql } from "postgres";
import type { Log } from "../observe/log.ts";
import { type Answer, Connection, type Statement, type Transaction } from "./connection.ts";
import type { Database, Orm } from "./database.ts";
import { createDial } from "./dial.ts";
import { answersPing } from "./ping.ts";
import { Pool } from "./pool.ts";
import { RecurringTexts } from "./recurring.ts";
import { patience } from "./waiting.ts";

/** Connections of one node. More do not make a Postgres faster, and ten nodes must fit its usual limit of 100. */
const poolSize = 8;
/** Milliseconds after which the server ends a statement; less than our patience, so that silence means a fault. */
const statementTimeout = 5_000;

/** Opens a pool on a Postgres server without contacting it yet. */
export function openPostgres(url: string, { log }: { readonly log: Log }): Database {
  const dial = createDial();
  const recurring = new RecurringTexts();
  const connect = () => new Connection({ url, dial, log, statementTimeout, patience, recurring });
  const pool = new Pool(connect, poolSize);
  // This one never connects: drizzle wants to see the options of a client.
  const { options } = connect();
  const orm = ormOver(options, (work) => pool.run(work));
  return {
    kind: "postgres",
    orm,
    async unhurried(work) {
      pool.admit();
      const connection = new Connection({ url, dial, log, statementTimeout: 0, connectTimeout: 30 });
      try {
        return await work(ormOver(options, (statement) => statement(connection)));
      } finally {
        await connection.end();
      }
    },
    ping: () => answersPing(orm),
    close: () => pool.close(),
  };
}

/** Drizzle over connections that are lent; it is given the few calls of postgres.js that it makes. */
function ormOver(options: Sql["options"], lend: <T>(work: (connection: Connection) => Promise<T>) => Promise<T>): Orm {
  const client = {
    options,
    unsafe: (...statement: Statement) =>
      rowsOrValues((asValues) => lend((connection) => connection.send(statement, asValues))),
    begin: <T>(body: (transaction: unknown) => Promise<T>) =>
      lend((connection) => connection.transaction((transaction) => body(handle(transaction)))),
  };
  return drizzle({ client: client as unknown as Sql }) as unknown as Orm;
}

function handle(transaction: Transaction): unknown {
  return {
    unsafe: (...statement: Statement) => rowsOrValues((asValues) => transaction.send(statement, asValues)),
    savepoint: <T>(body: (nested: unknown) => Promise<T>) => transaction.savepoint((nested) => body(handle(nested))),
  };
}

/**
 * An answer as drizzle asks for it: a promise of rows, whose `values()`, called at once, makes them arrays. Nothing is
 * sent before that call had its chance.
 */
function rowsOrValues(send: (asValues: boolean) => Promise<Answer>) {
  let asValues = false;
  const answer = Promise.resolve().then(() => send(asValues));
  const values = () => {
    asValues = true;
    return answer;
  };
  return Object.assign(answer, { values });
}
