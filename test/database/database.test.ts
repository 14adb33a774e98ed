import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { type Database, DatabaseUnavailable } from "../../src/database/database.ts";
import { isUniqueViolation } from "../../src/database/errors.ts";
import { openDatabase } from "../../src/database/open.ts";
import { databaseKinds, type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { quietLog } from "../support/quiet-log.ts";

setDefaultTimeout(120_000);

const schema = pgSchema("shop");
const goods = schema.table("goods", { id: integer("id").primaryKey(), name: text("name").notNull() });

/** The error a promise rejects with; throws when it does not. */
async function failure(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(outcome instanceof Error)) throw new Error("it was to reject with an error");
  return outcome;
}

for (const kind of databaseKinds) {
  describe(`database (${kind})`, () => {
    let fresh: FreshDatabase;
    let database: Database;

    beforeAll(async () => {
      fresh = await freshDatabase(kind);
      database = await openDatabase(fresh, { log: quietLog });
      await database.orm.execute(sql`create schema shop`);
      await database.orm.execute(sql`create table shop.goods (id int primary key, name text not null)`);
    });
    beforeEach(async () => {
      await database.orm.delete(goods);
    });
    afterAll(async () => {
      await database.close();
      await fresh.remove();
    });

    const names = async () => (await database.orm.select().from(goods).orderBy(goods.id)).map(({ name }) => name);

    test("serves the kind it was asked for", () => {
      expect(database.kind).toBe(kind);
    });

    test("raw statements give an array of rows and their count", async () => {
      const inserted = await database.orm.execute(sql`insert into shop.goods values (1, 'tea'), (2, 'rice')`);
      expect(inserted.count).toBe(2);
      const rows = await database.orm.execute<{ id: number; name: string }>(sql`select * from shop.goods order by id`);
      expect([...rows]).toEqual([
        { id: 1, name: "tea" },
        { id: 2, name: "rice" },
      ]);
      expect(rows.count).toBe(2);
    });

    test("raw values have one form on both drivers", async () => {
      const [row] = await database.orm.execute(sql`
        select 9007199254740993::int8 as big, 1.50::numeric as exact, 'a'::text as letter, true as yes,
          '{"a":[1]}'::jsonb as json, timestamptz '2026-01-02 03:04:05.678+02' as moment, null as nothing`);
      expect(row).toEqual({
        big: "9007199254740993",
        exact: "1.50",
        letter: "a",
        yes: true,
        json: { a: [1] },
        moment: "2026-01-02 01:04:05.678+00",
        nothing: null,
      });
    });

    test("a transaction is all or nothing", async () => {
      const failed = failure(
        database.orm.transaction(async (tx) => {
          await tx.insert(goods).values({ id: 1, name: "tea" });
          throw new Error("changed my mind");
        }),
      );
      expect((await failed).message).toBe("changed my mind");
      expect(await names()).toEqual([]);
      await database.orm.transaction((tx) => tx.insert(goods).values({ id: 1, name: "tea" }));
      expect(await names()).toEqual(["tea"]);
    });

    test("a savepoint that fails leaves the rest of its transaction", async () => {
      await database.orm.transaction(async (tx) => {
        await tx.insert(goods).values({ id: 1, name: "tea" });
        const failed = await failure(tx.transaction((nested) => nested.insert(goods).values({ id: 1, name: "rice" })));
        expect(isUniqueViolation(failed)).toBe(true);
        await tx.insert(goods).values({ id: 2, name: "salt" });
      });
      expect(await names()).toEqual(["tea", "salt"]);
    });

    test("a transaction that swallows the failure of a statement is not taken for committed", async () => {
      const failed = database.orm.transaction(async (tx) => {
        await tx.insert(goods).values({ id: 1, name: "tea" });
        await failure(tx.execute(sql`select 1 / 0`));
      });
      await failure(failed);
      expect(await names()).toEqual([]);
    });

    test("a handle that is used after its transaction is refused", async () => {
      const tx = await database.orm.transaction(async (handle) => ({ handle }));
      const error = await failure((async () => tx.handle.insert(goods).values({ id: 1, name: "late" }))());
      expect(error).not.toBeInstanceOf(DatabaseUnavailable);
      expect(await names()).toEqual([]);
    });

    test("statements of others stay out of an open transaction", async () => {
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const rolledBack = failure(
        database.orm.transaction(async (tx) => {
          await tx.insert(goods).values({ id: 1, name: "rolled back" });
          begin();
          await ended;
          throw new Error("rollback");
        }),
      );
      await begun;
      const other = database.orm.insert(goods).values({ id: 2, name: "stays" }).execute();
      // Were the insert part of the transaction, it would be done by now and be lost with it.
      await new Promise((resolve) => setImmediate(resolve));
      end();
      await Promise.all([other, rolledBack]);
      expect(await names()).toEqual(["stays"]);
    });

    test("a hundred transactions, twenty at once, do not mix", async () => {
      await database.orm.insert(goods).values({ id: 1, name: "0" });
      const add = () =>
        database.orm.transaction(async (tx) => {
          const [row] = await tx.select().from(goods).where(eq(goods.id, 1)).for("update");
          await tx.update(goods).set({ name: String(Number(row?.name) + 1) });
        });
      // All hundred at once would be turned away by a machine that is too slow to serve them in a few seconds.
      const addFive = async () => {
        for (let turn = 0; turn < 5; turn++) await add();
      };
      await Promise.all(Array.from({ length: 20 }, addFive));
      expect(await names()).toEqual(["100"]);
    });

    test("a statement past the handle of the open transaction is refused, not deadlocked", async () => {
      const failed = await failure(database.orm.transaction(() => names()));
      expect(failed.message).toContain("a transaction is open here");
      const nested = await failure(database.orm.transaction(() => database.orm.transaction(async () => {})));
      expect(nested.message).toContain("a transaction is open here");
      expect(await names()).toEqual([]);
    });

    test("what a transaction started may use the database when it is over", async () => {
      const { promise: over, resolve: finish } = Promise.withResolvers<void>();
      const [later] = await database.orm.transaction(async () => [over.then(() => names())]);
      finish();
      expect(await later).toEqual([]);
    });

    test("a unique violation is told from other errors, and its key from other keys", async () => {
      await database.orm.insert(goods).values({ id: 1, name: "tea" });
      const taken = await failure(database.orm.insert(goods).values({ id: 1, name: "rice" }).execute());
      expect(isUniqueViolation(taken)).toBe(true);
      expect(isUniqueViolation(taken, "goods_pkey")).toBe(true);
      expect(isUniqueViolation(taken, "goods_name_key")).toBe(false);
      const wrong = await failure(database.orm.execute(sql`select nothing`));
      expect(isUniqueViolation(wrong)).toBe(false);
      expect(wrong).not.toBeInstanceOf(DatabaseUnavailable);
    });

    test("an error does not spell out the statement's parameters", async () => {
      const secret = "argon2id-hash-of-somebody";
      await database.orm.insert(goods).values({ id: 1, name: "tea" });
      const taken = await failure(database.orm.insert(goods).values({ id: 1, name: secret }).execute());
      expect(`${taken.message} ${taken.stack} ${JSON.stringify(taken)}`).not.toContain(secret);
    });

    test("the database works on after a failed statement", async () => {
      await Promise.all([failure(database.orm.execute("nonsense")), failure(database.orm.execute(sql`select 1 / 0`))]);
      expect(await names()).toEqual([]);
    });

    test("ping answers", async () => {
      // In time, which a machine that stands still can keep it from.
      while (
        !(await database.ping().then(
          () => true,
          () => false,
        ))
      )
        await Bun.sleep(20);
    });

    test("unhurried work runs and hands its errors on", async () => {
      expect((await database.unhurried((orm) => orm.execute(sql`select 7 as seven`)))[0]).toEqual({ seven: 7 });
      await database.orm.insert(goods).values({ id: 1, name: "tea" });
      const twice = database.unhurried((orm) =>
        orm.transaction(async (tx) => {
          await tx.insert(goods).values({ id: 2, name: "rice" });
          return tx.select().from(goods).orderBy(goods.id);
        }),
      );
      expect(await twice).toEqual([
        { id: 1, name: "tea" },
        { id: 2, name: "rice" },
      ]);
      expect(await database.unhurried((orm) => orm.select({ name: goods.name }).from(goods))).toHaveLength(2);
      const failed = await failure(database.unhurried((orm) => orm.execute("nonsense")));
      expect(failed).not.toBeInstanceOf(DatabaseUnavailable);
    });

    test("close lets statements under way end and refuses later ones", async () => {
      const own = await freshDatabase(kind);
      const closing = await openDatabase(own, { log: quietLog });
      const answer = closing.orm.execute(sql`select pg_sleep(0.2), 5 as five`).then((rows) => rows[0]);
      await new Promise(setImmediate);
      await closing.close();
      expect(await answer).toMatchObject({ five: 5 });
      expect(await failure(closing.orm.execute("select 1"))).toBeInstanceOf(DatabaseUnavailable);
      expect(await failure(closing.orm.transaction(async () => {}))).toBeInstanceOf(DatabaseUnavailable);
      expect(await failure(closing.ping())).toBeInstanceOf(DatabaseUnavailable);
      await closing.close();
      await own.remove();
    });
  });
}
