import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PGlite, types } from "@electric-sql/pglite";
import initdbWasm from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import fsBundle from "@electric-sql/pglite/pglite.data" with { type: "file" };
import pgliteWasm from "@electric-sql/pglite/pglite.wasm" with { type: "file" };
import { drizzle } from "drizzle-orm/pglite";
import type { Log } from "../observe/log.ts";
import type { Database, Orm } from "./database.ts";
import { tidy } from "./housekeeping.ts";
import { lockFolder } from "./lock.ts";
import preparedFolder from "./pglite-0.5.16.tar.zst" with { type: "file" };
import { answersPing } from "./ping.ts";
import { Turns } from "./turns.ts";

/** Names the major version of Postgres that made a data folder; written last by those who make one. */
const versionFile = "PG_VERSION";
/** Major version inside PGlite. */
const serverVersion = "18";
/** PGlite takes 128 MB by default; the operating system caches the files anyway. */
const sharedBuffers = "32MB";
/** Milliseconds between looks at what has piled up. */
const tidyInterval = 15_000;

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
    const first = !existsSync(join(folder, versionFile));
    if (first) await unpackPrepared(folder);
    await checkVersion(folder);
    const client = await start(folder);
    log.info({ folder, first, ms: Math.round(performance.now() - started) }, "embedded database open");
    const turns = new Turns(client);
    const orm = drizzle({ client: turns.client }) as unknown as Orm;
    const tidying = setInterval(() => {
      tidy(orm).catch((error) => {
        if (!turns.isClosed) log.warn({ error }, "the embedded database could not be cleaned");
      });
    }, tidyInterval);
    tidying.unref();
    return {
      kind: "embedded",
      orm,
      unhurried: (work) => work(orm),
      ping: () => answersPing(orm),
      async close() {
        clearInterval(tidying);
        await turns.close();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/**
 * Puts a new data folder in its place: 17 MB that `initdb` would take seconds and a gigabyte of memory to make. Unpacked
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

async function checkVersion(folder: string): Promise<void> {
  const version = (await readFile(join(folder, versionFile), "utf8")).trim();
  if (version === serverVersion) return;
  throw new Error(
    `${folder} was made by Postgres ${version} and this build brings ${serverVersion}; use the build that made it`,
  );
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
    startParams: [...PGlite.defaultStartParams, "-c", `shared_buffers=${sharedBuffers}`],
    // As postgres.js has it: 64 bits do not fit a number.
    parsers: { [types.INT8]: (value: string) => value },
  });
}
