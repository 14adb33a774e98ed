import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { type Database, DatabaseUnavailable } from "../../src/database/database.ts";
import type { Migration } from "../../src/database/embed.ts";
import { MigrationRefused, migrate, migrations } from "../../src/database/migrate.ts";
import { openDatabase } from "../../src/database/open.ts";
import { databaseKinds, type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { quietLog } from "../support/quiet-log.ts";

setDefaultTimeout(120_000);

const root = join(import.meta.dir, "../..");

const migration = (name: string, text: string): Migration => ({
  name,
  sql: text,
  hash: new Bun.CryptoHasher("sha256").update(text).digest("hex"),
});

describe("the history of the schema", () => {
  test("holds every SQL file, in order", async () => {
    const files = (await readdir(join(root, "drizzle"))).filter((file) => file.endsWith(".sql")).sort();
    expect(migrations.map(({ name }) => `${name}.sql`)).toEqual(files);
    for (const { name, sql: text } of migrations) {
      expect(text).toBe(await Bun.file(join(root, "drizzle", `${name}.sql`)).text());
    }
  });

  test("covers every table: drizzle-kit finds nothing to add", async () => {
    const copy = await mkdtemp(join(root, "node_modules/.drizzle-"));
    await cp(join(root, "drizzle"), copy, { recursive: true });
    const before = await readdir(copy);
    const options = ["--dialect", "postgresql", "--schema", "./src/**/tables.ts", "--out", copy.slice(root.length + 1)];
    try {
      const kit = Bun.spawnSync([process.execPath, "x", "drizzle-kit", "generate", ...options], {
        cwd: root,
        stdin: null,
      });
      expect(kit.exitCode).toBe(0);
      expect(await readdir(copy)).toEqual(before);
    } finally {
      await rm(copy, { recursive: true });
    }
  });
});

for (const kind of databaseKinds) {
  describe(`migrate (${kind})`, () => {
    let fresh: FreshDatabase;
    let database: Database;

    beforeEach(async () => {
      fresh = await freshDatabase(kind);
      database = await openDatabase(fresh, { log: quietLog });
    });
    afterEach(async () => {
      await database.close();
      await fresh.remove();
    });

    const first = migration(
      "0000_first",
      "create table one (n int);\n--> statement-breakpoint\ninsert into one values (1);",
    );
    const second = migration("0001_second", "alter table one add column m int;");
    const broken = migration("0001_broken", "create table two (n int);--> statement-breakpoint\nselect 1 / 0;");

    async function exists(table: string): Promise<boolean> {
      const [row] = await database.orm.execute<{ there: boolean }>(
        sql`select to_regclass(${table}) is not null as there`,
      );
      return row?.there === true;
    }

    test("brings an empty database to the schema of this build, and a second time does nothing", async () => {
      expect(await migrate(database, quietLog)).toEqual(migrations.map(({ name }) => name));
      expect(await exists("accounts.accounts")).toBe(true);
      expect(await migrate(database, quietLog)).toEqual([]);
    });

    test("applies only what is missing", async () => {
      expect(await migrate(database, quietLog, [first])).toEqual(["0000_first"]);
      expect(await migrate(database, quietLog, [first, second])).toEqual(["0001_second"]);
      expect([...(await database.orm.execute(sql`select * from one`))]).toEqual([{ n: 1, m: null }]);
    });

    test("a migration that fails leaves nothing of itself and everything before it", async () => {
      await expect(migrate(database, quietLog, [first, broken])).rejects.toThrow("division by zero");
      expect(await exists("one")).toBe(true);
      expect(await exists("two")).toBe(false);
      expect(await migrate(database, quietLog, [first, second])).toEqual(["0001_second"]);
    });

    test("a database that is newer than this build is refused and left alone", async () => {
      await migrate(database, quietLog, [first, second]);
      const older = migrate(database, quietLog, [first]);
      await expect(older).rejects.toBeInstanceOf(MigrationRefused);
      await expect(older).rejects.toThrow("newer than this build: it has migration 0001_second");
    });

    test("an applied migration whose text has changed is refused", async () => {
      await migrate(database, quietLog, [first]);
      const changed = migrate(database, quietLog, [migration("0000_first", "create table other (n int)"), second]);
      await expect(changed).rejects.toBeInstanceOf(MigrationRefused);
      expect(await exists("other")).toBe(false);
    });

    test("a store that is closed is told from a refusal", async () => {
      await database.close();
      await expect(migrate(database, quietLog)).rejects.toBeInstanceOf(DatabaseUnavailable);
    });

    // The embedded database has one process to itself.
    if (kind === "postgres") {
      test("nodes that start at once apply each migration once", async () => {
        const slow = migration("0001_slow", "select pg_sleep(0.3); create table slow (n int);");
        const nodes = await Promise.all(Array.from({ length: 4 }, () => openDatabase(fresh, { log: quietLog })));
        const applied = await Promise.all(nodes.map((node) => migrate(node, quietLog, [first, slow])));
        await Promise.all(nodes.map((node) => node.close()));
        expect(applied.flat().sort()).toEqual(["0000_first", "0001_slow"]);
      });
    }
  });
}
