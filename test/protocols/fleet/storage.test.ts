import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { Database } from "../../../src/database/database.ts";
import type { Report } from "../../../src/protocols/fleet/ingest/report.ts";
import { type Committed, ReportStore, type Stored } from "../../../src/protocols/fleet/ingest/store.ts";
import { Partitions } from "../../../src/protocols/fleet/storage/partitions.ts";
import { Retention } from "../../../src/protocols/fleet/storage/retention.ts";
import { unitState, units } from "../../../src/protocols/fleet/tables.ts";
import { insertUnit } from "../../../src/protocols/fleet/units/directory.ts";
import { ManualClock } from "../../support/clock.ts";
import { databaseKinds, openFreshDatabase } from "../../support/postgres.ts";
import { quietLog } from "../../support/quiet-log.ts";

setDefaultTimeout(300_000);

const DAY = 86_400_000;
const rules = { eventIds: { io: 1 } as never, source: "x" };

describe.each([...databaseKinds])("records on %s", (kind) => {
  const clock = new ManualClock(Date.UTC(2026, 2, 1, 12));
  let database: Database;
  let store: (reports: readonly Report[]) => Promise<Committed[]>;
  let remove: () => Promise<void>;
  let partitions: Partitions;
  beforeAll(async () => {
    ({ database, remove } = await openFreshDatabase(kind));
    store = node();
    partitions = new Partitions({ database, clock, log: quietLog });
    await insertUnit(database.orm, { uniqueId: "u" }, clock.now());
  });
  afterAll(() => remove());

  /** The store as a node has it, with a memory of its own. */
  const node = () => {
    const reports = new ReportStore(database, rules);
    return (some: readonly Report[], settled: (some: readonly Stored[]) => void = () => {}) =>
      reports.store(some, settled);
  };
  const report = (tmx: number, uid = 1001): Report => ({
    ...{ uid, vid: 1, rmx: tmx, http: false },
    records: [
      { tmx, part: "", dmx: 0, loc: { lat: 1, lon: 2 }, gsp: 0, hdg: 0, gkm: 0, cas: null, exd: {}, place: null },
    ],
  });
  /** Rows by the partition they lie in. */
  const rows = async () => {
    const found = await database.orm.execute<{ part: string; count: string }>(sql`
      select tableoid::regclass::text as part, count(*) from fleet.records group by 1 order by 1`);
    return Object.fromEntries(found.map(({ part, count }) => [part, Number(count)]));
  };

  test("F-6.2 lie in a partition a day, what is older in another; F-6.6 days that are over are dropped", async () => {
    await partitions.prepare();
    await partitions.prepare();
    const now = clock.now();
    const times = [now, now + DAY, now - 5 * DAY, now - 40 * DAY];
    expect(await store(times.map((tmx) => report(tmx)))).toHaveLength(4);
    expect(await rows()).toEqual({
      "fleet.records_20260301": 1,
      "fleet.records_20260302": 1,
      "fleet.records_other": 2,
    });
    clock.advance(11 * DAY);
    await partitions.prepare();
    await store([report(clock.now())]);
    const retention = new Retention({ database, partitions, clock }, { history: 10.5 * DAY, messages: 0 });
    await retention.run();
    expect(await rows()).toEqual({ "fleet.records_20260302": 1, "fleet.records_20260312": 1 });
    const kept = new Retention({ database, partitions, clock }, { history: 0, messages: 0 });
    clock.advance(1000 * DAY);
    await kept.run();
    expect(Object.keys(await rows())).toHaveLength(2);
  });

  test("F-6.3 a report that cannot be stored leaves nothing of its transaction behind", async () => {
    const before = await rows();
    const sound = report(clock.now());
    const [record] = sound.records!;
    const broken = { ...sound, records: [{ ...record!, tmx: clock.now() + 1, part: "a\0" }] };
    await expect(store([sound, broken])).rejects.toThrow();
    expect(await rows()).toEqual(before);
  });

  test("reports of a unit that is gone are known to be unknown", async () => {
    const [result] = await store([report(clock.now(), 4242)]);
    expect(result).toMatchObject({ known: false, frames: [] });
  });

  test("F-6.4 F-3.23 a unit made anew under its old number has the history of the old one", async () => {
    const uid = 2001;
    await insertUnit(database.orm, { uid }, clock.now());
    const now = clock.now();
    await store([report(now - 1, uid), report(now, uid)]);
    await database.orm.delete(units).where(eq(units.uid, uid));
    await insertUnit(database.orm, { uid }, now);
    for (const some of [store, node()]) {
      expect(await some([report(now, uid)])).toMatchObject([{ known: true, entries: { doubles: 1 }, frames: [] }]);
    }
    const later = [report(now - 1, uid), report(now + 1, uid)];
    expect(await store(later)).toMatchObject([{ frames: [] }, { entries: { doubles: 0 } }]);
  });

  test("what is remembered of a unit is over with a commit that failed, whatever was done to the unit's row", async () => {
    const uid = 2002;
    await insertUnit(database.orm, { uid }, clock.now());
    const now = clock.now();
    await store([report(now, uid)]);
    const [version] = await database.orm.select().from(unitState).where(eq(unitState.uid, uid));
    await node()([report(now + 1, uid)]);
    await database.orm.update(unitState).set({ version: version!.version }).where(eq(unitState.uid, uid));
    await expect(store([report(now + 1, uid)])).rejects.toThrow();
    expect(await store([report(now + 1, uid)])).toMatchObject([{ entries: { doubles: 1 } }]);
  });

  test("F-5.3 reports that are stored are told of before those that another node's commit makes wait", async () => {
    const [first, second] = [2003, 2004];
    for (const uid of [first, second]) await insertUnit(database.orm, { uid }, clock.now());
    const [here, there] = [node(), node()];
    const now = clock.now();
    await here([report(now, first), report(now, second)]);
    await there([report(now + 1, second)]);
    const told: number[][] = [];
    await here([report(now + 2, second), report(now + 2, first)], (some) =>
      told.push(some.map((stored) => stored.report.uid)),
    );
    expect(told).toEqual([[first], [second]]);
  });
});
