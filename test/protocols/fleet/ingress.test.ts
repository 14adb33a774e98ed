import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { freePort } from "../../support/free-port.ts";
import type { Socket } from "./socket.ts";
import { type Stage, Stages, type TestUnit, type TestUser, TRACCAR_SECRET } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start({ env: { FLEET_EVENT_IDS: '{"alarm:sos":9100}', FLEET_COMMANDS: "getio,getver" } });
});
afterAll(() => stages.stop());

interface Scene {
  readonly unit: TestUnit;
  readonly user: TestUser;
  readonly client: Socket;
}

async function scene(given: Record<string, unknown> = {}): Promise<Scene> {
  const unit = await stage.unit(given);
  const user = await stage.user(unit);
  return { unit, user, client: await stage.watcher(user) };
}

const start = Math.floor(Date.now() / 1000);

/** So many seconds before this file was loaded. */
const ago = (seconds: number) => new Date((start - seconds) * 1000);

/** A position body as Traccar writes it: unknown keys, nulls, numbers in scientific notation. */
function position(unit: TestUnit, at: Date, given: { position?: object; attributes?: object; device?: object } = {}) {
  return {
    position: {
      ...{ id: 0, deviceId: 12, protocol: "teltonika", type: null, outdated: false, network: null, geofenceIds: null },
      ...{
        serverTime: new Date(at.getTime() + 2500).toISOString(),
        deviceTime: at.toISOString(),
        fixTime: at.toISOString(),
      },
      ...{
        valid: true,
        latitude: 38.57,
        longitude: -9.01,
        altitude: 42.4,
        speed: 22.138,
        course: 246.2,
        accuracy: 0,
        address: null,
      },
      attributes: { sat: 15, totalDistance: 1613709123.4, ignition: true, motion: true, ...given.attributes },
      ...given.position,
    },
    device: {
      ...{
        id: 12,
        uniqueId: unit.unique_id,
        name: "Truck",
        status: "online",
        groupId: 0,
        calendarId: null,
        attributes: {},
      },
      ...given.device,
    },
  };
}

/** The stored records of a unit, oldest first. */
async function stored({ user, unit }: Scene): Promise<Record<string, unknown>[]> {
  const span = {
    dateBegin: new Date(Date.now() - 86_400_000).toISOString(),
    dateEnd: new Date(Date.now() + 86_400_000).toISOString(),
  };
  return (await stage.rest("vehicleHistoric", user, { vehicleId: unit.uid, ...span })).body.data;
}

async function storedEvents({ user, unit }: Scene): Promise<Record<string, unknown>[]> {
  const span = {
    dateBegin: new Date(Date.now() - 86_400_000).toISOString(),
    dateEnd: new Date(Date.now() + 86_400_000).toISOString(),
  };
  return (await stage.rest("events", user, { vehicles: [unit.uid], ...span })).body.data;
}

describe("Traccar positions", () => {
  test("F-1.5 F-5.16 F-5.17 F-5.18 F-5.20 F-5.22 F-5.23 F-12.8 F-12.9 F-12.10 F-12.11 F-12.12 F-12.13 F-12.14 F-12.15 F-12.16 F-12.17 every field has its place", async () => {
    const here = await scene({ vid: 7 });
    const at = ago(30);
    const attributes = {
      ...{ batteryLevel: 87, odometer: 1613709999, in2: false, out1: true, rpm: 949, fuelLevel: 100 },
      ...{ hours: 90853200000, obdOdometer: 1000999, driverUniqueId: "1234567890", index: 4 },
    };
    const body = position(here.unit, at, { attributes, position: { valid: false, address: "A1, km 4" } });
    expect(await stage.traccar("positions", body)).toMatchObject({ status: 200, text: "" });
    const record = {
      ...{
        tmx: at.toISOString(),
        vid: 7,
        dmx: 2,
        loc: { lon: -9.01, lat: 38.57 },
        gsp: 41,
        hdg: 246,
        gkm: 1613709,
        cas: 3,
      },
      exd: {
        ...{ sat: 15, alt: 42, bat: 87, vld: 0 },
        eco: { edt: 1, rpm: 949, flv: 100, ehr: 25237, ckm: 1000, dcl: "0000001234567890" },
        io: { "1": 1, "2": 0, "101": 1 },
      },
    };
    const frame = await here.client.next();
    expect(frame).toEqual({ uid: here.unit.uid, params: { type: "records", total: 1, lastRecord: record } });
    expect(await stored(here)).toEqual([{ _id: expect.any(String), ...record }]);
  });

  test("F-11.4 F-12.4 F-12.5 F-12.12 both spellings of a date, Z, nulls and scientific notation", async () => {
    const here = await scene();
    const at = ago(60);
    const spell = (end: string, seconds: number) =>
      new Date(at.getTime() + seconds * 1000).toISOString().replace("Z", end);
    const spellings = [spell("+00:00", 0), spell("+0000", 1), spell("Z", 2)];
    for (const fixTime of spellings) {
      const dates = { fixTime, deviceTime: fixTime, serverTime: fixTime };
      const body = position(here.unit, at, { position: { ...dates, altitude: null, course: null, attributes: null } });
      const text = JSON.stringify(body)
        .replace('"latitude":38.57', '"latitude":3.857E1')
        .replace('"speed":22.138', '"speed":2.2138e+1');
      const answer = await stage.call("POST", `${stage.url}/fleet/ingress/traccar/positions/`, text, {
        authorization: `Bearer ${TRACCAR_SECRET}`,
        "content-type": "application/json",
      });
      expect([answer.status, answer.text]).toEqual([200, ""]);
    }
    const rows = await stored(here);
    expect(rows.map(({ tmx }) => tmx)).toEqual(
      [0, 1, 2].map((seconds) => new Date(at.getTime() + seconds * 1000).toISOString()),
    );
    expect(rows[0]).toMatchObject({ loc: { lat: 38.57 }, gsp: 41, hdg: 0, gkm: -1, exd: {} });
  });

  test("F-6.4 F-12.1 a double is acknowledged, not stored and not sent, also through another door", async () => {
    const here = await scene();
    const at = ago(10);
    const body = position(here.unit, at);
    const answers = await Promise.all(Array.from({ length: 10 }, () => stage.traccar("positions", body)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    const tracker = await stage.device(here.unit);
    tracker.send({ t: "records", seq: 1, records: [{ tmx: at.toISOString(), loc: { lat: 38.57, lon: -9.01 } }] });
    expect(await tracker.text()).toBe('{"t":"ack","seq":1}');
    expect(await stored(here)).toHaveLength(1);
    expect((await here.client.rest()).map(({ params }) => params.type)).toEqual(["records", "connection"]);
  });

  test("F-5.21 F-12.2 F-12.3 a change of a known level makes an event, the first level none; bpp makes battery and power", async () => {
    const here = await scene();
    for (const [seconds, ignition] of [
      [5, false],
      [4, true],
      [3, true],
    ] as const) {
      await stage.traccar("positions", position(here.unit, ago(seconds), { attributes: { ignition } }));
    }
    const { key } = here.unit;
    for (const [seconds, charge] of [
      [2, "true"],
      [1, "false"],
      [0, "true"],
    ] as const) {
      const timestamp = String(ago(seconds).getTime());
      await stage.osmand({ id: here.unit.unique_id, key, lat: "1", lon: "2", timestamp, charge });
    }
    const seen = (await here.client.rest()).map(({ params }) => [
      params.type,
      params["sub-type"],
      (params.event as { eid?: number })?.eid,
    ]);
    const records = ["records", undefined, undefined];
    expect(seen).toEqual([
      records,
      records,
      ["event", "io", 3846],
      records,
      records,
      records,
      ["event", "event", 9001],
      records,
      ["event", "event", 9002],
    ]);
    expect((await stored(here)).map(({ cas }) => cas)).toEqual([3, 61, 3, 3, 3, 3]);
    expect((await storedEvents(here)).map(({ eventId }) => eventId)).toEqual([3846, 9001, 9002]);
  });

  test("F-6.5 a record older than the newest is stored and sent, and changes nothing else", async () => {
    const here = await scene();
    await stage.traccar("positions", position(here.unit, ago(5), { attributes: { ignition: true } }));
    await stage.traccar("positions", position(here.unit, ago(60), { attributes: { ignition: false } }));
    await stage.traccar("positions", position(here.unit, ago(4), { attributes: { ignition: true } }));
    expect((await here.client.rest()).map(({ params }) => params.type)).toEqual(["records", "records", "records"]);
    const { body } = await stage.rest("vehiclesForUser", here.user);
    expect(body.data[0]).toMatchObject({ data: { pos: { tmx: ago(4).toISOString() } } });
  });

  test("F-8.8 F-8.9 F-8.10 F-2.14 garbage is refused and stores nothing", async () => {
    const here = await scene();
    const at = ago(1);
    const good = position(here.unit, at);
    const broken = (given: object) => position(here.unit, at, { position: given });
    const bad: [unknown, number][] = [
      ["not JSON", 400],
      ["[]", 400],
      ["", 400],
      [{}, 400],
      [{ ...good, device: { id: 1 } }, 400],
      [broken({ fixTime: null }), 400],
      [broken({ fixTime: "yesterday" }), 400],
      [broken({ fixTime: "2026-02-30T00:00:00Z" }), 400],
      [broken({ fixTime: "1999-12-31T23:59:59Z" }), 400],
      [broken({ fixTime: new Date(Date.now() + 700_000).toISOString() }), 400],
      [broken({ latitude: 90.1 }), 400],
      [broken({ longitude: -180.1 }), 400],
      [broken({ latitude: null }), 400],
      [broken({ latitude: "38" }), 400],
      [broken({ speed: 1.7e308 }), 400],
      [JSON.stringify(good).replace("38.57", "1e999"), 400],
      [position(here.unit, at, { attributes: { text: "a\0b" } }), 400],
      [position(here.unit, at, { device: { uniqueId: "nobody" } }), 404],
    ];
    for (const [body, status] of bad) {
      const answer = await stage.traccar("positions", body);
      expect([body, answer.status, answer.text]).toEqual([body, status, ""]);
    }
    for (const secret of ["", "wrong"]) expect((await stage.traccar("positions", good, secret)).status).toBe(401);
    expect(await stored(here)).toEqual([]);
    expect(await here.client.rest()).toEqual([]);
  });

  test("F-12.17 a long address is cut and loses nothing else", async () => {
    const here = await scene();
    const body = position(here.unit, ago(1), {
      position: { address: "a".repeat(600) },
      attributes: { alarm: "movement" },
    });
    expect((await stage.traccar("positions", body)).status).toBe(200);
    expect(await storedEvents(here)).toMatchObject([{ eventId: 9003, frc: "a".repeat(512) }]);
  });

  test("a unit without unique_id is bound by the uid that the device carries", async () => {
    const unit = await stage.unit({ unique_id: null });
    const here = { unit, user: await stage.user(unit), client: await stage.watcher(await stage.user(unit)) };
    const device = { uniqueId: `bound-${unit.uid}`, attributes: { uid: unit.uid } };
    expect((await stage.traccar("positions", position(unit, ago(1), { device }))).status).toBe(200);
    expect(await stored(here)).toHaveLength(1);
    const stranger = { uniqueId: "somebody-else", attributes: { uid: unit.uid } };
    expect((await stage.traccar("positions", position(unit, ago(0), { device: stranger }))).status).toBe(404);
  });
});

describe("Traccar events", () => {
  const event = (unit: TestUnit, type: string, at: Date, given: { event?: object; position?: object | null } = {}) => ({
    event: {
      id: 5,
      type,
      eventTime: at.toISOString(),
      positionId: 0,
      geofenceId: 0,
      maintenanceId: 0,
      attributes: {},
      ...given.event,
    },
    device: position(unit, at).device,
    ...(given.position === undefined ? {} : { position: given.position }),
  });

  test("F-8.8 F-8.9 F-8.10 F-2.14 garbage is refused and stores nothing, its position neither", async () => {
    const here = await scene();
    const { position: good } = position(here.unit, ago(2));
    const on = event(here.unit, "ignitionOn", ago(2), { position: good });
    const given = (more: object) => ({ ...on, event: { ...on.event, ...more } });
    const placed = (more: object) => ({ ...on, position: { ...good, ...more } });
    const bad: [unknown, number][] = [
      ["", 400],
      ["[", 400],
      ["[]", 400],
      [{}, 400],
      [{ ...on, event: null }, 400],
      [given({ type: "" }), 400],
      [given({ type: 7 }), 400],
      [given({ eventTime: "soon" }), 400],
      [given({ eventTime: "1999-12-31T00:00:00Z" }), 400],
      [given({ eventTime: new Date(Date.now() + 700_000).toISOString() }), 400],
      [{ ...on, event: { type: "deviceMoving" }, position: null }, 400],
      [placed({ fixTime: null }), 400],
      [placed({ latitude: -90.5 }), 400],
      [{ ...on, device: { id: 1 } }, 400],
      [{ ...on, device: { uniqueId: "nobody" } }, 404],
    ];
    for (const [body, status] of bad) {
      const answer = await stage.traccar("events", body);
      expect([body, answer.status, answer.text]).toEqual([body, status, ""]);
    }
    expect((await stage.traccar("events", on, "wrong")).status).toBe(401);
    expect([await stored(here), await storedEvents(here), await here.client.rest()]).toEqual([[], [], []]);
    expect((await stage.traccar("events", on)).status).toBe(200);
    expect(await stored(here)).toHaveLength(1);
  });

  test("F-12.6 F-12.18 ignitionOn equals the change found in its position, in either order", async () => {
    const here = await scene();
    await stage.traccar("positions", position(here.unit, ago(9), { attributes: { ignition: false } }));
    const on = position(here.unit, ago(8));
    await stage.traccar("positions", on);
    await stage.traccar("events", event(here.unit, "ignitionOn", ago(8), { position: on.position }));
    const off = position(here.unit, ago(7), { attributes: { ignition: false } });
    await stage.traccar("events", event(here.unit, "ignitionOff", ago(7), { position: off.position }));
    await stage.traccar("positions", off);
    const types = (await here.client.rest()).map(({ params }) => params.type);
    expect(types).toEqual(["records", "records", "event", "records", "event"]);
    const events = await storedEvents(here);
    expect(events.map(({ eventId, timestamp }) => [eventId, timestamp])).toEqual([
      [3846, ago(8).toISOString()],
      [3846, ago(7).toISOString()],
    ]);
    expect(events[0]).toEqual({
      ...{
        vehicleId: here.unit.uid,
        eventId: 3846,
        timestamp: ago(8).toISOString(),
        eventStatus: 1,
        eventSource: "tlk-server",
      },
      ...{ gpsSpeed: 41, canbusKm: 1613709, _id: expect.any(String), hid: expect.any(String), rmx: expect.any(String) },
      ...{ lat: 38.57, lng: -9.01, frc: null },
    });
  });

  test("F-12.18 with in1 in the position the input itself is believed", async () => {
    const here = await scene();
    const at = position(here.unit, ago(3), { attributes: { in1: false, ignition: true } });
    await stage.traccar("events", event(here.unit, "ignitionOn", ago(3), { position: at.position }));
    expect(await storedEvents(here)).toEqual([]);
    expect(await stored(here)).toMatchObject([{ exd: { io: { "1": 0 } } }]);
  });

  test("F-12.19 F-12.20 alarms and motion; with the newest record where the body has none", async () => {
    const here = await scene();
    await stage.traccar("positions", position(here.unit, ago(9), { attributes: { alarm: "powerCut" } }));
    for (const [type, attributes, seconds] of [
      ["alarm", { alarm: "powerRestored" }, 8],
      ["alarm", { alarm: "movement" }, 7],
      ["deviceMoving", {}, 6],
      ["unaccompaniedMotion", {}, 5],
    ] as const) {
      expect(
        (await stage.traccar("events", event(here.unit, type, ago(seconds), { event: { attributes } }))).status,
      ).toBe(200);
    }
    const frames = await here.client.rest();
    expect(frames.map(({ params }) => (params.event as { eid?: number })?.eid)).toEqual([
      undefined,
      9001,
      9002,
      9003,
      9003,
      9004,
    ]);
    const [record] = await stored(here);
    const { _id, ...rest } = record!;
    expect(frames.at(-1)).toMatchObject({
      params: { record: { _id, ...rest }, event: { hid: _id, tmx: ago(5).toISOString() } },
    });
  });

  test("F-12.21 F-6.10 deviceOnline and deviceOffline; a link holds the connection as well", async () => {
    const here = await scene();
    const say = (type: string) => stage.traccar("events", event(here.unit, type, ago(0)));
    await say("deviceOnline");
    await say("deviceOnline");
    const tracker = await stage.device(here.unit);
    await say("deviceOffline");
    tracker.send({ t: "records", seq: 1, records: [{ tmx: ago(1).toISOString(), loc: { lat: 1, lon: 2 } }] });
    await tracker.text();
    tracker.close();
    const statuses = [await here.client.next(), await here.client.next(), await here.client.next()].map(
      ({ params }) => [params.type, params.status],
    );
    expect(statuses).toEqual([
      ["connection", 1],
      ["records", undefined],
      ["connection", 0],
    ]);
  });

  test("F-12.22 F-12.24 card events and named alarms are stored for REST alone, others not at all", async () => {
    const here = await scene();
    await stage.traccar("positions", position(here.unit, ago(9)));
    await here.client.next();
    for (const [type, attributes, seconds] of [
      ["driverChanged", { driverUniqueId: "9" }, 8],
      ["driverChanged", {}, 7],
      ["alarm", { alarm: "sos" }, 6],
      ["alarm", { alarm: "jamming" }, 5],
      ["geofenceEnter", {}, 4],
    ] as const) {
      expect(
        (await stage.traccar("events", event(here.unit, type, ago(seconds), { event: { attributes } }))).status,
      ).toBe(200);
    }
    expect((await storedEvents(here)).map(({ eventId }) => eventId)).toEqual([45, 46, 9100]);
    expect(await here.client.rest()).toEqual([]);
  });

  test("F-12.23 F-12.44 a commandResult with nothing in flight is taken as getio if it parses", async () => {
    const here = await scene();
    const result = (text: string) =>
      event(here.unit, "commandResult", ago(0), { event: { attributes: { result: text } } });
    await stage.traccar("events", result("no pairs at all"));
    await stage.traccar("events", result("DI1:1 DI2:0"));
    expect(await here.client.next()).toMatchObject({
      params: { type: "cmd-parsed", "sub-type": "getio", cmd: { "1": { tlv: 1 }, "2": { tlv: 0 } } },
    });
    // Known from then on, without an event: the next change makes one.
    await stage.traccar("positions", position(here.unit, ago(-1), { attributes: { ignition: undefined, in1: false } }));
    expect([await here.client.next(), await here.client.next()].map(({ params }) => params.type)).toEqual([
      "records",
      "event",
    ]);
  });
});

describe("OsmAnd", () => {
  test("F-12.25 F-12.28 query and form", async () => {
    const here = await scene({ osmand_speed: "kmh" });
    const { unique_id: id, key } = here.unit;
    const at = ago(9);
    const query = {
      id,
      key,
      lat: "38.57",
      lon: "-9.01",
      timestamp: String(at.getTime() / 1000),
      speed: "41.4",
      bearing: "246",
      altitude: "42.6",
      batt: "55",
      charge: "false",
      in3: "1",
      ignition: "true",
      driverUniqueId: "77",
    };
    expect(await stage.osmand(query)).toMatchObject({ status: 200, text: "" });
    const iso = ago(8).toISOString();
    const form = new URLSearchParams({
      deviceid: id,
      location: "38.58,-9.02",
      timestamp: iso,
      heading: "361",
      valid: "false",
    });
    const url = `${stage.url}/fleet/ingress/osmand`;
    const headers = { "content-type": "application/x-www-form-urlencoded", authorization: `Bearer ${key}` };
    expect((await stage.call("POST", url, form.toString(), headers)).status).toBe(200);
    const plain = ago(7).toISOString().replace("T", " ").slice(0, 19);
    expect((await stage.osmand({ id, key, lat: "1", lon: "2", timestamp: plain })).status).toBe(200);
    expect(await stored(here)).toMatchObject([
      {
        ...{ tmx: at.toISOString(), loc: { lon: -9.01, lat: 38.57 }, gsp: 41, hdg: 246, gkm: -1 },
        exd: { alt: 43, bat: 55, bpp: 1, io: { "1": 1, "3": 1 }, eco: { dcl: "0000000000000077" } },
      },
      { tmx: iso, loc: { lon: -9.02, lat: 38.58 }, hdg: 1, exd: { vld: 0 } },
      { tmx: ago(7).toISOString() },
    ]);
  });

  test("F-12.27 JSON", async () => {
    const here = await scene({ key: null });
    const at = ago(3);
    const coords = { latitude: 1.5, longitude: 2.5, accuracy: 5, speed: 10, heading: 90, altitude: 7 };
    const location = {
      timestamp: at.toISOString(),
      coords,
      odometer: 1999,
      battery: { level: 0.4, is_charging: true },
      is_moving: true,
      extras: {},
    };
    const url = `${stage.url}/fleet/ingress/osmand`;
    const post = (body: unknown) => stage.call("POST", url, body);
    expect(await post({ device_id: here.unit.unique_id, location })).toMatchObject({ status: 200, text: "" });
    const unknown = { ...coords, speed: -1, heading: -1 };
    await post({ device_id: here.unit.unique_id, location: { timestamp: ago(2).toISOString(), coords: unknown } });
    expect(await stored(here)).toMatchObject([
      { tmx: at.toISOString(), gsp: 36, hdg: 90, gkm: 1, exd: { bat: 40, bpp: 0, alt: 7 } },
      { gsp: 0, hdg: 0 },
    ]);
    expect((await post({ device_id: "nobody", location })).status).toBe(404);
    for (const bad of [
      {},
      { device_id: here.unit.unique_id },
      { device_id: here.unit.unique_id, location: { timestamp: "soon" } },
    ]) {
      expect((await post(bad)).status).toBe(400);
    }
    expect(await stored(here)).toHaveLength(2);
  });

  test("F-5.19 F-12.25 F-12.27 what phones send: unknown speed and course, a driver's card of 16 digits, an SOS", async () => {
    const here = await scene({ key: null });
    const { unique_id: id } = here.unit;
    const given = { id, lat: "1", lon: "2", accuracy: "22.975999", batt: "43.0", charge: "true", mock: "false" };
    const card = "9999999999999999";
    const seconds = (ago: Date) => String(ago.getTime() / 1000);
    await stage.osmand({ ...given, timestamp: seconds(ago(9)), speed: "-1.94384", bearing: "-1.0" });
    await stage.osmand({ ...given, timestamp: seconds(ago(8)), driverUniqueId: card, alarm: "sos" });
    const location = {
      ...{ timestamp: ago(7).toISOString(), event: "sos", is_moving: false, odometer: 12.5, mock: false },
      coords: {
        latitude: 1,
        longitude: 2,
        accuracy: 4.32,
        speed: -1,
        heading: -1,
        altitude: 103,
        altitude_accuracy: null,
      },
      ...{ battery: { level: -1, is_charging: false }, activity: { type: "still" }, extras: { alarm: "sos" } },
    };
    expect((await stage.call("POST", `${stage.url}/fleet/ingress/osmand`, { device_id: id, location })).status).toBe(
      200,
    );
    expect(await stored(here)).toMatchObject([
      { gsp: 0, hdg: 0, exd: { bat: 43, bpp: 0 } },
      { exd: { eco: { dcl: card } } },
      { gsp: 0, hdg: 0, gkm: 0, exd: { alt: 103, bpp: 1 } },
    ]);
    expect((await storedEvents(here)).map(({ eventId }) => eventId)).toEqual([9100, 9100, 9001]);
  });

  test("F-12.26 without a position the last known one is used; with none known nothing is stored", async () => {
    const here = await scene({ key: null });
    const { unique_id: id } = here.unit;
    expect((await stage.osmand({ id })).status).toBe(200);
    expect(await stored(here)).toEqual([]);
    await stage.osmand({ id, lat: "4", lon: "5", timestamp: String(ago(2).getTime()) });
    await stage.osmand({ id, batt: "9" });
    expect(await stored(here)).toMatchObject([{}, { loc: { lat: 4, lon: 5 }, exd: { bat: 9 } }]);
  });

  test("F-2.15 F-8.8 F-8.10 wrong keys and garbage store nothing", async () => {
    const here = await scene();
    const { unique_id: id, key } = here.unit;
    const good = { id, key, lat: "1", lon: "2" };
    const bad: [Record<string, string>, number][] = [
      [{ id, lat: "1", lon: "2" }, 401],
      [{ ...good, key: "wrong" }, 401],
      [{ ...good, id: "nobody" }, 400],
      [{ key, lat: "1", lon: "2" }, 400],
      [{ ...good, lat: "91" }, 400],
      [{ ...good, lon: "1e999" }, 400],
      [{ ...good, lat: "x" }, 400],
      [{ id, key, lat: "1" }, 400],
      [{ id, key, location: "1,2,3" }, 400],
      [{ ...good, timestamp: "x" }, 400],
      [{ ...good, timestamp: "1" }, 400],
      [{ ...good, speed: "fast" }, 400],
      [{ ...good, note: "a\0b" }, 400],
    ];
    for (const [query, status] of bad)
      expect([query, await stage.osmand(query).then((a) => [a.status, a.text])]).toEqual([query, [status, ""]]);
    expect(await stored(here)).toEqual([]);
  });
});

/** Starts something on a free port: one that was free a moment ago may be taken by now. */
async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<[port: number, started: T]> {
  for (;;) {
    const port = await freePort();
    try {
      return [port, await start(port)];
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    }
  }
}

describe("doors", () => {
  test("F-1.8 a door that is not opened answers 404", async () => {
    await using shut = await stages.start({ env: { FLEET_INGRESS: "none" } });
    for (const path of ["/fleet/ingress/osmand", "/fleet/ingress/traccar/positions", "/fleet/device"]) {
      expect((await shut.call("POST", shut.url + path, "{}")).status).toBe(404);
    }
  });

  test("F-1.6 the OsmAnd protocol at / of a port of its own", async () => {
    const [port, started] = await onFreePort((port) => stages.start({ env: { FLEET_OSMAND_PORT: String(port) } }));
    await using beside = started;
    const here = await scene({ key: null });
    const report = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).then(({ status }) => status);
    const query = `?id=${here.unit.unique_id}&lat=1&lon=2&timestamp=${ago(3).getTime()}`;
    expect([await report(`/${query}`), await report("/?id=nobody&lat=1&lon=2"), await report("/elsewhere")]).toEqual([
      200, 400, 404,
    ]);
    expect(await stored(here)).toMatchObject([{ tmx: ago(3).toISOString() }]);
    await beside.stop();
    await expect(report("/")).rejects.toThrow();
  });

  test("F-9.12 F-12.7 FLEET_AUTO_REGISTER makes units of what reports, once", async () => {
    await using open = await stages.start({ env: { FLEET_AUTO_REGISTER: "on" } });
    const device = { uniqueId: `new-${Date.now()}`, attributes: { vid: 4711 } };
    const unit = { unique_id: device.uniqueId } as TestUnit;
    const answers = await Promise.all(
      [1, 2, 3].map((seconds) => open.traccar("positions", position(unit, ago(seconds), { device }))),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const { body } = await open.admin("GET", "/units?limit=500");
    const made = (body.data as { unique_id: string; vid: number }[]).filter(
      ({ unique_id }) => unique_id === device.uniqueId,
    );
    expect(made).toMatchObject([{ vid: 4711, traccar_id: 12, has_key: true }]);
    // Nobody knows its key, so the other doors stay shut to it.
    expect((await open.osmand({ id: device.uniqueId, lat: "1", lon: "2" })).status).toBe(401);
  });
});
