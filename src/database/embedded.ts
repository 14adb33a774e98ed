import { existsSync } from "node:fs";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PGlite, type QueryOptions, type Transaction, types } from "@electric-sql/pglite";
import initdbWasm from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import fsBundle from "@electric-sql/pglite/pglite.data" with { type: "file" };
import pgliteWasm from "@electric-sql/pglite/pglite.wasm" with { type: "file" };
import { drizzle } from "drizzle-orm/pglite";
import type { Log } from "../observe/log.ts";
import { Semaphore } from "../semaphore.ts";
import { type Database, DatabaseUnavailable, type Orm } from "./database.ts";
import { statementError } from "./errors.ts";
import { lockFolder } from "./lock.ts";
import preparedFolder from "./pglite-0.5.16.tar.zst" with { type: "file" };
import { answersPing } from "./ping.ts";
import { asTransaction, refuseInsideTransaction } from "./transaction.ts";
import { maxWaiting, patience } from "./waiting.ts";

/**
 * Opens the embedded store in `<dataDir>/db`, making it on first use. A confirmed statement is in the hands of the
 * operating system: it survives the death of this process, not a power cut (PGlite runs with `fsync` off).
 *
 * Throws `DataFolderInUse`.
 */
export async function openEmbedded(dataDir: string, { log }: { readonly log: Log }): Promise<Database> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const unlock = lockFolder(dataDir);
  try {
    const started = performance.now();
    const folder = join(dataDir, "db");
    const first = !existsSync(folder);
    if (first) await unpackPrepared(folder);
    const client = await start(folder);
    log.info({ folder, first, ms: Math.round(performance.now() - started) }, "embedded database open");
    return embedded(client, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

function embedded(client: PGlite, unlock: () => void): Database {
  const orm = drizzle({ client: uniform(client) }) as unknown as Orm;
  return {
    kind: "embedded",
    orm,
    unhurried: (work) => work(orm),
    ping: () => answersPing(orm),
    async close() {
      await client.close();
      unlock();
    },
  };
}

/**
 * Puts a new data folder in its place: 30 MB that `initdb` would take seconds and a gigabyte of memory to make. Unpacked
 * beside its place and then renamed, so that a process killed on the way leaves nothing half made.
 */
async function unpackPrepared(folder: string): Promise<void> {
  const unfinished = `${folder}.new`;
  await rm(unfinished, { recursive: true, force: true });
  const tar = await Bun.zstdDecompress(await Bun.file(preparedFolder).bytes());
  await new Bun.Archive(tar).extract(unfinished);
  await chmod(unfinished, 0o700);
  await rename(unfinished, folder);
}

/** PGlite with its parts handed over as modules: inside an executable it could not find them beside its own code. */
async function start(folder: string): Promise<PGlite> {
  const compiled = async (path: string) => WebAssembly.compile(await Bun.file(path).bytes());
  const [pgliteWasmModule, initdbWasmModule] = await Promise.all([compiled(pgliteWasm), compiled(initdbWasm)]);
  return PGlite.create({
    dataDir: folder,
    pgliteWasmModule,
    initdbWasmModule,
    fsBundle: Bun.file(fsBundle) as unknown as Blob,
    // As postgres.js has it: 64 bits do not fit a number.
    parsers: { [types.INT8]: (value: string) => value },
  });
}

/** PGlite as drizzle is to see it: results like those of postgres.js (an array of rows with a count), waits bounded. */
function uniform(client: PGlite): PGlite {
  const query =
    (target: PGlite | Transaction) => async (text: string, parameters?: unknown[], options?: QueryOptions) => {
      const { rows, fields, affectedRows } = await target.query<Record<string, unknown>>(text, parameters, options);
      return Object.assign(rows, { rows, fields, count: Math.max(affectedRows ?? 0, rows.length) });
    };
  // PGlite does one thing at a time and would let the others wait without end.
  const turns = new Semaphore({
    permits: 1,
    maxWaiting,
    patience,
    refusal: () => new DatabaseUnavailable("too many statements wait for the database"),
  });
  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    refuseInsideTransaction();
    return turns.run(async () => {
      if (client.closed) throw new DatabaseUnavailable("the embedded database is closed");
      try {
        return await work();
      } catch (error) {
        throw statementError(error);
      }
    });
  };
  const outside = query(client);
  const facade = {
    query: (...call: Parameters<typeof outside>) => inTurn(() => outside(...call)),
    transaction: <T>(body: (tx: Transaction) => Promise<T>) =>
      inTurn(() => client.transaction((tx) => asTransaction(() => body({ ...tx, query: query(tx) } as Transaction)))),
  };
  return facade as unknown as PGlite;
}
