import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { type Database, DatabaseUnavailable } from "../../src/database/database.ts";
import { isUniqueViolation } from "../../src/database/errors.ts";
import { type GatherOptions, gather } from "../../src/database/gather.ts";
import { databaseKinds, openFreshDatabase } from "../support/postgres.ts";

setDefaultTimeout(60_000);

const messages = pgSchema("talk").table("messages", {
  id: integer("id").generatedAlwaysAsIdentity(),
  key: integer("key").primaryKey(),
  text: text("text").notNull(),
});
type Message = typeof messages.$inferInsert;

for (const kind of databaseKinds) {
  describe(`gather (${kind})`, () => {
    let database: Database;
    let remove: () => Promise<void>;
    /** How many rows each statement held. */
    let sizes: number[];

    beforeAll(async () => {
      ({ database, remove } = await openFreshDatabase(kind));
      await database.orm.execute(sql`create schema talk`);
      await database.orm.execute(sql`
        create table talk.messages (id int generated always as identity, key int primary key, text text not null)`);
    });
    beforeEach(async () => {
      sizes = [];
      await database.orm.delete(messages);
    });
    afterAll(() => remove());

    function inserts(limits: Partial<GatherOptions<Message, number>> = {}): (row: Message) => Promise<number> {
      return gather({
        maxRows: 100,
        maxQueued: 1_000,
        write: async (rows) => {
          sizes.push(rows.length);
          const keys = await database.orm
            .insert(messages)
            .values([...rows])
            .returning({ key: messages.key });
          return keys.map(({ key }) => key);
        },
        ...limits,
      });
    }
    const message = (key: number): Message => ({ key, text: `message ${key}` });
    const keys = Array.from({ length: 250 }, (_, key) => key);

    test("simultaneous rows share statements, and each caller gets the result of his own", async () => {
      const insert = inserts();
      expect(await Promise.all(keys.map((key) => insert(message(key))))).toEqual(keys);
      expect(sizes).toEqual([100, 100, 50]);
      expect(await database.orm.$count(messages)).toBe(250);
    });

    test("a row alone is written at once, or with those that came while it waited", async () => {
      expect(await inserts()(message(1))).toBe(1);
      expect(sizes).toEqual([1]);
      expect(await inserts({ maxWait: 20 })(message(4))).toBe(4);
      sizes = [];
      // Not in this test's time: the second row goes at once since it fills a statement.
      const patient = inserts({ maxWait: 3_600_000, maxRows: 2 });
      const first = patient(message(2));
      await new Promise(setImmediate);
      expect(await Promise.all([first, patient(message(3))])).toEqual([2, 3]);
      expect(sizes).toEqual([2]);
    });

    test("rows that come while a statement is under way make up the next one", async () => {
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const { promise: held, resolve: release } = Promise.withResolvers<void>();
      const batches: number[][] = [];
      const insert = gather<number, number>({
        maxRows: 100,
        maxQueued: 100,
        write: async (rows) => {
          batches.push([...rows]);
          begin();
          await held;
          return rows;
        },
      });
      const first = insert(1);
      await begun;
      const others = [insert(2), insert(3)];
      release();
      expect(await Promise.all([first, ...others])).toEqual([1, 2, 3]);
      expect(batches).toEqual([[1], [2, 3]]);
    });

    test("with a time to wait, rows that come while a statement is under way wait as well, until there are enough", async () => {
      const { promise: held, resolve: release } = Promise.withResolvers<void>();
      const batches: number[][] = [];
      const insert = gather<number, number>({
        maxRows: 3,
        maxQueued: 100,
        // Not in this test's time: rows go when they fill a statement.
        maxWait: 3_600_000,
        write: async (rows) => {
          batches.push([...rows]);
          await held;
          return rows;
        },
      });
      const first = [insert(1), insert(2), insert(3)];
      const fourth = insert(4);
      release();
      await Promise.all(first);
      await new Promise(setImmediate);
      expect(batches).toEqual([[1, 2, 3]]);
      expect(await Promise.all([fourth, insert(5), insert(6)])).toEqual([4, 5, 6]);
      expect(batches).toEqual([
        [1, 2, 3],
        [4, 5, 6],
      ]);
    });

    test("rows that stand for several fill a statement sooner, and one that is too heavy goes alone", async () => {
      const insert = inserts({ maxRows: 4, weight: ({ key }) => key });
      await Promise.all([1, 2, 3, 9, 4].map((key) => insert({ key, text: "x" })));
      expect(sizes).toEqual([2, 1, 1, 1]);
    });

    test("a row that the database refuses fails alone", async () => {
      const insert = inserts();
      await insert(message(17));
      const outcomes = await Promise.allSettled(keys.map((key) => insert(message(key))));
      const failed = outcomes.flatMap((outcome, key) => (outcome.status === "rejected" ? [{ key, ...outcome }] : []));
      expect(failed.map(({ key }) => key)).toEqual([17]);
      expect(isUniqueViolation(failed[0]?.reason)).toBe(true);
      expect(await database.orm.$count(messages)).toBe(250);
    });

    test("a full queue turns new rows away and keeps those it has", async () => {
      const insert = inserts({ maxQueued: 20 });
      const outcomes = await Promise.allSettled(keys.slice(0, 30).map((key) => insert(message(key))));
      const refused = outcomes.filter((outcome) => outcome.status === "rejected");
      expect(refused).toHaveLength(10);
      for (const { reason } of refused) expect(reason).toBeInstanceOf(DatabaseUnavailable);
      expect(await database.orm.$count(messages)).toBe(20);
    });

    test("a store that is away fails every row of the statement at once", async () => {
      let tries = 0;
      const insert = gather<number, number>({
        maxRows: 100,
        maxQueued: 100,
        write: async () => {
          tries++;
          throw new DatabaseUnavailable("away");
        },
      });
      const outcomes = await Promise.allSettled([insert(1), insert(2), insert(3)]);
      expect(outcomes.every((outcome) => outcome.status === "rejected")).toBe(true);
      expect(tries).toBe(1);
    });

    test("a write that answers for too few rows fails them all instead of mixing them up", async () => {
      const insert = inserts({ write: async () => [1] });
      const outcomes = await Promise.allSettled([insert(message(1)), insert(message(2))]);
      expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    });

    test("inside a transaction it is refused: the row would wait for the transaction, and that for the row", async () => {
      const insert = inserts();
      await expect(database.orm.transaction(() => insert(message(1)))).rejects.toThrow("a transaction is open here");
      expect(await database.orm.$count(messages)).toBe(0);
    });
  });
}
