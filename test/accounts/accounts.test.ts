import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { AccountExists, type Accounts } from "../../src/accounts/accounts.ts";
import { createAccounts } from "../../src/accounts/store.ts";
import type { Database } from "../../src/database/database.ts";
import { ManualClock } from "../support/clock.ts";
import { databaseKinds, openFreshDatabase } from "../support/postgres.ts";

setDefaultTimeout(60_000);

const nobody = "00000000-0000-4000-8000-000000000000";

for (const kind of databaseKinds) {
  describe(`accounts (${kind})`, () => {
    const clock = new ManualClock();
    let database: Database;
    let accounts: Accounts;
    let remove: () => Promise<void>;
    let names = 0;
    const fresh = () => `user${++names}`;

    beforeAll(async () => {
      ({ database, remove } = await openFreshDatabase(kind));
      accounts = createAccounts(database, { clock });
    });
    afterAll(() => remove());

    test("a new account has an id, the next number and what it was given", async () => {
      const before = await accounts.create({ username: fresh(), password: "secret" });
      const account = await accounts.create({
        username: "Ada",
        email: "Ada@Example.org",
        name: "Ada L.",
        password: "secret",
      });
      expect(account).toEqual({
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
        number: before.number + 1,
        username: "ada",
        email: "Ada@Example.org",
        name: "Ada L.",
        disabled: false,
        createdAt: new Date(clock.now()),
      });
      expect(await accounts.byId(account.id)).toEqual(account);
      expect(await accounts.byNumber(account.number)).toEqual(account);
      expect(await accounts.byUsername("ADA")).toEqual(account);
      expect(await accounts.byEmail("ADA@example.ORG")).toEqual(account);
    });

    test("what is not there is null, whatever is asked for", async () => {
      expect(await accounts.byId(nobody)).toBeNull();
      for (const id of ["", "1", "not-a-uuid", nobody.toUpperCase().replace("4", "A"), "\0"]) {
        expect(await accounts.byId(id)).toBeNull();
      }
      for (const number of [0, -1, 0.5, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(await accounts.byNumber(number)).toBeNull();
      }
      for (const login of ["", "nobody\0", "'; drop table accounts", "\ud800"]) {
        expect(await accounts.byUsername(login)).toBeNull();
        expect(await accounts.byEmail(`${login}@example.org`)).toBeNull();
      }
    });

    test("an account needs a username or an e-mail address", async () => {
      await expect(accounts.create({ name: "Nobody", password: "secret" })).rejects.toBeInstanceOf(TypeError);
    });

    test("T-3.15 of simultaneous creations of one name exactly one succeeds", async () => {
      const name = fresh();
      const outcomes = await Promise.allSettled(
        [name, name.toUpperCase(), name, name].map((username) => accounts.create({ username, password: "secret" })),
      );
      const reasons = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      expect(reasons).toHaveLength(3);
      for (const reason of reasons) expect(reason).toBeInstanceOf(AccountExists);
    });

    test("W-2.14 e-mail addresses are unique without regard to case", async () => {
      await accounts.create({ email: "Same@Example.org", password: "secret" });
      await expect(accounts.create({ email: "sAME@eXAMPLE.ORG", password: "secret" })).rejects.toBeInstanceOf(
        AccountExists,
      );
    });

    test("a number may be given, is taken once, and the store goes on above it", async () => {
      const given = await accounts.create({ username: fresh(), password: "secret", number: 5_000 });
      expect(given.number).toBe(5_000);
      const taken = accounts.create({ username: fresh(), password: "secret", number: 5_000 });
      await expect(taken).rejects.toBeInstanceOf(AccountExists);
      expect((await accounts.create({ username: fresh(), password: "secret" })).number).toBeGreaterThan(5_000);
      const lower = await accounts.create({ username: fresh(), password: "secret", number: 4_000 });
      expect(lower.number).toBe(4_000);
      expect((await accounts.create({ username: fresh(), password: "secret" })).number).toBeGreaterThan(5_000);
    });

    test("a number that was put in past the store is skipped", async () => {
      const last = await accounts.create({ username: fresh(), password: "secret" });
      await database.orm.execute(sql`
        insert into accounts.accounts (id, number, username, password_hash, created_at)
        values (gen_random_uuid(), ${last.number + 1}, ${fresh()}, '', now())`);
      expect((await accounts.create({ username: fresh(), password: "secret" })).number).toBe(last.number + 2);
    });

    test("a number is never used twice, even when its account is gone", async () => {
      const gone = await accounts.create({ username: fresh(), password: "secret" });
      expect(await accounts.remove(gone.id)).toBe(true);
      expect(await accounts.remove(gone.id)).toBe(false);
      expect(await accounts.byId(gone.id)).toBeNull();
      await accounts.create({ username: fresh(), password: "secret", number: 77 });
      expect((await accounts.create({ username: fresh(), password: "secret" })).number).toBeGreaterThan(gone.number);
    });

    test("a password is checked by username and by e-mail address, in any case", async () => {
      const account = await accounts.create({ username: fresh(), email: "by@example.org", password: "pass word" });
      const username = account.username as string;
      expect(await accounts.checkPassword(username, "pass word")).toEqual({ account });
      expect(await accounts.checkPassword(username.toUpperCase(), "pass word")).toEqual({ account });
      expect(await accounts.checkPassword("BY@example.org", "pass word")).toEqual({ account });
      for (const wrong of ["pass word ", "Pass word", "", "\0"]) {
        expect(await accounts.checkPassword(username, wrong)).toEqual({ failed: "wrong" });
      }
      expect(await accounts.checkPassword("no-such-user", "pass word")).toEqual({ failed: "unknown" });
      expect(await accounts.checkPassword("no\0body", "pass word")).toEqual({ failed: "unknown" });
      expect(await accounts.checkPassword("no@example.org", "pass word")).toEqual({ failed: "unknown" });
    });

    test("T-3.16 nothing that is handed out holds the password or its hash", async () => {
      const account = await accounts.create({ username: fresh(), password: "secret" });
      const checked = await accounts.checkPassword(account.username as string, "secret");
      const everything = JSON.stringify([
        account,
        checked,
        await accounts.byId(account.id),
        await accounts.list({ limit: 500 }),
      ]);
      expect(everything).not.toContain("argon2");
      expect(everything).not.toContain("secret");
    });

    test("W-2.14 passwords are kept as argon2id", async () => {
      const { id } = await accounts.create({ username: fresh(), password: "secret" });
      const [row] = await database.orm.execute<{ hash: string }>(
        sql`select password_hash as hash from accounts.accounts where id = ${id}`,
      );
      expect(row?.hash).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$");
    });

    test("T-3.24, W-2.15 an unknown name costs the time of a wrong password", async () => {
      const { username } = await accounts.create({ username: fresh(), password: "secret" });
      const cost = async (login: string) => {
        const before = process.cpuUsage();
        await accounts.checkPassword(login, "wrong password");
        const { user, system } = process.cpuUsage(before);
        return user + system;
      };
      const [wrong, unknown]: [number[], number[]] = [[], []];
      for (let round = 0; round < 9; round++) {
        wrong.push(await cost(username as string));
        unknown.push(await cost("no-such-user"));
      }
      // Without the hash it would be a tenth. Time of the processor, in turns: what else the machine does slows both.
      const ratio = Math.min(...unknown) / Math.min(...wrong);
      expect(ratio).toBeGreaterThan(0.5);
      expect(ratio).toBeLessThan(2);
    });

    test("F-2.1 a disabled account fails as a wrong password does, and comes back", async () => {
      const { id, username } = await accounts.create({ username: fresh(), password: "secret" });
      expect(await accounts.update(id, { disabled: true })).toMatchObject({ id, disabled: true });
      expect(await accounts.checkPassword(username as string, "secret")).toEqual({ failed: "wrong" });
      await accounts.update(id, { disabled: false });
      expect(await accounts.checkPassword(username as string, "secret")).toMatchObject({ account: { id } });
    });

    test("disabling closes every session, in all scopes", async () => {
      const { id } = await accounts.create({ username: fresh(), password: "secret" });
      const session = await accounts.sessions.open(id, "one", { ttl: 1_000, limit: 5 });
      await accounts.sessions.open(id, "two", { ttl: 1_000, limit: 5 });
      await accounts.update(id, { name: "still there" });
      expect(await accounts.sessions.rotate(session.id, 1, { grace: 0 })).not.toBeNull();
      await accounts.update(id, { disabled: true });
      expect(await accounts.sessions.rotate(session.id, 2, { grace: 0 })).toBeNull();
      expect(await accounts.sessions.closeAll(id, "two")).toEqual([]);
    });

    test("changes touch what they name and nothing else", async () => {
      const account = await accounts.create({
        username: fresh(),
        email: "old@example.org",
        name: "Old",
        password: "secret",
      });
      const { id } = account;
      expect(await accounts.update(id, {})).toEqual(account);
      expect(await accounts.update(id, { name: null })).toEqual({ ...account, name: null });
      const moved = await accounts.update(id, { email: "New@example.org" });
      expect(moved).toEqual({ ...account, name: null, email: "New@example.org" });
      expect(await accounts.byEmail("old@example.org")).toBeNull();
      expect(await accounts.byEmail("new@example.org")).toEqual(moved);
      const other = await accounts.create({ username: fresh(), password: "secret" });
      await expect(accounts.update(other.id, { email: "NEW@example.org" })).rejects.toBeInstanceOf(AccountExists);
      expect(await accounts.update(nobody, { name: "x" })).toBeNull();
      expect(await accounts.update("nonsense", { name: "x" })).toBeNull();
    });

    test("a new password replaces the old one", async () => {
      const { id, username } = await accounts.create({ username: fresh(), password: "old" });
      expect(await accounts.setPassword(id, "new")).toBe(true);
      expect(await accounts.checkPassword(username as string, "old")).toEqual({ failed: "wrong" });
      expect(await accounts.checkPassword(username as string, "new")).toMatchObject({ account: { id } });
      expect(await accounts.setPassword(nobody, "new")).toBe(false);
      expect(await accounts.setPassword("nonsense", "new")).toBe(false);
    });

    test("accounts are listed by number in pages", async () => {
      const all = await accounts.list({ limit: 1_000 });
      const numbers = all.map(({ number }) => number);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      const page = await accounts.list({ after: numbers[1] as number, limit: 2 });
      expect(page).toEqual(all.slice(2, 4));
    });
  });
}
