import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ADMIN_TOKEN, type Stage, Stages, type TestUnit, type TestUser } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let unit: TestUnit;
let user: TestUser;
const start = Math.floor(Date.now() / 1000) * 1000 - 100_000;
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
const plain = (seconds: number) => at(seconds).slice(0, 19).replace("T", " ");

beforeAll(async () => {
  stage = await stages.start({ env: { FLEET_MAX_ROWS: "5", FLEET_COMMANDS_PER_SECOND: "1000" } });
  unit = await stage.unit({ vid: 501, plate: "AB-1", brand: "MAN" });
  user = await stage.user(unit);
  const tracker = await stage.device(unit);
  const rec = (seconds: number, io: number) => ({
    tmx: at(seconds),
    loc: { lat: 1, lon: 2 },
    gsp: 50,
    gkm: 9,
    exd: { io: { "1": io }, eco: { ckm: 8, flv: 70, ds1: 3 } },
  });
  tracker.send({ t: "records", seq: 1, records: Array.from({ length: 10 }, (_, i) => rec(i, i % 2)) });
  await tracker.text();
  const app = await stage.device(unit, "pnd");
  app.send({ t: "msg", seq: 1, guid: "g", txt: "Hello", tmx: at(20) });
  app.send({ t: "service", seq: 2, id: "x", delivered: true, msg: "Done", tmx: at(21) });
  await app.text();
  await app.text();
  stage.leave();
});
afterAll(() => stages.stop());

const historic = (given: object, who = user) =>
  stage.rest("vehicleHistoric", who, { vehicleId: unit.uid, dateBegin: at(0), dateEnd: at(30), ...given });
const events = (given: object, who = user) =>
  stage.rest("events", who, { vehicles: [unit.uid], dateBegin: at(0), dateEnd: at(30), ...given });
const times = (rows: unknown, key: string) =>
  (rows as Record<string, string>[]).map((row) => (Date.parse(row[key]!) - start) / 1000);

describe("vehicleHistoric", () => {
  test("F-3.1 F-3.3 F-3.4 F-3.14 both ends count, rows come oldest first, and more than fit are truncated", async () => {
    const first = await historic({});
    expect([first.status, first.body.error, first.body.code, first.body.message]).toEqual([200, false, 0, ""]);
    expect(times(first.body.data, "tmx")).toEqual([0, 1, 2, 3, 4]);
    expect(first.body).toMatchObject({ truncated: true, next: at(5) });
    const second = await historic({ dateBegin: first.body.next });
    expect(times(second.body.data, "tmx")).toEqual([5, 6, 7, 8, 9]);
    expect(second.body).not.toHaveProperty("truncated");
    expect(times((await historic({ dateBegin: plain(2), dateEnd: plain(4) })).body.data, "tmx")).toEqual([2, 3, 4]);
    expect((await historic({ dateBegin: at(11), dateEnd: at(12) })).text).toBe(
      '{"error":false,"code":0,"message":"","data":[]}',
    );
  });

  test("F-3.18 F-3.21 F-11.3 the unit by uid or vid; no missions, no uid", async () => {
    const { body } = await historic({ vehicleId: 501, dateBegin: at(9) });
    expect(body.data as unknown).toEqual([
      {
        ...{
          _id: expect.any(String),
          tmx: at(9),
          vid: 501,
          dmx: expect.any(Number),
          loc: { lon: 2, lat: 1 },
          gsp: 50,
          hdg: 0,
          gkm: 9,
          cas: 61,
        },
        exd: { eco: { ckm: 8, flv: 70, ds1: 3 }, io: { "1": 1 } },
      },
    ]);
  });

  test("F-3.2 JSON, multipart and urlencoded bodies are one", async () => {
    const fields = { vehicleId: String(unit.uid), dateBegin: plain(0), dateEnd: plain(1) };
    const multipart = new FormData();
    for (const [name, value] of Object.entries(fields)) multipart.set(name, value);
    const url = `${stage.url}/ws/vehicleHistoric/`;
    const forms: [unknown, Record<string, string>][] = [
      [fields, {}],
      [multipart, {}],
      [new URLSearchParams(fields).toString(), { "content-type": "application/x-www-form-urlencoded" }],
    ];
    for (const [body, headers] of forms) {
      const answer = await stage.call("POST", url, body, { authorization: user.basic, ...headers });
      expect(times(answer.body.data, "tmx")).toEqual([0, 1]);
    }
  });

  test("F-3.5 F-3.6 F-3.7 F-3.9 F-3.19 F-8.7 what is wrong is named, with HTTP 200", async () => {
    const bad: [object, number, string][] = [
      [{ vehicleId: undefined }, 400, "Invalid parameter: vehicleId"],
      [{ vehicleId: "x" }, 400, "Invalid parameter: vehicleId"],
      [{ dateBegin: "2026-02-30 00:00:00" }, 400, "Invalid parameter: dateBegin"],
      [{ dateBegin: 7 }, 400, "Invalid parameter: dateBegin"],
      [{ dateEnd: undefined }, 400, "Invalid parameter: dateEnd"],
      [{ dateEnd: at(-1) }, 400, "Invalid parameter: dateEnd"],
      [{ dateEnd: at(32 * 86_400) }, 400, "Invalid parameter: dateEnd"],
      [{ vehicleId: 999_999 }, 404, "Unknown vehicle: 999999"],
      [{ note: "a\0" }, 400, "Invalid body"],
    ];
    for (const [given, code, message] of bad) {
      const answer = await historic(given);
      expect([answer.status, answer.body]).toEqual([200, { error: true, code, message, data: [] as never }]);
    }
    // F-3.9: one that is not his spoils the whole request.
    const foreign = await stage.unit();
    const some = await events({ vehicles: [unit.uid, foreign.uid] });
    expect(some.body).toEqual({
      error: true,
      code: 404,
      message: `Unknown vehicle: ${foreign.uid}`,
      data: [] as never,
    });
    const stranger = await stage.user();
    expect((await historic({}, stranger)).body.message).toBe(`Unknown vehicle: ${unit.uid}`);
    for (const body of ["[", "[]", "null"]) {
      const answer = await stage.call("POST", `${stage.url}/ws/vehicleHistoric`, body, {
        authorization: user.basic,
        "content-type": "application/json",
      });
      expect(answer.body.message).toBe("Invalid body");
    }
  });
});

describe("events", () => {
  test("F-3.15 rows, filtered by eid; lists in each form", async () => {
    const all = await events({ dateBegin: at(6) });
    expect((all.body.data as { eventId: number }[]).map(({ eventId }) => eventId)).toEqual([
      3846, 3846, 3846, 3846, 3951,
    ]);
    expect(all.body.data[0] as unknown).toEqual({
      ...{
        vehicleId: unit.uid,
        eventId: 3846,
        timestamp: at(6),
        eventStatus: 1,
        eventSource: "tlk-server",
        gpsSpeed: 50,
        canbusKm: 8,
      },
      ...{ _id: expect.any(String), hid: expect.any(String), rmx: expect.any(String), lat: 1, lng: 2, frc: null },
    });
    expect((await events({ events: [3951] })).body.data as unknown).toMatchObject([
      { eventId: 3951, txt: "Hello", gpsSpeed: 0, canbusKm: null, lat: 1 },
    ]);
    expect((await events({ events: [1] })).body.data as unknown).toEqual([]);
    const form = async (text: string) => {
      const body = `${text}&events=3951&dateBegin=${plain(0)}&dateEnd=${plain(30)}`;
      const headers = { authorization: user.basic, "content-type": "application/x-www-form-urlencoded" };
      return (await stage.call("POST", `${stage.url}/ws/events`, body, headers)).body;
    };
    for (const text of [
      `vehicles[]=${unit.uid}`,
      `vehicles=${unit.uid},501`,
      `vehicles=${unit.uid}&vehicles=501`,
      `vehicles=[${unit.uid}]`,
    ]) {
      expect((await form(text)).data).toHaveLength(1);
    }
    expect((await form("vehicles=")).message).toBe("Invalid parameter: vehicles");
    for (const vehicles of [undefined, [], Array(501).fill(unit.uid), "x"]) {
      expect((await events({ vehicles })).body.message).toBe("Invalid parameter: vehicles");
    }
  });
});

describe("vehiclesForUser", () => {
  test("F-3.16 F-3.20 what is known of a unit, by GET and POST", async () => {
    const { body } = await stage.rest("vehiclesForUser", user);
    const tmx = at(9);
    const [vehicle] = body.data as unknown[];
    expect(vehicle).toEqual({
      mid: unit.uid,
      info: { plate: "AB-1", brand: "MAN", model: null, reference: null },
      data: {
        pos: { tmx, loc: { lat: 1, lon: 2 }, gsp: 50, hdg: 0, gkm: 9 },
        drs: { tmx, ds1: 3, ds2: null, dc1: null },
        can: { tmx, rpm: null, ckm: 8, ehr: null, tfl: null },
        fue: { tmx, flv: 70 },
        ...{ tmp: null, tac: null, exd: { io: { "1": 1 }, eco: { ckm: 8, flv: 70, ds1: 3 } } },
        tlm: { "1": { tio: 1, tlv: 1, hid: expect.any(String), tmx } },
      },
    });
    const get = await stage.call("GET", `${stage.url}/ws/vehiclesForUser`, undefined, { authorization: user.basic });
    expect(get.body.data[0] as unknown).toEqual(vehicle);
    // A driver's card alone is something that is known of him.
    const carded = await stage.unit({ key: null });
    await stage.osmand({ id: carded.unique_id, lat: "1", lon: "2", driverUniqueId: "1234567890" });
    expect((await stage.rest("vehiclesForUser", await stage.user(carded))).body.data[0]).toMatchObject({
      data: { drs: { ds1: null, ds2: null, dc1: "0000001234567890" }, can: null },
    } as never);
    const bare = await stage.unit();
    const { body: other } = await stage.rest("vehiclesForUser", await stage.user(bare));
    expect(other.data[0]).toMatchObject({
      data: { pos: null, drs: null, can: null, fue: null, tmp: null, exd: null, tlm: null },
    } as never);
  });
});

describe("the frame around it", () => {
  test("F-3.8 F-10.2 F-11.2 the pace of a user", async () => {
    await using slow = await stages.start({ env: { FLEET_REST_PER_SECOND: "1" } });
    const answers = [await slow.rest("vehiclesForUser", user), await slow.rest("vehiclesForUser", user)];
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[1]!.body).toEqual({
      error: true,
      code: 429,
      message: "wait 1000ms between requests",
      data: [] as never,
    });
  });

  test("F-3.10 F-3.12 404, 405, 413 and preflight", async () => {
    const elsewhere = await stage.rest("driverList", user);
    expect([elsewhere.status, elsewhere.body]).toEqual([
      404,
      { error: true, code: 404, message: "Not found", data: [] as never },
    ]);
    const wrong = await stage.call("PUT", `${stage.url}/ws/events`);
    expect([wrong.status, wrong.body.message]).toEqual([405, "Method not allowed"]);
    const large = await stage.rest("events", user, { note: "x".repeat(1_100_000) });
    expect([large.status, large.body.message]).toEqual([413, "Body too large"]);
    const headers = {
      origin: "https://a.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    };
    const preflight = await stage.call("OPTIONS", `${stage.url}/ws/events`, undefined, headers);
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      "authorization, content-type",
    ]);
  });

  test("F-1.3 further prefixes", async () => {
    await using more = await stages.start({ env: { FLEET_REST_PREFIXES: "/api/ws,/ws" } });
    const answer = await more.call("POST", `${more.url}/api/ws/vehiclesForUser`, {}, { authorization: user.basic });
    expect(answer.body.error).toBe(false);
  });
});

describe("administration", () => {
  test("F-2.17 F-1.4 only with the token, only on the internal port", async () => {
    for (const token of ["wrong", ""]) expect((await stage.admin("GET", "/units", undefined, token)).status).toBe(401);
    expect(
      (await stage.call("GET", `${stage.url}/admin/fleet/units`, undefined, { authorization: `Bearer ${ADMIN_TOKEN}` }))
        .status,
    ).toBe(404);
  });

  test("F-3.10 an unknown route has the envelope of the others, a wrong method too", async () => {
    const nowhere = await stage.admin("GET", "/vehicles");
    expect([nowhere.status, nowhere.text]).toEqual([404, '{"error":true,"code":404,"message":"Not found","data":[]}']);
    const wrong = await stage.admin("PUT", "/units", {});
    expect([wrong.status, wrong.body.message]).toEqual([405, "Method not allowed"]);
  });

  test("F-3.22 F-3.23 units", async () => {
    const made = await stage.admin("POST", "/units", { unique_id: `u-${start}` });
    expect(made.status).toBe(201);
    const data = made.body.data as TestUnit;
    expect(data.uid).toBeGreaterThanOrEqual(1001);
    expect([data.vid, data.key, data.pnd_key]).toEqual([data.uid, expect.any(String), expect.any(String)]);
    expect(await stage.admin("POST", "/units", { unique_id: `u-${start}` })).toMatchObject({
      status: 409,
      body: { message: "Already exists" },
    });
    const chosen = await stage.unit({ uid: data.uid + 1 });
    expect((await stage.unit()).uid).toBe(chosen.uid + 1);
    const shown = await stage.admin("GET", `/units/${data.uid}`);
    expect(shown.body.data as unknown).toMatchObject({
      unique_id: `u-${start}`,
      has_key: true,
      osmand_speed: "kn",
      disabled: false,
    });
    expect(shown.text).not.toContain(data.key);
    expect(
      (await stage.admin("PATCH", `/units/${data.uid}`, { name: "Truck", osmand_speed: "ms", key: null })).body
        .data as unknown,
    ).toMatchObject({ name: "Truck", osmand_speed: "ms", has_key: false });
    expect((await stage.osmand({ id: `u-${start}`, lat: "1", lon: "2" })).status).toBe(200);
    for (const bad of [{ osmand_speed: "mph" }, { unique_id: "" }, { vid: "x" }])
      expect((await stage.admin("PATCH", `/units/${data.uid}`, bad)).status).toBe(400);
    expect((await stage.admin("GET", "/units?limit=501")).status).toBe(400);
    const page = await stage.admin("GET", "/units?limit=1");
    expect((await stage.admin("GET", `/units?limit=1&cursor=${page.body.cursor}`)).body.data).not.toEqual(
      page.body.data,
    );
    for (const expected of [200, 404])
      expect((await stage.admin("DELETE", `/units/${data.uid}`)).status).toBe(expected);
  });

  test("F-3.24 F-3.25 users and what they may", async () => {
    const login = `login${start}`;
    const made = await stage.admin("POST", "/users", { login, password: "secret", name: "Ann" });
    expect(made.status).toBe(201);
    expect(made.text).not.toContain("secret");
    const { user_id: id } = made.body.data as { user_id: number };
    expect((await stage.admin("POST", "/users", { login, password: "x" })).status).toBe(409);
    expect((await stage.admin("PATCH", `/users/${id}`, { password: "other" })).status).toBe(200);
    const as = (password: string) =>
      stage.rest("vehiclesForUser", { basic: `Basic ${btoa(`${login}:${password}`)}` } as TestUser);
    expect([(await as("other")).status, (await as("secret")).status]).toEqual([200, 401]);
    const grants = { units: [{ uid: unit.uid, rights: ["view"] }, { uid: 999_999 }] };
    expect((await stage.admin("PUT", `/users/${id}/units`, grants)).status).toBe(404);
    expect((await stage.admin("GET", `/users/${id}/units`)).body.data as unknown).toEqual([]);
    grants.units.pop();
    expect((await stage.admin("PUT", `/users/${id}/units`, grants)).body.data as unknown).toEqual([
      { uid: unit.uid, rights: ["view"] },
    ]);
    expect((await stage.admin("GET", "/users/999999")).status).toBe(404);
    expect((await stage.admin("DELETE", `/users/${id}`)).status).toBe(200);
    expect((await as("other")).status).toBe(401);
  });
});
