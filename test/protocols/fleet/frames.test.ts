import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Socket } from "./socket.ts";
import { HEX24, ISO, type Stage, Stages, type TestUnit, type TestUser } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterEach(() => {
  // F-1.10, of every frame to every client.
  for (const { ws, texts } of stage.sockets) {
    if (ws.url.endsWith("/fleet/device")) continue;
    for (const text of texts) expect(text).toMatch(/^\{(?:"uid":\d+,)?"params":\{"type":"[a-z-]+"[,}]/);
  }
  stage.leave();
});
afterAll(() => stages.stop());

/** A unit with a vid of its own, its user and his client. */
async function scene(): Promise<{ unit: TestUnit; user: TestUser; client: Socket }> {
  const unit = await stage.unit({ vid: 826403 });
  const user = await stage.user(unit);
  return { unit, user, client: await stage.watcher(user) };
}

const hex24 = expect.stringMatching(HEX24);
const time = expect.stringMatching(ISO);
const now = () => new Date(stage.clock.now()).toISOString();
const loc = { lon: -9.01, lat: 38.57 };

describe("F-1.10 F-5.4 F-5.13 each frame of the contract, from the device to the client", () => {
  test("F-5.7 F-12.34 records", async () => {
    const { unit, client } = await scene();
    const tracker = await stage.device(unit);
    expect(await client.text()).toBe(`{"uid":${unit.uid},"params":{"type":"connection","status":1}}`);
    const start = stage.clock.now() - 20_000;
    const exd = {
      ...{ sat: 15, alt: 42, bpp: 0 as const },
      eco: { edt: 1, aat: 11, rpm: 949, ehr: 25237, flv: 100, dcl: "0000001234567890" },
      io: { "1": 1, "8": 1 },
    };
    const records = Array.from({ length: 10 }, (_, i) => {
      return { tmx: new Date(start + i * 1000).toISOString(), loc, gsp: 41, hdg: 246, gkm: 1613709, exd };
    });
    tracker.send({ t: "records", seq: 7, records });
    const frame = await client.text();
    const last = new Date(start + 9000).toISOString();
    expect(frame).toBe(
      `{"uid":${unit.uid},"params":{"type":"records","total":10,"lastRecord":{"tmx":"${last}","vid":826403,"dmx":11,` +
        `"loc":{"lon":-9.01,"lat":38.57},"gsp":41,"hdg":246,"gkm":1613709,"cas":3,"exd":{"sat":15,"alt":42,"bpp":0,` +
        `"eco":{"edt":1,"aat":11,"rpm":949,"ehr":25237,"flv":100,"dcl":"0000001234567890"},"io":{"1":1,"8":1}}}}}`,
    );
    expect(await tracker.text()).toBe('{"t":"ack","seq":7}');
    tracker.close();
    expect(await client.text()).toBe(`{"uid":${unit.uid},"params":{"type":"connection","status":0}}`);
  });

  test("F-5.8 F-5.9 F-12.35 F-12.36 event io and event event", async () => {
    const { unit, client } = await scene();
    const tracker = await stage.device(unit);
    await client.ofType("connection");
    const tmx = now();
    tracker.send({ t: "io", seq: 1, rec: { tmx, loc }, tio: 8, tlv: 1 });
    expect(await client.next()).toMatchObject({ params: { type: "records", total: 1, lastRecord: { cas: 61 } } });
    const io = await client.next();
    const record = {
      _id: hex24,
      tmx,
      vid: 826403,
      dmx: 0,
      loc,
      gsp: 0,
      hdg: 0,
      gkm: -1,
      cas: 61,
      exd: { tlm: { tio: 8, tlv: 1 } },
    };
    const event = {
      ...{ _id: hex24, hid: hex24, mid: unit.uid, eid: 3846, tmx, rmx: time, lat: 38.57, lng: -9.01 },
      ...{ sts: 1, frc: null, src: "tlk-server" },
    };
    expect(io).toEqual({ uid: unit.uid, params: { type: "event", "sub-type": "io", record, event } });
    const { params } = io as unknown as { params: { record: { _id: string }; event: { hid: string } } };
    expect(params.event.hid).toBe(params.record._id);
    tracker.send({ t: "event", seq: 2, kind: "battery", rec: { tmx, loc, index: 2 }, sts: 1 });
    expect(await client.next()).toMatchObject({ params: { type: "records", total: 1 } });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: {
        ...{ type: "event", "sub-type": "event" },
        record: { ...record, cas: 3, exd: {} },
        event: { ...event, eid: 9001 },
      },
    });
  });

  test("F-4.6 F-5.14 F-12.37 F-12.41 F-12.44 cmd-status and cmd-parsed", async () => {
    const { unit, client, user } = await scene();
    const other = await stage.watcher(user);
    const tracker = await stage.device(unit);
    for (const socket of [client, other]) await socket.ofType("connection");
    const id = "ZS8SYGKBXAI40T2ASQ3R3HW95";
    client.send({ type: "api", query: { id, uid: unit.uid, cmd: "getio" } });
    expect(await client.text()).toBe(`{"uid":${unit.uid},"params":{"type":"cmd-status","id":"${id}","status":true}}`);
    const command = await tracker.next<{ id: string }>();
    expect(command).toEqual({ t: "cmd", id: expect.any(String), cmd: "getio", cr: false, ttl: 15 } as never);
    tracker.send({ t: "cmd-result", id: command.id, ok: true, text: "DI1:1 DI2:0 DO1:1 AIN1:12.5" });
    const level = (tio: number, tlv: number) => ({ tio, tlv, hid: null, tmx: time });
    const parsed = {
      ...{ type: "cmd-parsed", "sub-type": "getio" },
      cmd: { "1": level(1, 1), "2": level(2, 0), "101": level(101, 1), "201": level(201, 12.5) },
    };
    expect(await client.next()).toEqual({ uid: unit.uid, params: { ...parsed, id } });
    expect(await other.next()).toEqual({ uid: unit.uid, params: parsed });
  });

  test("F-4.7 F-5.5 F-5.6 F-5.25 F-5.28 F-12.40 msg-sts, from stored to read", async () => {
    const { unit, client, user } = await scene();
    const app = await stage.device(unit, "pnd");
    expect(await client.text()).toBe(`{"uid":${unit.uid},"params":{"type":"pnd-connection","status":1}}`);
    const content = { type: "msg", txt: "Call the depot", user_id: user.user_id, user_name: "Dispatch", guid: "G-1" };
    client.send({ type: "pnd-api", query: { uid: unit.uid, content } });
    const first = await client.text();
    const { id } = (JSON.parse(first) as { params: { id: string } }).params;
    expect(id).toMatch(HEX24);
    expect(first).toBe(
      `{"uid":${unit.uid},"params":{"type":"msg-sts","id":"${id}","txs":0,"content":{"type":"msg","content":` +
        `{"txt":"Call the depot","user_id":${user.user_id},"user_name":"Dispatch","guid":"G-1"}}}}`,
    );
    const later = (txs: number) => `{"uid":${unit.uid},"params":{"type":"msg-sts","id":"${id}","txs":${txs}}}`;
    expect(await client.text()).toBe(later(3));
    const { user_id } = user;
    expect(await app.next<object>()).toEqual({
      t: "msg",
      id,
      txt: "Call the depot",
      user_id,
      user_name: "Dispatch",
      guid: "G-1",
    });
    app.send({ t: "msg-ack", seq: 1, id, state: "received" });
    expect(await client.text()).toBe(later(4));
    app.send({ t: "msg-ack", seq: 2, id, state: "read" });
    expect(await client.text()).toBe(later(5));
    expect([await app.text(), await app.text()]).toEqual(['{"t":"ack","seq":1}', '{"t":"ack","seq":2}']);
  });

  test("F-5.11 F-5.12 F-12.38 F-12.39 pnd-msg, pnd-msg-prd, form and service-generic", async () => {
    const { unit, client } = await scene();
    const app = await stage.device(unit, "pnd");
    await client.ofType("pnd-connection");
    const tmx = now();
    const place = { lat: 41.2, lon: 1.2 };
    const event = {
      ...{ hid: null, mid: unit.uid, tmx, rmx: time, lat: 41.2, lng: 1.2, sts: 1, frc: null, src: "tlk-server" },
    };
    app.send({ t: "msg", seq: 1, guid: "a", txt: "Gate is closed", tmx, loc: place });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: { type: "pnd-msg", event: { ...event, eid: 3951, txt: "Gate is closed" } },
    });
    app.send({ t: "msg", seq: 2, guid: "b", txt: "TRAFFIC", pmi: 1, tmx, loc: place });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: { type: "pnd-msg-prd", event: { ...event, eid: 25106, pmi: 1, txt: "TRAFFIC" } },
    });
    const frm = { fnm: "Delivery note", fld: { Client: "A", Pieces: 3 } };
    app.send({ t: "form", seq: 3, guid: "c", ...frm, tmx, loc: place });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: { type: "form", event: { ...event, eid: 33, frm } },
    });
    app.send({ t: "service", seq: 4, guid: "d", id: "67ec42", delivered: true, msg: "Delivered", tmx, loc: place });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: {
        type: "service-generic",
        event: {
          ...{ tmx, vid: 826403, dmx: expect.any(Number), loc: place, gsp: 0, hdg: 0, gkm: -1, cas: 600 },
          exd: { type: "service-generic", evt: { id: "67ec42", delivered: true, tmx, msg: "Delivered" } },
          _id: hex24,
        },
      },
    });
    for (let seq = 1; seq <= 4; seq++) expect(await app.text()).toBe(`{"t":"ack","seq":${seq}}`);
    app.close();
    expect(await client.text()).toBe(`{"uid":${unit.uid},"params":{"type":"pnd-connection","status":0}}`);
  });

  test("F-8.8 F-12.33 what a driver sends from outside the bounds of place and time is refused in the ack", async () => {
    const { unit, client } = await scene();
    const app = await stage.device(unit, "pnd");
    await client.ofType("pnd-connection");
    app.send({ t: "msg", seq: 1, guid: "a", txt: "North of the pole", loc: { lat: 90.001, lon: 0 } });
    app.send({ t: "service", seq: 2, id: "1", delivered: true, msg: "", loc: { lat: 0, lon: -180.001 } });
    app.send({ t: "form", seq: 3, guid: "b", fnm: "Old", fld: {}, tmx: "1999-12-31T23:59:59Z" });
    app.send({ t: "msg", seq: 4, guid: "c", txt: "At its edge", loc: { lat: -90, lon: 180 } });
    const refused = (seq: number, code: string) => ({ t: "ack", seq, rejected: [{ i: 0, code }] });
    expect(await app.next<object>()).toEqual(refused(1, "bad-position"));
    expect(await app.next<object>()).toEqual(refused(2, "bad-position"));
    expect(await app.next<object>()).toEqual(refused(3, "bad-time"));
    expect(await app.next<object>()).toEqual({ t: "ack", seq: 4 });
    expect((await client.next()).params).toMatchObject({ type: "pnd-msg", event: { txt: "At its edge" } });
  });

  test("F-5.11 F-5.12 what a driver sends without time and place: now, and where the unit was last, else nowhere", async () => {
    const { unit, client } = await scene();
    const app = await stage.device(unit, "pnd");
    await client.ofType("pnd-connection");
    const places: unknown[] = [];
    for (const round of [1, 2]) {
      app.send({ t: "msg", guid: `m${round}`, txt: "Here" });
      app.send({ t: "service", guid: `s${round}`, id: "1", delivered: false, msg: "" });
      const event = (await client.next()).params.event as Record<string, unknown>;
      expect(event.tmx).toBe(event.rmx);
      const mission = (await client.next()).params.event as Record<string, unknown>;
      places.push([event.lat, event.lng, mission.loc]);
      if (round === 1) {
        await stage.osmand({ id: unit.unique_id, key: unit.key, lat: "38.57", lon: "-9.01" });
        await client.ofType("records");
      }
    }
    expect(places).toEqual([
      [null, null, null],
      [38.57, -9.01, loc],
    ]);
  });
});
