import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { Account, Accounts, Sessions } from "../../src/accounts/accounts.ts";
import { createAccounts } from "../../src/accounts/store.ts";
import * as tables from "../../src/accounts/tables.ts";
import type { Database } from "../../src/database/database.ts";
import { ManualClock } from "../support/clock.ts";
import { databaseKinds, openFreshDatabase } from "../support/postgres.ts";

setDefaultTimeout(60_000);

const nobody = "00000000-0000-4000-8000-000000000000";
const grace = 60_000;
const day = 86_400_000;

for (const kind of databaseKinds) {
  describe(`sessions (${kind})`, () => {
    let clock: ManualClock;
    let database: Database;
    let accounts: Accounts;
    let account: Account;
    let sessions: Sessions;
    let remove: () => Promise<void>;

    beforeAll(async () => {
      clock = new ManualClock();
      ({ database, remove } = await openFreshDatabase(kind));
      accounts = createAccounts(database, { clock });
      sessions = accounts.sessions;
    });
    beforeEach(async () => {
      account = await accounts.create({ username: crypto.randomUUID(), password: "secret" });
    });
    afterAll(() => remove());

    const open = (options = {}) => sessions.open(account.id, "tests", { ttl: day, limit: 10, ...options });
    const rotate = async (id: string, generation: number) =>
      (await sessions.rotate(id, generation, { grace }))?.generation ?? null;

    test("a login begins with generation 1 and lasts its time", async () => {
      expect(await open()).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        accountId: account.id,
        generation: 1,
        expiresAt: new Date(clock.now() + day),
      });
    });

    test("T-3.20 each refresh issues the next generation and keeps the expiry of the login", async () => {
      const { id, expiresAt } = await open();
      for (let generation = 1; generation <= 5; generation++) {
        clock.advance(3_600_000);
        const next = await sessions.rotate(id, generation, { grace });
        expect(next).toEqual({ id, accountId: account.id, generation: generation + 1, expiresAt });
      }
    });

    test("T-3.21 a replaced token gives the same successor, however late, until that one was used", async () => {
      const { id } = await open();
      expect(await rotate(id, 1)).toBe(2);
      clock.advance(day / 2);
      expect(await rotate(id, 1)).toBe(2);
      expect(await rotate(id, 2)).toBe(3);
    });

    test("T-3.21 and for the grace after that first use, which later uses do not prolong", async () => {
      const { id } = await open();
      await rotate(id, 1);
      await rotate(id, 2);
      clock.advance(grace / 2);
      expect(await rotate(id, 2)).toBe(3);
      expect(await rotate(id, 1)).toBe(2);
      clock.advance(grace / 2);
      expect(await rotate(id, 1)).toBe(2);
      clock.advance(1);
      expect(await rotate(id, 1)).toBeNull();
    });

    test("T-3.21 each generation has a grace of its own when refreshes follow closely", async () => {
      const { id } = await open();
      for (let generation = 1; generation <= 6; generation++) {
        expect(await rotate(id, generation)).toBe(generation + 1);
        clock.advance(grace / 4);
      }
      // Generation 3 was first used four quarters ago, generation 2 five.
      expect(await rotate(id, 6)).toBe(7);
      expect(await rotate(id, 5)).toBe(6);
      expect(await rotate(id, 2)).toBe(3);
      expect(await rotate(id, 1)).toBeNull();
    });

    test("T-3.22 a replaced token that comes too late ends the login with all its tokens", async () => {
      const { id } = await open();
      await rotate(id, 1);
      await rotate(id, 2);
      clock.advance(grace + 1);
      expect(await rotate(id, 1)).toBeNull();
      for (const generation of [3, 2, 1]) expect(await rotate(id, generation)).toBeNull();
    });

    test("a generation that was never issued ends the login", async () => {
      for (const generation of [3, 0, -1, 1.5, Number.NaN, 2 ** 40]) {
        const { id } = await open();
        await rotate(id, 1);
        expect(await rotate(id, generation)).toBeNull();
        expect(await rotate(id, 2)).toBeNull();
      }
    });

    test("T-11.8 parallel refreshes agree on one successor", async () => {
      const { id } = await open();
      expect(await Promise.all(Array.from({ length: 20 }, () => rotate(id, 1)))).toEqual(Array(20).fill(2));
      expect(await rotate(id, 2)).toBe(3);
    });

    // The embedded database does one thing after another anyway.
    if (kind === "postgres") {
      test("T-11.8 a refresh that was overtaken on another node does not turn the login back", async () => {
        const { id } = await open();
        const { promise: holding, resolve: hold } = Promise.withResolvers<void>();
        const { promise: released, resolve: release } = Promise.withResolvers<void>();
        const others = database.orm.transaction(async (tx) => {
          await tx.select().from(tables.sessions).where(eq(tables.sessions.id, id)).for("update");
          hold();
          await released;
          const usedAt = [new Date(clock.now()), new Date(clock.now())];
          await tx.update(tables.sessions).set({ generation: 3, usedAt }).where(eq(tables.sessions.id, id));
        });
        await holding;
        const overtaken = rotate(id, 1);
        const waiting = sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'
          and backend_type = 'client backend' and datname = current_database()`;
        while ((await database.orm.execute(waiting)).length === 0);
        release();
        await others;
        expect(await overtaken).toBe(2);
        expect(await rotate(id, 3)).toBe(4);
      });
    }

    test("many refreshes within the grace are remembered up to a limit", async () => {
      const { id } = await open();
      for (let generation = 1; generation <= 260; generation++) await rotate(id, generation);
      expect(await rotate(id, 100)).toBe(101);
      expect(await rotate(id, 261)).toBe(262);
    });

    test("a login ends at its expiry", async () => {
      const { id } = await open({ ttl: 1_000 });
      clock.advance(999);
      expect(await rotate(id, 1)).toBe(2);
      clock.advance(1);
      expect(await rotate(id, 2)).toBeNull();
    });

    test("T-3.23 beyond the limit the oldest login goes, other scopes and accounts stay", async () => {
      const elsewhere = await sessions.open(account.id, "elsewhere", { ttl: day, limit: 10 });
      const other = await accounts.create({ username: crypto.randomUUID(), password: "secret" });
      const others = await sessions.open(other.id, "tests", { ttl: day, limit: 10 });
      const ids: string[] = [];
      for (let login = 0; login < 5; login++) {
        clock.advance(1_000);
        ids.push((await open({ limit: 3 })).id);
      }
      expect(await Promise.all(ids.map((id) => rotate(id, 1)))).toEqual([null, null, 2, 2, 2]);
      expect(await rotate(elsewhere.id, 1)).toBe(2);
      expect(await rotate(others.id, 1)).toBe(2);
    });

    test("T-3.23 simultaneous logins keep to the limit", async () => {
      await Promise.all(Array.from({ length: 12 }, () => open({ limit: 4 })));
      expect(await sessions.closeAll(account.id, "tests")).toHaveLength(4);
    });

    test("an expired login takes no place from a living one", async () => {
      const living = await open({ limit: 2 });
      clock.advance(10);
      await open({ limit: 2, ttl: 5 });
      clock.advance(10);
      await open({ limit: 2 });
      expect(await rotate(living.id, 1)).toBe(2);
    });

    test("close ends one login, closeAll those of a scope", async () => {
      const [first, second, third] = [await open(), await open(), await open()];
      const elsewhere = await sessions.open(account.id, "elsewhere", { ttl: day, limit: 10 });
      expect(await sessions.close(first.id)).toBe(true);
      expect(await sessions.close(first.id)).toBe(false);
      expect((await sessions.closeAll(account.id, "tests")).sort()).toEqual([second.id, third.id].sort());
      expect(await rotate(second.id, 1)).toBeNull();
      expect(await rotate(elsewhere.id, 1)).toBe(2);
    });

    test("a login that comes too late for its account is closed from the start", async () => {
      await accounts.update(account.id, { disabled: true });
      expect(await rotate((await open()).id, 1)).toBeNull();
      await accounts.remove(account.id);
      expect(await rotate((await open()).id, 1)).toBeNull();
    });

    test("a login goes with its account", async () => {
      const { id } = await open();
      await accounts.remove(account.id);
      expect(await rotate(id, 1)).toBeNull();
    });

    test("nonsense in place of an id is no login", async () => {
      for (const id of ["", "x", nobody, "'; drop table accounts", "\0"]) {
        expect(await rotate(id, 1)).toBeNull();
        expect(await sessions.close(id)).toBe(false);
        expect(await sessions.closeAll(id, "tests")).toEqual([]);
      }
    });

    test("expired logins are purged, living ones stay", async () => {
      await sessions.purgeExpired();
      const [short, long] = [await open({ ttl: 1_000 }), await open({ ttl: 2_000 })];
      clock.advance(1_000);
      expect(await sessions.purgeExpired()).toBe(1);
      expect(await sessions.close(short.id)).toBe(false);
      expect(await sessions.close(long.id)).toBe(true);
    });
  });
}
