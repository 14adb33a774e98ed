import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type SQL, sql } from "drizzle-orm";
import { type Database, DatabaseUnavailable } from "../../src/database/database.ts";
import { openDatabase } from "../../src/database/open.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "../support/postgres.ts";
import { quietLog } from "../support/quiet-log.ts";

setDefaultTimeout(120_000);

describe.skipIf(!postgresUrl)("prepared statements", () => {
  let fresh: FreshDatabase;
  let database: Database;

  beforeEach(async () => {
    fresh = await freshDatabase("postgres");
    database = await openDatabase(fresh, { log: quietLog });
    await database.orm.execute(sql`create table flags (id int primary key, up boolean)`);
  });
  afterEach(async () => {
    await database.close();
    await fresh.remove();
  });

  /** What the server has prepared; statements one after the other run on one connection. */
  async function prepared(): Promise<string[]> {
    const rows = await database.orm.execute<{ statement: string }>(sql`select statement from pg_prepared_statements`);
    return rows.map(({ statement }) => statement).filter((statement) => statement.includes("flags"));
  }

  async function repeat(times: number, statement: (turn: number) => SQL): Promise<void> {
    for (let turn = 0; turn < times; turn++) await database.orm.execute(statement(turn));
  }

  const insert = (id: number, up: boolean | null = true) => sql`insert into flags values (${id}, ${up})`;
  const all = async () => (await database.orm.execute(sql`select id, up from flags order by id`)).map(Object.values);

  test("a statement that comes again is prepared, on each connection once", async () => {
    await repeat(1, (turn) => insert(turn));
    expect(await prepared()).toEqual([]);
    await repeat(4, (turn) => insert(turn + 1));
    expect(await prepared()).toEqual(["insert into flags values ($1, $2)"]);
    expect(await all()).toEqual([0, 1, 2, 3, 4].map((id) => [id, true]));
  });

  test("what seldom comes again, and what needs no parameters, is not", async () => {
    await repeat(3, () => sql`select 1 from flags`);
    for (let count = 1; count < 20; count++) {
      await repeat(1, () => sql`select 2 from flags where id in ${Array.from({ length: count }, (_, id) => id)}`);
    }
    await repeat(3, () => sql`select 3 from flags where id in ${Array.from({ length: 31 }, (_, id) => id)}`);
    await repeat(3, () => sql`select 4 ${sql.raw(" ".repeat(4_000))} from flags where id = ${1}`);
    expect(await prepared()).toEqual([]);
  });

  test("no more of them than 300", async () => {
    for (let round = 0; round < 3; round++) {
      await repeat(400, (turn) => sql`select ${sql.raw(String(turn))} from flags where id = ${turn}`);
    }
    expect(await prepared()).toHaveLength(300);
  });

  test("no more than 100 with lists, so that they leave room for others", async () => {
    for (let turn = 0; turn < 3; turn++) {
      await repeat(110, (id) => sql`select ${sql.raw(String(id))} from flags where id in ${[id, id]}`);
      await repeat(
        30,
        (id) => sql`insert into flags (id) values ${sql.raw(`(${-turn * 100 - id - 1}), `)}(${id + turn * 100})`,
      );
    }
    expect(await prepared()).toHaveLength(100);
    await repeat(3, (turn) => insert(1_000 + turn));
    expect(await prepared()).toHaveLength(101);
  });

  test("a table that is changed meanwhile costs nothing, and no value", async () => {
    const add = (id: number, up: boolean) => sql`insert into flags values (${id}, ${up}) returning *`;
    await repeat(3, (turn) => add(turn, true));
    await database.unhurried((orm) => orm.execute(sql`alter table flags add column more int default 7`));
    const rows = await database.orm.execute(add(3, true));
    expect([...rows]).toEqual([{ id: 3, up: true, more: 7 }]);
    expect((await all())[3]).toEqual([3, true]);
  });

  test("a table that is changed before a transaction uses it makes the transaction worth another try", async () => {
    const read = (id: number) => sql`select * from flags where id = ${id}`;
    await database.orm.execute(insert(1));
    await repeat(3, () => read(1));
    await database.unhurried((orm) => orm.execute(sql`alter table flags add column more int default 7`));
    const again = () =>
      database.orm.transaction(async (tx) => {
        await tx.execute(sql`update flags set up = false`);
        return [...(await tx.execute(read(1)))];
      });
    expect(await again().catch((error: unknown) => error)).toBeInstanceOf(DatabaseUnavailable);
    expect(await all()).toEqual([[1, true]]);
    expect(await again()).toMatchObject([{ id: 1, up: false, more: 7 }]);
  });

  test("a server that has forgotten them is given them anew", async () => {
    await repeat(3, (turn) => insert(turn));
    await database.orm.execute(sql`discard all`);
    await repeat(3, (turn) => insert(turn + 3));
    expect(await all()).toHaveLength(6);
    await database.orm.execute(sql`discard all`);
    const inTransaction = () => database.orm.transaction((tx) => tx.execute(insert(6)));
    expect(await inTransaction().catch((error: unknown) => error)).toBeInstanceOf(DatabaseUnavailable);
    await inTransaction();
    expect((await all()).map(([, up]) => up)).toEqual(Array.from({ length: 7 }, () => true));
  });

  test("none at all with prepare=false in the URL, for poolers that lend a connection a transaction at a time", async () => {
    await database.close();
    const url = new URL(fresh.databaseUrl as string);
    url.searchParams.set("prepare", "false");
    database = await openDatabase({ ...fresh, databaseUrl: url.href }, { log: quietLog });
    await repeat(5, (turn) => insert(turn));
    expect(await prepared()).toEqual([]);
    expect(await all()).toHaveLength(5);
  });
});
