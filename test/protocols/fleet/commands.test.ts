import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Frame, Socket } from "./socket.ts";
import { HEX24, type Stage, Stages, type TestUnit, type TestUser } from "./stage.ts";

const stages = new Stages();
const env = { FLEET_COMMANDS: "getio,getver,getgps", FLEET_COMMANDS_PER_SECOND: "1000" };
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start({ env });
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

interface Command {
  readonly t: "cmd";
  readonly id: string;
  readonly cmd: string;
  readonly cr: boolean;
}

async function scene(where = stage, given: Record<string, unknown> = {}) {
  const unit = await where.unit(given);
  const user = await where.user(unit);
  return { unit, user, client: await where.watcher(user) };
}

const ask = (client: Socket, id: string, uid: number, cmd = "getio", more: object = {}) =>
  client.send({ type: "api", query: { id, uid, cmd, ...more } });
const status = (uid: number | undefined, id: string, status: boolean): Frame =>
  ({ ...(uid === undefined ? {} : { uid }), params: { type: "cmd-status", id, status } }) as Frame;
const parsed = (frame: Frame) => [frame.params.type, frame.params.cmd, frame.params.id];

describe("commands over a device link", () => {
  test("F-4.1 F-4.3 F-4.8 F-4.9 F-4.10 F-8.4 what cannot be sent is `status:false`, with the uid where it is a number", async () => {
    const { unit, user, client } = await scene();
    const foreign = await stage.unit();
    const blind = await stage.unit();
    await stage.entitle(user.user_id, [{ uid: blind.uid, rights: ["view"] }], "POST");
    const { uid } = unit;
    const cases: [object, number | undefined][] = [
      [{ uid, cmd: "getio" }, uid],
      [{ uid: foreign.uid, cmd: "getio" }, foreign.uid],
      [{ uid: blind.uid, cmd: "getio" }, blind.uid],
      [{ uid: String(uid), cmd: "setdigout 1" }, uid],
      [{ uid, cmd: "getio\r\nreboot" }, uid],
      [{ uid, cmd: "getio \ud800" }, uid],
      [{ uid, cmd: "" }, uid],
      [{ uid, cmd: "x".repeat(256) }, uid],
      [{ uid, cmd: 7 }, uid],
      [{ uid: -5, cmd: "getio" }, -5],
      [{ uid: "x", cmd: "getio" }, undefined],
      [{ cmd: "getio" }, undefined],
    ];
    for (const [index, [query, echoed]] of cases.entries()) {
      client.send({ type: "api", query: { id: `r${index}`, ...query } });
      expect(await client.next()).toEqual(status(echoed, `r${index}`, false));
    }
  });

  test("F-4.10 F-4.11 the first word counts in any case; CR only sets `cr`", async () => {
    const { unit, client } = await scene();
    const tracker = await stage.device(unit);
    await client.ofType("connection");
    ask(client, "a", unit.uid, "GetVer now", { CR: true });
    expect(await client.next()).toEqual(status(unit.uid, "a", true));
    const command = await tracker.next<Command>();
    expect(command).toMatchObject({ cmd: "GetVer now", cr: true });
    tracker.send({ t: "cmd-result", id: command.id, ok: true, text: "1.2.3" });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: { type: "cmd-parsed", "sub-type": "getver", cmd: "1.2.3", id: "a" },
    });
  });

  test("F-4.8 F-4.12 one in flight: an equal one joins, ten others wait in order, the next is refused", async () => {
    const { unit, user, client } = await scene();
    const other = await stage.watcher(user);
    const tracker = await stage.device(unit);
    for (const socket of [client, other]) await socket.ofType("connection");
    ask(client, "first", unit.uid);
    expect(await client.next()).toEqual(status(unit.uid, "first", true));
    ask(other, "joins", unit.uid);
    expect(await other.next()).toEqual(status(unit.uid, "joins", true));
    for (let i = 0; i < 11; i++) ask(client, `w${i}`, unit.uid, `getver ${i}`);
    // All of them are there before the first is answered.
    expect(await client.rest()).toEqual([]);
    const command = await tracker.next<Command>();
    tracker.send({ t: "cmd-result", id: command.id, ok: true, io: { "1": 1 } });
    expect(parsed(await other.next())).toEqual(["cmd-parsed", expect.any(Object), "joins"]);
    const seen: string[] = [];
    for (let i = 0; i < 10; i++) {
      const { id, cmd } = await tracker.next<Command>();
      expect(cmd).toBe(`getver ${i}`);
      tracker.send({ t: "cmd-result", id, ok: true, text: `v${i}` });
    }
    while (seen.length < 22) {
      const { params } = await client.next();
      seen.push(`${params.type} ${params.id} ${params.status ?? ""}`.trim());
    }
    const statuses = seen.filter((line) => line.startsWith("cmd-status"));
    expect(statuses).toEqual([
      ...Array.from({ length: 10 }, (_, i) => `cmd-status w${i} true`),
      "cmd-status w10 false",
    ]);
    for (let i = 0; i < 10; i++)
      expect(seen.indexOf(`cmd-parsed w${i}`)).toBeGreaterThan(seen.indexOf(`cmd-status w${i} true`));
  });

  test("F-4.13 a refusal is cmd-failed, silence cmd-timeout, and a late answer goes out without an id", async () => {
    await using timed = await stages.start({ env });
    const { unit, client } = await scene(timed);
    const tracker = await timed.device(unit);
    await client.ofType("connection");
    ask(client, "a", unit.uid);
    const refused = await tracker.next<Command>();
    tracker.send({ t: "cmd-result", id: refused.id, ok: false });
    expect(await client.next()).toEqual(status(unit.uid, "a", true));
    expect(await client.next()).toMatchObject({ params: { type: "error", code: "cmd-failed", id: "a" } });
    ask(client, "b", unit.uid, "getver");
    const silent = await tracker.next<Command>();
    expect(await client.next()).toEqual(status(unit.uid, "b", true));
    await timed.pass(14);
    expect(await client.rest()).toEqual([]);
    await timed.pass(1);
    expect(await client.next()).toMatchObject({ params: { type: "error", code: "cmd-timeout", id: "b" } });
    tracker.send({ t: "cmd-result", id: "never asked", ok: true, text: "x" });
    tracker.send({ t: "cmd-result", id: silent.id, ok: true, text: "late" });
    expect(await client.next()).toEqual({
      uid: unit.uid,
      params: { type: "cmd-parsed", "sub-type": "getver", cmd: "late" },
    });
  });

  test("F-4.2 a slow unit does not hold up another", async () => {
    const { unit, user, client } = await scene();
    const quick = await stage.unit();
    await stage.entitle(user.user_id, [{ uid: quick.uid }], "POST");
    const slow = await stage.device(unit);
    ask(client, "held", unit.uid, "getver 1");
    await slow.next();
    ask(client, "waits", unit.uid, "getver 2");
    const fast = await stage.device(quick);
    await client.until(({ uid, params }) => uid === quick.uid && params.type === "connection");
    ask(client, "quick", quick.uid);
    expect(await client.next()).toEqual(status(quick.uid, "quick", true));
    await fast.next();
  });
});

describe("commands through Traccar", () => {
  test("F-9.13 F-12.43 F-12.23 without a link they go to its API, and the result comes back as an event", async () => {
    const calls: { body: unknown; token: string | null }[] = [];
    let answer = 200;
    using upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        calls.push({ body: await request.json(), token: request.headers.get("authorization") });
        return new Response("{}", { status: answer });
      },
    });
    await using through = await stages.start({
      env: { ...env, FLEET_TRACCAR_URL: upstream.url.href, FLEET_TRACCAR_TOKEN: "t0ken" },
    });
    const { unit, client } = await scene(through);
    ask(client, "unknown there", unit.uid);
    expect(await client.next()).toEqual(status(unit.uid, "unknown there", false));
    const event = (type: string, attributes: object) => ({
      event: { type, eventTime: new Date(through.clock.now()).toISOString(), attributes },
      device: { id: 77, uniqueId: unit.unique_id, attributes: {} },
    });
    await through.traccar("events", event("deviceOnline", {}));
    await client.ofType("connection");
    ask(client, "a", unit.uid, "getio", { CR: true });
    expect(await client.next()).toEqual(status(unit.uid, "a", true));
    expect(calls).toEqual([
      {
        body: { deviceId: 77, type: "custom", attributes: { data: "getio\r\n", noQueue: true } },
        token: "Bearer t0ken",
      },
    ]);
    await through.traccar("events", event("commandResult", { result: "DI1:1 DO2:1" }));
    const answered = await client.next();
    expect(answered).toMatchObject({ params: { id: "a", cmd: { "1": { tlv: 1 }, "102": { tlv: 1 } } } });
    answer = 400;
    ask(client, "b", unit.uid);
    expect(await client.next()).toEqual(status(unit.uid, "b", false));
    // F-9.13: where Traccar may keep it for later.
    answer = 202;
    await using keeping = await stages.start({
      env: { ...env, FLEET_TRACCAR_URL: upstream.url.href, FLEET_TRACCAR_QUEUE: "on" },
    });
    const patient = await keeping.watcher(await keeping.user(unit));
    calls.length = 0;
    ask(patient, "c", unit.uid);
    expect(await patient.next()).toEqual(status(unit.uid, "c", true));
    expect(calls).toEqual([{ body: { deviceId: 77, type: "custom", attributes: { data: "getio" } }, token: null }]);
  });

  test("F-12.45 F-12.29 a command waits for the next OsmAnd report where that is switched on", async () => {
    await using parking = await stages.start({ env: { ...env, FLEET_COMMAND_QUEUE_TTL_S: "60" } });
    const { unit, client } = await scene(parking);
    const report = () =>
      parking.osmand({ id: unit.unique_id, key: unit.key, lat: "1", lon: "2", timestamp: String(parking.clock.now()) });
    ask(client, "early", unit.uid);
    expect(await client.next()).toEqual(status(unit.uid, "early", false));
    expect((await report()).text).toBe("");
    for (const id of ["a", "b"]) {
      ask(client, id, unit.uid, `getver ${id}`);
      expect(await client.ofType("cmd-status")).toEqual(status(unit.uid, id, true));
    }
    expect([(await report()).text, (await report()).text, (await report()).text]).toEqual(["getver a", "getver b", ""]);
  });
});

describe("messages to drivers", () => {
  const write = (client: Socket, uid: number, user: TestUser, given: object = {}) =>
    client.send({
      type: "pnd-api",
      query: { uid, content: { type: "msg", txt: "Hi", user_id: user.user_id, user_name: "D", ...given } },
    });
  const txs = ({ params }: Frame) => [params.type, params.txs];

  test("F-4.14 F-5.29 without the right, or for somebody else, the one answer is txs 2", async () => {
    const { user, client, unit } = await scene();
    const foreign = await stage.unit();
    write(client, foreign.uid, user);
    const first = await client.next();
    expect(first).toMatchObject({
      uid: foreign.uid,
      params: { type: "msg-sts", txs: 2, id: expect.stringMatching(HEX24) },
    });
    write(client, unit.uid, { ...user, user_id: user.user_id + 1 });
    expect(txs(await client.next())).toEqual(["msg-sts", 2]);
    for (const given of [{ txt: "" }, { txt: "x".repeat(2001) }, { type: "file" }, { user_name: 7 }]) {
      write(client, unit.uid, user, given);
      expect(await client.next()).toMatchObject({ params: { type: "error", code: "bad-query" } });
    }
    const app = await stage.device(unit, "pnd");
    expect(await app.rest()).toEqual([]);
  });

  test("F-4.15 F-5.26 F-5.27 F-5.30 F-12.40 F-12.42 what waits is delivered in order when the app comes, what was not answered again", async () => {
    const { user, client, unit } = await scene();
    const ids: unknown[] = [];
    for (const guid of ["1", "2", "3"]) {
      stage.clock.advance(1);
      write(client, unit.uid, user, { guid, txt: `text ${guid}` });
      const first = await client.next();
      ids.push(first.params.id);
      expect(txs(first)).toEqual(["msg-sts", 0]);
      expect(txs(await client.next())).toEqual(["msg-sts", 1]);
    }
    write(client, unit.uid, user, { guid: "2", txt: "another text" });
    expect(await client.next()).toMatchObject({
      params: { id: ids[1], txs: 1, content: { content: { txt: "text 2" } } },
    });
    const app = await stage.device(unit, "pnd");
    for (const guid of ["1", "2", "3"])
      expect(await app.next<object>()).toMatchObject({ t: "msg", txt: `text ${guid}`, guid });
    await client.ofType("pnd-connection");
    for (const id of ids) expect(await client.next()).toMatchObject({ params: { id, txs: 3 } });
    app.send({ t: "msg-ack", seq: 1, id: ids[0], state: "read" });
    app.send({ t: "msg-ack", seq: 2, id: ids[0], state: "received" });
    app.send({ t: "msg-ack", seq: 3, id: ids[1], state: "error" });
    app.send({ t: "msg-ack", seq: 4, id: "unknown", state: "read" });
    for (let seq = 1; seq <= 4; seq++) expect(await app.text()).toBe(`{"t":"ack","seq":${seq}}`);
    app.close();
    await client.until(({ params }) => params.type === "pnd-connection" && params.status === 0);
    const again = await stage.device(unit, "pnd");
    expect(await again.next<object>()).toMatchObject({ id: ids[2] });
    expect(client.texts.filter((text) => text.includes('"txs":5'))).toHaveLength(1);
    expect(client.texts.filter((text) => text.includes('"txs":4'))).toHaveLength(0);
    again.send({ t: "msg-ack", seq: 1, id: ids[2], state: "received" });
    await client.until(({ params }) => params.id === ids[2] && params.txs === 4);
  });

  test("F-4.15 F-5.6 what moves on before its second first answer has left is told again after it", async () => {
    const upstream = Promise.withResolvers<Response>();
    using traccar = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => upstream.promise });
    await using through = await stages.start({ env: { ...env, FLEET_TRACCAR_URL: traccar.url.href } });
    const { unit, user, client } = await scene(through);
    const event = { type: "deviceOnline", eventTime: new Date(through.clock.now()).toISOString(), attributes: {} };
    await through.traccar("events", { event, device: { id: 77, uniqueId: unit.unique_id, attributes: {} } });
    const app = await through.device(unit, "pnd");
    await client.ofType("pnd-connection");
    write(client, unit.uid, user, { guid: "1" });
    const message = await app.next<{ id: string }>();
    await client.until(({ params }) => params.txs === 3);
    // The answer to the message waits behind the command's (F-4.2); the driver reads it meanwhile.
    ask(client, "slow", unit.uid);
    write(client, unit.uid, user, { guid: "1" });
    await client.rest();
    app.send({ t: "msg-ack", seq: 1, id: message.id, state: "read" });
    expect(txs(await client.next())).toEqual(["msg-sts", 5]);
    upstream.resolve(new Response("{}"));
    expect(await client.next()).toEqual(status(unit.uid, "slow", true));
    let last = await client.next();
    expect(last.params).toHaveProperty("content");
    while (last.params.txs !== 5) last = await client.next();
  });

  test("F-5.29 a message whose time is over is txs 2 and goes to no one", async () => {
    await using timed = await stages.start({ env: { ...env, FLEET_MESSAGE_TTL_S: "60" } });
    const { user, client, unit } = await scene(timed);
    write(client, unit.uid, user);
    expect([txs(await client.next()), txs(await client.next())]).toEqual([
      ["msg-sts", 0],
      ["msg-sts", 1],
    ]);
    await timed.pass(60);
    expect(await client.rest()).toEqual([]);
    // Messages are looked after every five seconds.
    await timed.pass(5);
    expect(txs(await client.next())).toEqual(["msg-sts", 2]);
    const app = await timed.device(unit, "pnd");
    expect(await app.rest()).toEqual([]);
  });

  test("F-5.6 later steps reach every session of the sender, and nobody else", async () => {
    const { user, client, unit } = await scene();
    const second = await stage.watcher(user);
    const colleague = await stage.watcher(await stage.user(unit));
    write(client, unit.uid, user);
    expect(txs(await second.next())).toEqual(["msg-sts", 1]);
    expect(await colleague.rest()).toEqual([]);
    expect((await client.rest()).map(txs)).toEqual([
      ["msg-sts", 0],
      ["msg-sts", 1],
    ]);
  });
});

describe("device links", () => {
  test("F-12.30 F-12.32 F-2.16 hello: wrong key, unknown unit and bad frames look the same", async () => {
    const { unit_: unit } = { unit_: await stage.unit() };
    const hello = { t: "hello", unit: unit.unique_id, role: "tracker", key: unit.key };
    const wrong = [
      { ...hello, key: "x" },
      { ...hello, key: unit.pnd_key },
      { ...hello, unit: "nobody" },
      { ...hello, key: undefined },
      { ...hello, role: "x" },
      { t: "records" },
      "no JSON",
    ];
    for (const frame of wrong) {
      const socket = await stage.socket("/fleet/device");
      socket.send(frame);
      expect(await socket.next<object>()).toEqual({ t: "error", code: "denied", message: expect.any(String) });
      expect((await socket.closed).code).toBe(4401);
    }
    const open = await stage.unit({ key: null });
    await stage.device({ ...open, key: undefined } as unknown as TestUnit);
    const socket = await stage.socket("/fleet/device");
    socket.send({ ...hello, unit: open.unique_id });
    expect((await socket.closed).code).toBe(4401);
  });

  test("F-7.9 without hello in time the link is closed with 4408", async () => {
    await using timed = await stages.start();
    const socket = await timed.socket("/fleet/device");
    await timed.pass(9);
    expect([await socket.rest(), socket.ws.readyState]).toEqual([[], WebSocket.OPEN]);
    await timed.pass(1);
    expect((await socket.closed).code).toBe(4408);
  });

  test("F-7.10 F-12.31 F-5.10 a newer link replaces the older, and watchers hear nothing of it", async () => {
    const { unit, client } = await scene();
    let newer = await stage.device(unit);
    expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    // All in one millisecond.
    for (let i = 0; i < 5; i++) {
      const older = newer;
      newer = await stage.device(unit);
      expect((await older.closed).code).toBe(4409);
    }
    const app = await stage.device(unit, "pnd");
    expect((await client.next()).params).toEqual({ type: "pnd-connection", status: 1 });
    newer.close();
    app.close();
    const seen = [await client.next(), await client.next()].map(({ params }) => `${params.type} ${params.status}`);
    expect(seen.sort()).toEqual(["connection 0", "pnd-connection 0"]);
    expect(await client.rest()).toEqual([]);
  });

  test("F-6.10 a link back within the grace makes no frames", async () => {
    await using timed = await stages.start({ env: { FLEET_LINK_GRACE_S: "30" } });
    const { unit, client } = await scene(timed);
    const first = await timed.device(unit);
    expect((await client.next()).params.status).toBe(1);
    first.close();
    await first.closed;
    // Nor does Traccar's word in the meantime, which knows nothing of the link.
    const event = { type: "deviceOffline", eventTime: new Date(timed.clock.now()).toISOString(), attributes: {} };
    const said = await timed.traccar("events", { event, device: { id: 1, uniqueId: unit.unique_id, attributes: {} } });
    expect(said.status).toBe(200);
    await timed.pass(29);
    const second = await timed.device(unit);
    second.close();
    await second.closed;
    expect(await client.rest()).toEqual([]);
    await timed.device(await timed.unit());
    await timed.pass(29);
    expect(await client.rest()).toEqual([]);
    await timed.pass(1);
    expect((await client.next()).params.status).toBe(0);
  });

  test("F-12.33 F-12.34 F-8.8 acks in order, with what was refused; faults name their seq", async () => {
    const { unit, client } = await scene();
    const tracker = await stage.device(unit);
    await client.ofType("connection");
    const rec = { tmx: new Date(stage.clock.now()).toISOString(), loc: { lat: 1, lon: 2 } };
    const bad = [
      { ...rec, loc: { lat: 91, lon: 0 } },
      { ...rec, tmx: "1999-01-01T00:00:00Z" },
      { ...rec, tmx: "x" },
      {},
      null,
      { ...rec, exd: { type: "service-generic" } },
      { ...rec, exd: { eco: { ckm: "1200" } } },
      { ...rec, exd: { eco: { dcl: 42 } } },
      { ...rec, tmx: "2026-02-30T00:00:00Z" },
      { ...rec, tmx: "2026-02-28T10:00:00" },
    ];
    tracker.send({ t: "records", seq: 1, records: [...bad, rec] });
    tracker.send({ t: "io", seq: 2, rec: bad[0], tio: 1, tlv: 1 });
    tracker.send({ t: "ping" });
    tracker.send({ t: "records", seq: 3, records: [] });
    tracker.send({ t: "records", records: [rec] });
    tracker.send({ t: "wrong", seq: 4 });
    tracker.send("[]");
    tracker.send({ t: "event", kind: "motion", rec });
    tracker.send({ t: "records", seq: 5, records: [rec] });
    const rejected = bad.map((_, i) => ({ i, code: ["bad-position", "bad-time"][i] ?? "bad-record" }));
    expect(await tracker.next<object>()).toEqual({ t: "ack", seq: 1, rejected });
    expect(await tracker.next<object>()).toEqual({ t: "ack", seq: 2, rejected: [{ i: 0, code: "bad-position" }] });
    expect(await tracker.next<object>()).toEqual({ t: "pong" });
    for (const seq of [3, undefined, 4, undefined]) {
      expect(await tracker.next<object>()).toMatchObject({ t: "error", code: "bad-frame", ...(seq ? { seq } : {}) });
    }
    expect(await tracker.next<object>()).toEqual({ t: "ack", seq: 5 });
    expect((await client.rest()).map(({ params }) => `${params.type} ${params.total ?? ""}`.trim())).toEqual([
      "records 1",
      "event",
    ]);
  });
});
