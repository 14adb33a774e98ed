import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Answer, type Stage, Stages, type TestUnit, type TestUser } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let unit: TestUnit;
let user: TestUser;
/** Rows of the unit: one a second, but for four that share the 100th. */
const ROWS = 4_503;
const SHARED = 100;
const start = Math.floor(Date.now() / 1000) * 1000 - 6_000_000;
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
/** Second and index of each row, in order. */
const rows = Array.from({ length: ROWS }, (_, i) =>
  i <= SHARED ? [i, 0] : i <= SHARED + 3 ? [SHARED, i - SHARED] : [i - 3, 0],
) as readonly [second: number, index: number][];

beforeAll(async () => {
  stage = await stages.start();
  unit = await stage.unit();
  user = await stage.user(unit);
  const tracker = await stage.device(unit);
  for (let from = 0; from < ROWS; from += 500) {
    const records = rows.slice(from, from + 500).map(([second, index]) => {
      return { tmx: at(second), loc: { lat: 1, lon: 2 }, gsp: index, exd: { io: { "1": second % 2 } }, index };
    });
    tracker.send({ t: "records", seq: from, records });
    expect(await tracker.text()).toBe(`{"t":"ack","seq":${from}}`);
  }
});
afterAll(() => stages.stop());

const historic = (where: Stage, from: string, to: string) =>
  where.rest("vehicleHistoric", user, { vehicleId: unit.uid, dateBegin: from, dateEnd: to });
const placesOf = ({ body }: Answer) =>
  (body.data as { tmx: string; gsp: number }[]).map(({ tmx, gsp }) => [(Date.parse(tmx) - start) / 1000, gsp]);

test("F-12.34 a frame takes 1 to 500 records", async () => {
  const tracker = await stage.device(await stage.unit());
  const rec = (i: number) => ({ tmx: at(i), loc: { lat: 1, lon: 2 } });
  tracker.send({ t: "records", seq: 1, records: Array.from({ length: 501 }, (_, i) => rec(i)) });
  expect(await tracker.next<object>()).toMatchObject({ t: "error", seq: 1, code: "bad-frame" });
  tracker.send({ t: "records", seq: 2, records: [] });
  expect(await tracker.next<object>()).toMatchObject({ t: "error", seq: 2, code: "bad-frame" });
  tracker.send({ t: "records", seq: 3, records: Array.from({ length: 500 }, (_, i) => rec(i)) });
  expect(await tracker.text()).toBe('{"t":"ack","seq":3}');
});

describe("F-3.4 F-3.14 a long history", () => {
  test("comes whole and in order, however many statements read it", async () => {
    const answer = await historic(stage, at(0), at(ROWS));
    expect(placesOf(answer)).toEqual(rows.map((row) => [...row]));
    expect(Object.keys(answer.body)).toEqual(["error", "code", "message", "data"]);
    const events = await stage.rest("events", user, { vehicles: [unit.uid], dateBegin: at(0), dateEnd: at(ROWS) });
    const times = (events.body.data as { timestamp: string }[]).map(({ timestamp }) => timestamp);
    expect(times).toEqual(Array.from({ length: times.length }, (_, i) => at(i + 1)));
  });

  test.each([1, 3, 102, 2_000, 4_502])(
    "comes in parts of at most FLEET_MAX_ROWS %d, with nothing left out",
    async (max) => {
      await using limited = await stages.start({ env: { FLEET_MAX_ROWS: String(max) } });
      const seen: number[][] = [];
      // So few rows at a time need not be read to the end.
      const end = max < 100 ? at(20) : at(ROWS);
      for (let from: string | undefined = at(0); from !== undefined; ) {
        const answer = await historic(limited, from, end);
        const places = placesOf(answer);
        expect(places.length).toBeLessThanOrEqual(max);
        const { truncated, next } = answer.body as { truncated?: true; next?: string };
        expect(truncated === true).toBe(next !== undefined);
        if (next !== undefined) expect(places).toHaveLength(max);
        for (const place of places) if (!seen.some((known) => Bun.deepEquals(known, place))) seen.push(place);
        from = next;
      }
      expect(seen).toEqual(rows.filter(([second]) => at(second) <= end).map((row) => [...row]));
    },
  );

  test("is not truncated when exactly as many rows are there, and is by one less", async () => {
    await using limited = await stages.start({ env: { FLEET_MAX_ROWS: "10" } });
    const exact = await historic(limited, at(0), at(9));
    expect([placesOf(exact).length, exact.body.truncated]).toEqual([10, undefined]);
    const more = await historic(limited, at(0), at(10));
    expect([placesOf(more).length, more.body.truncated, more.body.next]).toEqual([10, true, at(10)]);
  });
});

test("F-3.19 F-3.3 the span: FLEET_MAX_RANGE_DAYS is allowed, more is not; an end in a second covers it", async () => {
  await using day = await stages.start({ env: { FLEET_MAX_RANGE_DAYS: "1" } });
  expect((await historic(day, at(0), at(86_400))).body.error).toBe(false);
  expect((await historic(day, at(0), at(86_401))).body.message).toBe("Invalid parameter: dateEnd");
  expect((await historic(day, at(5), at(5))).body.data).toHaveLength(1);
  const half = at(5).replace(".000Z", ".500Z");
  const count = async (from: string, to: string) => (await historic(day, from, to)).body.data as unknown[];
  expect(await count(half, at(6).replace(".000Z", "Z"))).toHaveLength(1);
  expect(await count(half, half)).toHaveLength(0);
  // Where a cut in the last second has a client go on (F-3.4).
  expect((await historic(day, half, at(5).replace(".000Z", "Z"))).body.error).toBe(false);
  expect((await historic(day, half, at(5))).body.message).toBe("Invalid parameter: dateEnd");
});
