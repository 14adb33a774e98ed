import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { type Database, DatabaseUnavailable } from "../../src/database/database.ts";
import { isDeadlock } from "../../src/database/errors.ts";
import { openDatabase } from "../../src/database/open.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "../support/postgres.ts";
import { quietLog } from "../support/quiet-log.ts";
import { UnreliableNetwork } from "./unreliable-network.ts";

setDefaultTimeout(120_000);

describe.skipIf(!postgresUrl)("a Postgres that is away", () => {
  let fresh: FreshDatabase;
  let network: UnreliableNetwork;
  let database: Database;

  beforeEach(async () => {
    fresh = await freshDatabase("postgres");
    const url = fresh.databaseUrl as string;
    network = new UnreliableNetwork(url);
    database = await openDatabase({ ...fresh, databaseUrl: await network.listen(url) }, { log: quietLog });
    await works();
  });
  afterEach(async () => {
    await database.close();
    await network.stop();
    await fresh.remove();
  });

  async function works(): Promise<void> {
    expect((await database.orm.execute(sql`select 1 as one`))[0]).toEqual({ one: 1 });
    await database.orm.transaction((tx) => tx.execute(sql`select 1`));
  }

  /** Tries until it works: after a failed attempt to connect there is a short pause. Returns the failures before. */
  async function isBack(): Promise<string[]> {
    const failures: string[] = [];
    for (;;) {
      const failure = await statement().then(
        () => null,
        ({ message }: Error) => message,
      );
      if (failure === null) break;
      failures.push(failure);
      await Bun.sleep(20);
    }
    await works();
    return failures;
  }

  /** The work rejects as it should; resolves to the milliseconds that took. */
  async function isAway(work: () => Promise<unknown>): Promise<number> {
    const started = performance.now();
    const error = await work().then(
      () => null,
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    return performance.now() - started;
  }

  const sleepers = sql`select pid from pg_stat_activity where state = 'active'
    and datname = current_database() and query like 'select pg_sleep(%'`;
  const idlers = sql`select pid from pg_stat_activity where state like 'idle in transaction%'
    and datname = current_database()`;
  const statement = async () => database.orm.execute(sql`select 1`);
  const transaction = () => database.orm.transaction((tx) => tx.execute(sql`select 1`));

  test("refused connections reject statements, and the server is found when it is back", async () => {
    await network.stop();
    await isAway(statement);
    await isAway(transaction);
    await isAway(() => database.ping());
    await isAway(() => database.unhurried((orm) => orm.execute(sql`select 1`)));
    await network.listen(fresh.databaseUrl as string);
    await isBack();
  });

  test("a connection that breaks rejects its statement, and the next one gets another", async () => {
    const cut = isAway(async () => database.orm.execute(sql`select pg_sleep(60)`));
    while ((await database.orm.execute(sleepers)).length === 0);
    network.cut();
    await cut;
    await isBack();
  });

  test("a statement that no server was given is told apart from one that was lost on its way", async () => {
    const unsent = (work: Promise<unknown>) => work.then(Boolean, (error: DatabaseUnavailable) => error.unsent);
    const lost = unsent(database.orm.execute(sql`select pg_sleep(60)`));
    while ((await database.orm.execute(sleepers)).length === 0);
    await network.stop();
    expect(await lost).toBe(false);
    // May still be given to a connection that is about to notice.
    await statement().catch(() => {});
    await Bun.sleep(250);
    // Refused by the network, then by the pause after that.
    expect([await unsent(statement()), await unsent(statement())]).toEqual([true, true]);
    await network.listen(fresh.databaseUrl as string);
    network.weather = "closing";
    await Bun.sleep(250);
    expect(await unsent(statement())).toBe(true);
  });

  test("a server that shuts the connection down counts as away", async () => {
    await isAway(async () => database.orm.execute(sql`select pg_terminate_backend(pg_backend_pid())`));
    await works();
  });

  test("a statement right after a break waits for no lost connection", async () => {
    for (let round = 0; round < 10; round++) {
      const broken = isAway(async () => database.orm.execute(sql`select pg_sleep(60)`));
      while ((await database.orm.execute(sleepers)).length === 0);
      network.cut();
      await broken;
      // Written to a connection that was gone, it would wait for an answer until it is given up.
      expect(await isBack()).not.toContain("the database does not answer");
    }
  });

  test("a transaction whose connection breaks is refused from then on and leaves nothing", async () => {
    await database.orm.execute(sql`create table kept (id int)`);
    await isAway(() =>
      database.orm.transaction(async (tx) => {
        await tx.execute(sql`insert into kept values (1)`);
        await isAway(async () => tx.execute(sql`select pg_terminate_backend(pg_backend_pid())`));
        await isAway(async () => tx.execute(sql`insert into kept values (2)`));
        await tx.execute(sql`insert into kept values (3)`);
      }),
    );
    await isBack();
    expect([...(await database.orm.execute(sql`select * from kept`))]).toEqual([]);
  });

  test("a proxy that closes without a word is no endless loop", async () => {
    network.cut();
    network.weather = "closing";
    const before = network.accepted;
    const started = performance.now();
    for (let turn = 0; turn < 50; turn++) {
      await isAway(statement);
      await Bun.sleep(20);
    }
    const pauses = (performance.now() - started) / 200;
    // One attempt in each pause of 200 ms; postgres.js alone makes thousands.
    expect(network.accepted - before).toBeWithin(1, Math.floor(pauses) + 2);
    network.weather = "fair";
    await isBack();
  });

  test("a connection that fell silent is given up, also in a transaction and at its end", async () => {
    const { promise: silence, resolve: fallSilent } = Promise.withResolvers<void>();
    const { promise: inside, resolve: firstIsIn } = Promise.withResolvers<void>();
    const { promise: atEnd, resolve: secondIsIn } = Promise.withResolvers<void>();
    const lostInside = database.orm.transaction(async (tx) => {
      await tx.execute(sql`select 1`);
      firstIsIn();
      await silence;
      await tx.execute(sql`select 2`);
    });
    const lostAtEnd = database.orm.transaction(async (tx) => {
      await tx.execute(sql`select 1`);
      secondIsIn();
      await silence;
    });
    await Promise.all([inside, atEnd]);
    // Opens a third connection, which the statement below will find.
    await works();
    network.weather = "silent";
    fallSilent();
    await Promise.all([isAway(statement), isAway(() => lostInside), isAway(() => lostAtEnd)]);
    network.weather = "fair";
    await isBack();
  });

  test("ping gives a silent server two seconds", async () => {
    network.weather = "silent";
    let hasWaited = false;
    const slower = isAway(statement).then(() => {
      hasWaited = true;
    });
    expect(await isAway(() => database.ping())).toBeGreaterThan(1_900);
    // A statement is given six.
    expect(hasWaited).toBe(false);
    await slower;
  });

  test("one lost connection does not take the others with it", async () => {
    const slow = database.orm.execute(sql`select pg_sleep(1), 1 as done`).then((rows) => rows[0]?.done);
    await isAway(async () => database.orm.execute(sql`select pg_terminate_backend(pg_backend_pid())`));
    expect(await slow).toBe(1);
  });

  test("the server ends a statement that takes longer than five seconds", async () => {
    const took = await isAway(async () => database.orm.execute(sql`select pg_sleep(60)`));
    expect(took).toBeGreaterThan(4_900);
    await works();
  });

  test("of two transactions that wait for each other one fails as a deadlock, the other is kept", async () => {
    await database.orm.execute(sql`create table pair (id int primary key, changes int default 0)`);
    await database.orm.execute(sql`insert into pair values (1), (2)`);
    const { promise: bothHold, resolve: bothAreIn } = Promise.withResolvers<void>();
    let holding = 0;
    const change = (first: number, second: number) =>
      database.orm.transaction(async (tx) => {
        await tx.execute(sql`update pair set changes = changes + 1 where id = ${first}`);
        if (++holding === 2) bothAreIn();
        await bothHold;
        await tx.execute(sql`update pair set changes = changes + 1 where id = ${second}`);
      });
    const outcomes = await Promise.allSettled([change(1, 2), change(2, 1)]);
    const reasons = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(reasons.map(isDeadlock)).toEqual([true]);
    const rows = await database.orm.execute(sql`select changes from pair`);
    expect([...rows]).toEqual([{ changes: 1 }, { changes: 1 }]);
  });

  test("a transaction that stands still is ended by the server and leaves nothing", async () => {
    await database.orm.execute(sql`create table still (id int)`);
    const [row] = await database.orm.execute(sql`show idle_in_transaction_session_timeout`);
    expect(row).toEqual({ idle_in_transaction_session_timeout: "10s" });
    const { promise: standing, resolve: stand } = Promise.withResolvers<void>();
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    const ended = database.orm.transaction(async (tx) => {
      await tx.execute(sql`insert into still values (1)`);
      await tx.execute(sql`set local idle_in_transaction_session_timeout = 100`);
      stand();
      await woken;
      await tx.execute(sql`insert into still values (2)`);
    });
    await standing;
    while ((await database.orm.execute(idlers)).length > 0) await Bun.sleep(20);
    wake();
    await isAway(() => ended);
    expect([...(await database.orm.execute(sql`select * from still`))]).toEqual([]);
  });

  test("unhurried work has no such limit", async () => {
    const rows = database.unhurried((orm) => orm.execute(sql`show statement_timeout`));
    expect([...(await rows)]).toEqual([{ statement_timeout: "0" }]);
  });

  test("more statements than may wait are turned away, the others are served", async () => {
    let refused = 0;
    const answers = Array.from({ length: 10_100 }, statement);
    for (const answer of answers) {
      answer.catch(() => {
        refused++;
      });
    }
    await answers[0];
    // At once; on a busy machine some of the others may wait too long after that.
    expect(refused).toBe(10_100 - 10_000 - 8);
    await Promise.allSettled(answers);
    await works();
  });
});
