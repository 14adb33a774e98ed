import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import type { Database } from "../../../src/database/database.ts";
import { storeReports } from "../../../src/protocols/fleet/ingest/store.ts";
import { Partitions } from "../../../src/protocols/fleet/storage/partitions.ts";
import { Retention } from "../../../src/protocols/fleet/storage/retention.ts";
import { insertUnit } from "../../../src/protocols/fleet/units/directory.ts";
import { ManualClock } from "../../support/clock.ts";
import { databaseKinds, openFreshDatabase } from "../../support/postgres.ts";
import { quietLog } from "../../support/quiet-log.ts";

setDefaultTimeout(60_000);

const DAY = 86_400_000;
const rules = { eventIds: { io: 1 } as never, source: "x" };

describe.each([...databaseKinds])("records on %s", (kind) => {
  const clock = new ManualClock(Date.UTC(2026, 2, 1, 12));
  let database: Database;
  let remove: () => Promise<void>;
  let partitions: Partitions;
  beforeAll(async () => {
    ({ database, remove } = await openFreshDatabase(kind));
    partitions = new Partitions({ database, clock, log: quietLog });
    await insertUnit(database.orm, { uniqueId: "u" }, clock.now());
  });
  afterAll(() => remove());

  const report = (tmx: number) => ({
    ...{ uid: 1001, vid: 1, rmx: tmx, http: false },
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
    expect(await storeReports(database, times.map(report), rules)).toHaveLength(4);
    expect(await rows()).toEqual({
      "fleet.records_20260301": 1,
      "fleet.records_20260302": 1,
      "fleet.records_other": 2,
    });
    clock.advance(11 * DAY);
    await partitions.prepare();
    await storeReports(database, [report(clock.now())], rules);
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
    const broken = { ...report(clock.now()), uid: 1001, vid: 1 };
    const bad = { ...broken, records: [{ ...broken.records[0]!, tmx: clock.now() + 1, part: "a\0" }] };
    await expect(storeReports(database, [broken, bad], rules)).rejects.toThrow();
    expect(await rows()).toEqual(before);
  });

  test("reports of a unit that is gone are known to be unknown", async () => {
    const [result] = await storeReports(database, [{ ...report(clock.now()), uid: 4242 }], rules);
    expect(result).toMatchObject({ known: false, frames: [] });
  });
});
