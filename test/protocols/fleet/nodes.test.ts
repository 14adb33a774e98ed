import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { environment, eventually, Node, type Stage, Stages, urlOf } from "./stage.ts";

setDefaultTimeout(60_000);

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

const loc = { lat: 1, lon: 2 };
const now = () => new Date().toISOString();

describe.if(redis.available)("F-6.8 device on one node, watchers and commands on the other", () => {
  let here: Stage;
  let there: Stage;
  let remove: () => Promise<void>;
  let shared: Record<string, string>;
  beforeEach(async () => {
    const prefix = freshPrefix(redis.url);
    remove = prefix.remove;
    shared = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix, FLEET_COMMANDS: "getio,getver" };
    [here, there] = [await stages.start({ env: shared }), await stages.start({ env: shared })];
  });
  afterEach(async () => {
    await here.stop();
    await there.stop();
    await remove();
  });

  test("records, events and connections, in order", async () => {
    const unit = await here.unit();
    const client = await there.watcher(await here.user(unit));
    const tracker = await here.device(unit);
    expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    for (let i = 0; i < 50; i++) {
      const rec = { tmx: new Date(Date.now() + i * 1000).toISOString(), loc, gsp: i, exd: { io: { "1": i % 2 } } };
      tracker.send({ t: "records", seq: i, records: [rec] });
    }
    for (let i = 0; i < 50; i++) {
      expect((await client.next()).params).toMatchObject({ type: "records", lastRecord: { gsp: i } });
      if (i > 0) expect((await client.next()).params).toMatchObject({ type: "event", record: { gsp: i } });
    }
    tracker.close();
    expect((await client.next()).params).toEqual({ type: "connection", status: 0 });
  });

  test("a command finds the link, and the answer everybody; two askers share one command", async () => {
    const unit = await here.unit();
    const user = await here.user(unit);
    const [near, far] = [await here.watcher(user), await there.watcher(user)];
    const tracker = await here.device(unit);
    for (const client of [near, far]) await client.ofType("connection");
    far.send({ type: "api", query: { id: "far", uid: unit.uid, cmd: "getio" } });
    const command = await tracker.next<{ id: string }>();
    expect((await far.next()).params).toEqual({ type: "cmd-status", id: "far", status: true });
    near.send({ type: "api", query: { id: "near", uid: unit.uid, cmd: "getio" } });
    expect((await near.next()).params).toEqual({ type: "cmd-status", id: "near", status: true });
    tracker.send({ t: "cmd-result", id: command.id, ok: true, io: { "1": 1 } });
    expect((await far.next()).params).toMatchObject({ type: "cmd-parsed", id: "far" });
    expect((await near.next()).params).toMatchObject({ type: "cmd-parsed", id: "near" });
    expect(await tracker.rest()).toEqual([]);
  });

  test("messages to a driver whose app is on the other node, and what he answers", async () => {
    const unit = await here.unit();
    const user = await here.user(unit);
    const client = await there.watcher(user);
    const app = await here.device(unit, "pnd");
    await client.ofType("pnd-connection");
    const content = { type: "msg", txt: "Hi", user_id: user.user_id, user_name: "D" };
    client.send({ type: "pnd-api", query: { uid: unit.uid, content } });
    const { id } = await app.next<{ id: string }>();
    app.send({ t: "msg-ack", seq: 1, id, state: "read" });
    const steps = [await client.next(), await client.next(), await client.next()].map(({ params }) => params.txs);
    expect(steps).toEqual([0, 3, 5]);
  });

  test("F-2.11 F-2.13 revocation and entitlements reach the other node within 5 s", async () => {
    const [one, two] = [await here.unit(), await here.unit()];
    const [alice, bob] = [await here.user(one, two), await here.user(one)];
    const [kept, ended] = [await there.watcher(alice), await there.watcher(bob)];
    const started = Date.now();
    await here.admin("DELETE", `/users/${bob.user_id}/sessions`);
    await here.entitle(alice.user_id, [{ uid: two.uid }]);
    expect((await ended.closed).code).toBe(4401);
    const report = (unit: typeof one) =>
      there.osmand({ id: unit.unique_id, key: unit.key, lat: "1", lon: "2", timestamp: String(Date.now()) });
    await eventually(async () => (await report(one)) && (await kept.rest()).length === 0);
    expect(Date.now() - started).toBeLessThan(5_000);
    await report(two);
    expect((await kept.next()).uid).toBe(two.uid);
  });

  test("F-12.31 a newer link on the other node replaces the older", async () => {
    const unit = await here.unit();
    const client = await there.watcher(await here.user(unit));
    const older = await here.device(unit);
    const newer = await there.device(unit);
    expect((await older.closed).code).toBe(4409);
    newer.send({ t: "records", seq: 1, records: [{ tmx: now(), loc }] });
    await newer.text();
    expect([(await client.next()).params.type, (await client.next()).params.type]).toEqual(["connection", "records"]);
  });

  test("F-6.4 a double is one on any node", async () => {
    const unit = await here.unit();
    const user = await here.user(unit);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const timestamp = String(Math.floor(Date.now() / 100_000) * 100_000 + Math.floor(i / 4) * 1000);
        return (i % 2 === 0 ? here : there).osmand({
          id: unit.unique_id,
          key: unit.key,
          lat: "1",
          lon: "2",
          timestamp,
        });
      }),
    );
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    const span = {
      dateBegin: new Date(Date.now() - 3_600_000).toISOString(),
      dateEnd: new Date(Date.now() + 3_600_000).toISOString(),
    };
    const { body } = await there.rest("vehicleHistoric", user, { vehicleId: unit.uid, ...span });
    expect(body.data).toHaveLength(10);
  });

  test("F-6.9 the units of a killed node are disconnected once", async () => {
    const victim: GatewayProcess = await startProcess({
      env: { ...environment, ...shared, ...urlOf(await stages.database()), PROTOCOLS: "fleet" },
    });
    try {
      const unit = await here.unit();
      const user = await here.user(unit);
      const [near, far] = [await here.watcher(user), await there.watcher(user)];
      const node = new Node(victim.url, victim.internalUrl);
      const tracker = await node.device(unit);
      for (const client of [near, far]) expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
      victim.child.kill("SIGKILL");
      for (const client of [near, far]) expect((await client.next()).params).toEqual({ type: "connection", status: 0 });
      await tracker.closed;
      near.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getio" } });
      expect((await near.next()).params).toEqual({ type: "cmd-status", id: "a", status: false });
      expect(await far.rest()).toEqual([]);
    } finally {
      await victim.cleanUp();
    }
  });
});
