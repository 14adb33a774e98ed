import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { abuse } from "../../support/abuse.ts";
import { startProxy } from "../../support/proxy.ts";
import type { Socket } from "./socket.ts";
import { type Stage, Stages, type TestUnit, type TestUser } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let unit: TestUnit;
let user: TestUser;
beforeAll(async () => {
  stage = await stages.start({ env: { FLEET_BAD_FRAMES_PER_MINUTE: "1000" } });
  unit = await stage.unit();
  user = await stage.user(unit);
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

/** The answer to a frame: error code, or type. */
async function answerTo(client: Socket, frame: object | string): Promise<unknown> {
  client.send(frame);
  const { params } = await client.next();
  return params.code ?? params.type;
}

const timeOn = ({ clock }: Stage) => new Date(clock.now()).toISOString();

const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);

describe("F-4.4 F-8.1 F-8.2 F-8.3 F-8.5 F-8.6 faulty frames are told, and the socket stays", () => {
  test("row by row", async () => {
    const client = await stage.watcher(user);
    const message = (given: object) => ({
      type: "pnd-api",
      query: { uid: unit.uid, content: { type: "msg", txt: "x", user_id: user.user_id, user_name: "D" }, ...given },
    });
    const rows: [object | string, string][] = [
      ["", "bad-json"],
      ["{", "bad-json"],
      ["[]", "bad-json"],
      ["null", "bad-json"],
      ["7", "bad-json"],
      ["[".repeat(20_000), "bad-json"],
      ["{}", "unknown-type"],
      [{ type: 7 }, "unknown-type"],
      [{ type: "subscribe", query: {} }, "unknown-type"],
      [{ type: "__proto__", query: {} }, "unknown-type"],
      [{ type: "api" }, "bad-query"],
      [{ type: "api", query: [] }, "bad-query"],
      [{ type: "api", query: { uid: unit.uid, cmd: "getio" } }, "bad-query"],
      [{ type: "api", query: { id: "", uid: unit.uid, cmd: "getio" } }, "bad-query"],
      [{ type: "api", query: { id: "x".repeat(65), uid: unit.uid, cmd: "getio" } }, "bad-query"],
      [{ type: "api", query: { id: "a\0", uid: unit.uid, cmd: "getio" } }, "bad-query"],
      [message({ uid: "one" }), "bad-query"],
      [message({ uid: 2 ** 53 }), "bad-query"],
      [message({ note: "a\0b" }), "bad-query"],
      [message({ note: "\ud800" }), "bad-query"],
      [message({ note: deep(40) }), "bad-query"],
      [JSON.stringify(message({})).replace('"uid":', '"n":1e999,"uid":'), "bad-query"],
      [JSON.stringify(message({})).replace('"uid":', '"__proto__":{"a":1},"uid":'), "msg-sts"],
    ];
    for (const [frame, expected] of rows) expect([frame, await answerTo(client, frame)]).toEqual([frame, expected]);
    client.ws.send(new Uint8Array([1, 2, 3]));
    expect((await client.ofType("error")).params.code).toBe("bad-json");
    client.send({ type: "api", query: { uid: unit.uid } });
    expect((await client.ofType("error")).params.message).toBe("Invalid query: id");
  });
});

describe("limits", () => {
  test("F-4.16 F-7.11 requests above the pace are dropped, and in the end the socket is closed with 4429", async () => {
    await using slow = await stages.start({ env: { FLEET_COMMANDS_PER_SECOND: "1" } });
    const client = await slow.watcher(user);
    for (let i = 0; i < 120; i++) client.send({ type: "api", query: { id: `r${i}`, uid: unit.uid, cmd: "getio" } });
    const first = await client.until(({ params }) => params.type === "error");
    expect(first.params).toMatchObject({ code: "rate-limited", id: "r5", retry_after_ms: expect.any(Number) });
    expect((await client.closed).code).toBe(4429);
  });

  test("F-7.13 too many faulty frames", async () => {
    await using strict = await stages.start({ env: { FLEET_BAD_FRAMES_PER_MINUTE: "3" } });
    const client = await strict.watcher(user);
    for (let i = 0; i < 4; i++) client.send("x");
    expect((await client.closed).code).toBe(4509);
    const tracker = await strict.device(await strict.unit());
    for (let i = 0; i < 4; i++) tracker.send("x");
    expect((await tracker.closed).code).toBe(4509);
  });

  test("F-7.1 a frame that is too large", async () => {
    const client = await stage.watcher(user);
    client.send("x".repeat(65_537));
    expect((await client.closed).code).toBe(1009);
    const tracker = await stage.device(unit);
    tracker.send("x".repeat(262_145));
    expect((await tracker.closed).code).toBe(1009);
  });

  test("F-7.3 a node that stops sends everybody away with 1012", async () => {
    await using going = await stages.start();
    const client = await going.watcher(user);
    const tracker = await going.device(await going.unit());
    const codes = Promise.all([client.closed, tracker.closed]);
    await going.stop();
    expect((await codes).map(({ code }) => code)).toEqual([1012, 1012]);
  });
});

test("F-8.11 thousands of attacks leave the gateway and the other sockets as they were", async () => {
  const client = await stage.watcher(user);
  const samples = [
    JSON.stringify({ type: "auth", query: { user_id: 1, SESSID: "A".repeat(26) } }),
    JSON.stringify({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getio" } }),
    JSON.stringify({ t: "hello", unit: unit.unique_id, role: "tracker", key: unit.key }),
    JSON.stringify({ t: "records", seq: 1, records: [{ tmx: "2026-01-01T00:00:00Z", loc: { lat: 1, lon: 2 } }] }),
    JSON.stringify({ device_id: unit.unique_id, location: { timestamp: 1, coords: { latitude: 1, longitude: 2 } } }),
  ];
  const paths = [
    "/fleet/ws",
    "/",
    "/fleet/device",
    "/fleet/ingress/osmand",
    "/fleet/ingress/traccar/positions",
    "/ws/events",
  ];
  const summary = await abuse({ url: stage.url, paths, samples }, { seed: 11, count: 2_000 });
  expect(summary.faults).toEqual([]);
  const timestamp = String(stage.clock.now() + 1);
  await stage.osmand({ id: unit.unique_id, key: unit.key, lat: "1", lon: "2", timestamp });
  expect((await client.ofType("records")).uid).toBe(unit.uid);
});

test("F-3.11 F-5.3 F-6.3 while Postgres is away nothing is confirmed, and afterwards all goes on", async () => {
  const { databaseUrl } = await stages.database();
  if (databaseUrl === undefined) return console.error("\n*** F-3.11 IS NOT TESTED: it needs a Postgres server ***\n");
  const { hostname, port } = new URL(databaseUrl);
  const proxy = await startProxy({ host: hostname, port: Number(port || 5432) });
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${proxy.port}`;
  try {
    await using cut = await stages.start({ env: { DATABASE_URL: url.href } });
    // No other node, which this one does not hear, has a hand in this unit.
    const own = await cut.unit();
    const owner = await cut.user(own);
    const client = await cut.watcher(owner);
    const tracker = await cut.device(own);
    await client.ofType("connection");
    proxy.cut();
    const report = () =>
      cut.osmand({ id: own.unique_id, key: own.key, lat: "3", lon: "4", timestamp: String(cut.clock.now()) });
    expect((await report()).status).toBe(503);
    const rest = await cut.rest("vehiclesForUser", owner);
    expect([rest.status, rest.body.message]).toEqual([503, "Try again later"]);
    tracker.send({ t: "records", seq: 1, records: [{ tmx: timeOn(cut), loc: { lat: 5, lon: 6 } }] });
    expect((await tracker.closed).code).toBe(1012);
    proxy.restore();
    while ((await report()).status !== 200) await Bun.sleep(50);
    expect((await client.ofType("records")).params).toMatchObject({ lastRecord: { loc: { lat: 3, lon: 4 } } });
  } finally {
    await proxy.close();
  }
});

test("F-8.6 what cannot be stored is a bad frame on the device link, wherever it stands; the link goes on", async () => {
  const unit = await stage.unit();
  const tracker = await stage.device(unit);
  const rec = (exd: string) => `{"tmx":"${timeOn(stage)}","loc":{"lat":1,"lon":2},"exd":${exd}}`;
  const bad = [
    String.raw`{"eco":{"dcl":"\u0000"}}`,
    String.raw`{"eco":{"dcl":"\ud800"}}`,
    String.raw`{"eco":{"\u0000":1}}`,
    `{"alt":1e999}`,
    `{"more":${"[".repeat(40)}${"]".repeat(40)}}`,
  ];
  for (const [seq, exd] of bad.entries()) {
    tracker.ws.send(`{"t":"records","seq":${seq},"records":[${rec(exd)}]}`);
    expect(JSON.parse(await tracker.text())).toMatchObject({ t: "error", seq, code: "bad-frame" });
  }
  tracker.ws.send(`{"t":"records","seq":9,"records":[${rec(String.raw`{"eco":{"dcl":"\u00e9\ud83d\ude9a"}}`)}]}`);
  expect(JSON.parse(await tracker.text())).toEqual({ t: "ack", seq: 9 });
});

test("F-5.15 F-10.1 a snapshot for those who ask", async () => {
  const [one, two] = [await stage.unit(), await stage.unit()];
  const watcher = await stage.user(one, two);
  const tracker = await stage.device(one);
  tracker.send({ t: "records", seq: 1, records: [{ tmx: timeOn(stage), loc: { lat: 1, lon: 2 } }] });
  await tracker.text();
  const client = await stage.watcher(watcher, { snapshot: true });
  expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
  expect((await client.next()).params).toMatchObject({
    type: "records",
    total: 0,
    lastRecord: { loc: { lat: 1, lon: 2 } },
  });
  expect(await client.rest()).toEqual([]);
});

test("F-9.12 FLEET_COALESCE_MS joins HTTP reports of a unit into one frame, events after it", async () => {
  await using patient = await stages.start({ env: { FLEET_COALESCE_MS: "300" } });
  const own = await patient.unit();
  const client = await patient.watcher(await patient.user(own));
  const start = patient.clock.now() - 10_000;
  for (let i = 0; i < 4; i++) {
    const timestamp = String(start + i * 1000);
    await patient.osmand({ id: own.unique_id, key: own.key, lat: "1", lon: String(i), timestamp, in1: String(i % 2) });
  }
  patient.clock.advance(299);
  expect(await client.rest()).toEqual([]);
  patient.clock.advance(1);
  expect((await client.next()).params).toMatchObject({ type: "records", total: 4, lastRecord: { loc: { lon: 3 } } });
  for (let i = 1; i < 4; i++)
    expect((await client.next()).params).toMatchObject({ type: "event", record: { loc: { lon: i } } });
});
