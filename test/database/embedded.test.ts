import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import type { Database } from "../../src/database/database.ts";
import { tidy } from "../../src/database/housekeeping.ts";
import { DataFolderInUse } from "../../src/database/lock.ts";
import { migrations } from "../../src/database/migrate.ts";
import { openDatabase } from "../../src/database/open.ts";
import { quietLog } from "../support/quiet-log.ts";

setDefaultTimeout(120_000);

const source = join(import.meta.dir, "../../src/database");
const writer = join(import.meta.dir, "writer.ts");

describe("embedded database", () => {
  let dataDir: string;
  const opened: Database[] = [];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "patchbay-data-"));
  });
  afterEach(async () => {
    for (const database of opened.splice(0)) await database.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function open(): Promise<Database> {
    const database = await openDatabase({ dataDir }, { log: quietLog });
    opened.push(database);
    return database;
  }

  test("the prepared folder is that of the installed PGlite", async () => {
    const { version } = await Bun.file(join(source, "../../node_modules/@electric-sql/pglite/package.json")).json();
    const prepared = (await readdir(source)).filter((file) => file.endsWith(".tar.zst"));
    expect(prepared).toEqual([`pglite-${version}.tar.zst`]);
  });

  test("a first start unpacks the prepared folder, for its owner alone", async () => {
    const database = await open();
    // Both are marks of the prepared folder: initdb would have made templates and log files of 16 MB.
    expect((await database.orm.execute(sql`select datname from pg_database`)).length).toBe(1);
    expect((await database.orm.execute(sql`show wal_segment_size`))[0]).toEqual({ wal_segment_size: "4MB" });
    expect((await stat(join(dataDir, "db"))).mode & 0o777).toBe(0o700);
  });

  test("what was written is there after a restart", async () => {
    const before = await open();
    await before.orm.execute(sql`create table notes (text text)`);
    await before.orm.execute(sql`insert into notes values ('kept')`);
    await before.close();
    const after = await open();
    expect([...(await after.orm.execute(sql`select text from notes`))]).toEqual([{ text: "kept" }]);
  });

  test("a first start that was cut short is begun anew", async () => {
    await mkdir(join(dataDir, "db.new"), { recursive: true });
    await Bun.write(join(dataDir, "db.new", "PG_VERSION"), "1");
    await (await open()).ping();
    expect(await readdir(dataDir)).not.toContain("db.new");
  });

  test("a second opener is refused with the reason, in this process and in another", async () => {
    await open();
    await expect(openDatabase({ dataDir }, { log: quietLog })).rejects.toBeInstanceOf(DataFolderInUse);
    const other = Bun.spawn([process.execPath, writer, dataDir, "1"], { stdout: "ignore", stderr: "pipe" });
    expect(await other.exited).not.toBe(0);
    expect(await other.stderr.text()).toContain(`the data folder ${dataDir} is in use by another process`);
  });

  test("a folder of another Postgres version is refused and left alone", async () => {
    await (await open()).close();
    const version = join(dataDir, "db", "PG_VERSION");
    await Bun.write(version, "17\n");
    await expect(openDatabase({ dataDir }, { log: quietLog })).rejects.toThrow("was made by Postgres 17");
    await Bun.write(version, "18\n");
    await (await open()).ping();
  });

  test("a folder that cannot be written says so", async () => {
    const file = join(dataDir, "file");
    await Bun.write(file, "");
    await expect(openDatabase({ dataDir: file }, { log: quietLog })).rejects.toThrow("EEXIST");
  });

  test("every confirmed row survives kill -9, and the folder is free at once", async () => {
    let confirmed = 0;
    for (const target of [1, 500, 2_000]) {
      const child = Bun.spawn([process.execPath, writer, dataDir], { stdout: "pipe", stderr: "inherit" });
      let text = "";
      for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        if (!child.killed && text.split("\n").length > target) child.kill("SIGKILL");
      }
      await child.exited;
      // The last line may be cut; the one before it was confirmed in full.
      confirmed = Number(text.split("\n").at(-2));
      const database = await open();
      const [row] = await database.orm.execute<{ rows: number; last: number }>(
        sql`select count(*)::int as rows, max(number) as last from confirmed`,
      );
      expect(row?.last).toBeGreaterThanOrEqual(confirmed);
      expect(row?.rows).toBe(row?.last as number);
      await database.close();
    }
    expect(confirmed).toBeGreaterThan(2_500);
  });

  test("housekeeping vacuums the table with most dead rows and writes a checkpoint when the log has grown", async () => {
    const { orm } = await open();
    expect(await tidy(orm)).toEqual({ checkpoint: false, vacuumed: null });
    await orm.execute(sql`create table "Busy" (number int)`);
    await orm.execute(sql`insert into "Busy" select generate_series(1, 1000)`);
    await orm.execute(sql`update "Busy" set number = -number`);
    // Postgres counts at most once a second what it did.
    await orm.execute(sql`select pg_stat_force_next_flush()`);
    const done = await tidy(orm, { logBytes: 10_000 });
    expect(done).toEqual({ checkpoint: true, vacuumed: 'public."Busy"' });
    const [left] = await orm.execute<{ dead: string }>(sql`select n_dead_tup as dead from pg_stat_user_tables`);
    expect(left?.dead).toBe("0");
    expect(await tidy(orm, { logBytes: 100_000 })).toEqual({ checkpoint: false, vacuumed: null });
  });

  test("an executable brings all it needs", async () => {
    const executable = join(dataDir, "writer");
    const built = Bun.spawnSync([process.execPath, "build", "--compile", writer, "--outfile", executable]);
    expect(built.exitCode).toBe(0);
    await chmod(executable, 0o755);
    const empty = join(dataDir, "empty");
    await mkdir(empty);
    const ran = Bun.spawnSync([executable, "data", "3"], { cwd: empty, env: {} });
    expect(ran.stderr.toString()).toBe("");
    expect(ran.stdout.toString()).toBe("1\n2\n3\n");
    const database = await openDatabase({ dataDir: join(empty, "data") }, { log: quietLog });
    opened.push(database);
    const applied = await database.orm.execute<{ name: string }>(sql`select name from migrations.applied`);
    expect(applied.map(({ name }) => name).sort()).toEqual(migrations.map(({ name }) => name));
  });
});
