import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Socket } from "./socket.ts";
import { asTimePasses, environment, eventually, Node, type Stage, Stages, urlOf } from "./stage.ts";

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

const loc = { lat: 1, lon: 2 };
/** The time of the nodes of this process; it stands still unless a test moves it. */
let clock: ManualClock;
beforeEach(() => {
  clock = new ManualClock(Date.now());
});
const now = () => new Date(clock.now()).toISOString();

describe.if(redis.available)("F-6.8 device on one node, watchers and commands on the other", () => {
  let here: Stage;
  let there: Stage;
  /** What removes the keys of a test. */
  const removals: (() => Promise<void>)[] = [];
  let shared: Record<string, string>;
  beforeEach(async () => {
    const prefix = freshPrefix(redis.url);
    removals.push(prefix.remove);
    shared = {
      ...{ REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix, FLEET_COMMANDS: "getio,getver" },
      ...{ FLEET_LEASE_S: "5", FLEET_MAX_SOCKETS_PER_USER: "2", FLEET_PING_S: "3600" },
    };
    [here, there] = [await stages.start({ env: shared, clock }), await stages.start({ env: shared, clock })];
  });
  afterEach(async () => {
    await here.stop();
    await there.stop();
    for (const remove of removals.splice(0)) await remove();
  });

  test("records, events and connections, in order", async () => {
    const unit = await here.unit();
    const client = await there.watcher(await here.user(unit));
    const tracker = await here.device(unit);
    expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    for (let i = 0; i < 50; i++) {
      const rec = { tmx: new Date(clock.now() + i * 1000).toISOString(), loc, gsp: i, exd: { io: { "1": i % 2 } } };
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

  describe.each(["by a word between the nodes, which takes no time", "within 5 s without it"])(
    "F-2.11 F-2.13 %s",
    (way) => {
      test("what is revoked, disabled, deleted and taken away is so on the other node, and on this one", async () => {
        const isCut = way.startsWith("within");
        const prefix = freshPrefix(redis.url);
        removals.push(prefix.remove);
        const env = { ...shared, ...(isCut ? { KEY_PREFIX: prefix.keyPrefix } : {}) };
        await using other = await stages.start({ env });
        const nodes = [other, here];
        // Each node reports for units of its own: it need not hear what the other stored.
        const taken = await Promise.all(nodes.map((node) => node.unit()));
        const left = await Promise.all(nodes.map((node) => node.unit()));
        const kept = await here.user(...taken, ...left);
        const ended = await Promise.all([1, 2, 3].map(() => here.user(...taken)));
        const keeps = await Promise.all(nodes.map((node) => node.watcher(kept)));
        const ends = await Promise.all(nodes.flatMap((node) => ended.map((user) => node.watcher(user))));
        const [revoked, disabled, deleted] = ended.map(({ user_id }) => `/users/${user_id}`);
        await here.admin("DELETE", `${revoked}/sessions`);
        await here.admin("PATCH", `${disabled}`, { disabled: true });
        await here.admin("DELETE", `${deleted}`);
        await here.entitle(kept.user_id, left);
        if (isCut) await other.pass(5);
        for (const socket of ends) expect((await socket.closed).code).toBe(4401);
        let reports = 0;
        /** What a node's watcher is told of when both of its units have reported there, the one that was taken first. */
        const toldOn = async (index: number) => {
          const timestamp = String(clock.now() + ++reports);
          for (const { unique_id: id, key } of [taken[index]!, left[index]!]) {
            expect((await nodes[index]!.osmand({ id, key, lat: "1", lon: "2", timestamp })).status).toBe(200);
          }
          return (await keeps[index]!.rest()).map(({ uid }) => uid);
        };
        if (isCut) expect(await toldOn(0)).toEqual([left[0]!.uid]);
        for (const index of nodes.keys()) {
          await eventually(async () => {
            const uids = await toldOn(index);
            return uids.includes(left[index]!.uid) && !taken.some(({ uid }) => uids.includes(uid));
          });
        }
      });
    },
  );

  test("F-12.31 a newer link on the other node replaces the older", async () => {
    const unit = await here.unit();
    const client = await there.watcher(await here.user(unit));
    const older = await here.device(unit);
    clock.advance(1);
    const newer = await there.device(unit);
    expect((await older.closed).code).toBe(4409);
    newer.send({ t: "records", seq: 1, records: [{ tmx: now(), loc }] });
    await newer.text();
    expect([(await client.next()).params.type, (await client.next()).params.type]).toEqual(["connection", "records"]);
  });

  test("F-6.10 a link that goes from node to node is gone when the grace of its last end is over", async () => {
    // Nodes of one installation have the same grace.
    for (const node of [here, there]) await node.stop();
    const env = { ...shared, FLEET_LINK_GRACE_S: "30" };
    await using near = await stages.start({ env, clock });
    await using far = await stages.start({ env, clock });
    const unit = await near.unit();
    const client = await near.watcher(await near.user(unit));
    // Both have seen what came before on a node when they tell of another link there.
    const seenBy = async (node: Stage) => {
      const marker = await node.unit();
      const user = await node.user(marker);
      const watchers = [await near.watcher(user), await far.watcher(user)];
      const link = await node.device(marker);
      for (const watcher of watchers) {
        await watcher.ofType("connection");
        watcher.close();
      }
      link.close();
    };
    const leave = async (node: Stage, link: Socket) => {
      link.close();
      await link.closed;
      await seenBy(node);
    };
    const toldAfterGrace = async () => {
      clock.advance(29_000);
      await seenBy(near);
      expect(await client.rest()).toEqual([]);
      clock.advance(1_000);
      expect((await client.next()).params).toEqual({ type: "connection", status: 0 });
    };
    const first = await near.device(unit);
    expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    await leave(near, first);
    clock.advance(20_000);
    const second = await far.device(unit);
    await seenBy(far);
    await leave(far, second);
    await toldAfterGrace();
    // Nor does one that was replaced end the wait for the other.
    const third = await near.device(unit);
    expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    clock.advance(1);
    const fourth = await far.device(unit);
    expect((await third.closed).code).toBe(4409);
    await seenBy(near);
    clock.advance(20_000);
    await leave(far, fourth);
    await toldAfterGrace();
  });

  test("F-6.4 a double is one on any node", async () => {
    const unit = await here.unit();
    const user = await here.user(unit);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const timestamp = String(clock.now() - 60_000 + Math.floor(i / 4) * 1000);
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
      dateBegin: new Date(clock.now() - 3_600_000).toISOString(),
      dateEnd: new Date(clock.now() + 3_600_000).toISOString(),
    };
    const { body } = await there.rest("vehicleHistoric", user, { vehicleId: unit.uid, ...span });
    expect(body.data).toHaveLength(10);
  });

  test("F-12.43 F-12.23 F-4.12 commands through Traccar run on one node, whichever is asked and whichever hears the result", async () => {
    const calls: unknown[] = [];
    using upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        calls.push(await request.json());
        return new Response("{}");
      },
    });
    // The two that are there already know of no Traccar, and are not among those that share its commands.
    const env = { ...shared, FLEET_TRACCAR_URL: upstream.url.href };
    await using one = await stages.start({ env, clock });
    await using other = await stages.start({ env, clock });
    // Units in a row are not all the same node's.
    for (const unit of [await one.unit(), await one.unit(), await one.unit(), await one.unit()]) {
      const user = await one.user(unit);
      const [near, far] = [await one.watcher(user), await other.watcher(user)];
      const event = (type: string, attributes: object) => ({
        event: { type, eventTime: now(), attributes },
        device: { id: unit.uid, uniqueId: unit.unique_id, attributes: {} },
      });
      await one.traccar("events", event("deviceOnline", {}));
      for (const client of [near, far]) await client.ofType("connection");
      near.send({ type: "api", query: { id: "near", uid: unit.uid, cmd: "getio" } });
      expect((await near.next()).params).toEqual({ type: "cmd-status", id: "near", status: true });
      far.send({ type: "api", query: { id: "far", uid: unit.uid, cmd: "getio" } });
      expect((await far.next()).params).toEqual({ type: "cmd-status", id: "far", status: true });
      await one.traccar("events", event("commandResult", { result: "DI1:1" }));
      expect((await near.next()).params).toMatchObject({ type: "cmd-parsed", id: "near", cmd: { "1": { tlv: 1 } } });
      expect((await far.next()).params).toMatchObject({ type: "cmd-parsed", id: "far", cmd: { "1": { tlv: 1 } } });
      const attributes = { data: "getio", noQueue: true };
      expect(calls.splice(0)).toEqual([{ deviceId: unit.uid, type: "custom", attributes }]);
    }
  });

  describe("with a node in a process of its own", () => {
    let victim: GatewayProcess;
    let node: Node;
    beforeEach(async () => {
      const database = urlOf(await stages.database());
      victim = await startProcess({ env: { ...environment, ...shared, ...database, PROTOCOLS: "fleet" } });
      node = new Node(victim.url, victim.internalUrl);
    });
    afterEach(() => victim.cleanUp());

    test("F-6.9 the units of a killed node are disconnected once", async () => {
      const unit = await here.unit();
      const user = await here.user(unit);
      const [near, far] = [await here.watcher(user), await there.watcher(user)];
      const tracker = await node.device(unit);
      for (const client of [near, far]) expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
      victim.child.kill("SIGKILL");
      for (const client of [near, far]) expect((await client.next()).params).toEqual({ type: "connection", status: 0 });
      await tracker.closed;
      near.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getio" } });
      expect((await near.next()).params).toEqual({ type: "cmd-status", id: "a", status: false });
      expect(await far.rest()).toEqual([]);
    });

    test("F-6.9 F-9.7 its links count on for FLEET_LEASE_S, and those that come back by then make no frames", async () => {
      await using patient = await stages.start({ clock, env: { ...shared, FLEET_LEASE_S: "60" } });
      // Whoever buries the node waits: there is one to do it.
      for (const stage of [here, there]) await stage.stop();
      const [lost, moved] = [await patient.unit(), await patient.unit()];
      const user = await patient.user(lost, moved);
      const client = await patient.watcher(user);
      await node.watcher(user);
      for (const unit of [lost, moved]) {
        await node.device(unit);
        expect(await client.next()).toMatchObject({ uid: unit.uid, params: { type: "connection", status: 1 } });
      }
      victim.child.kill("SIGKILL");
      await patient.device(moved);
      // The user has another socket again when the others have given the node up, which takes no time of this clock.
      await eventually(() => patient.watcher(user).catch(() => null));
      const buried = clock.now();
      const gone = await asTimePasses(clock, client.next());
      expect(gone).toMatchObject({ uid: lost.uid, params: { type: "connection", status: 0 } });
      expect(clock.now() - buried).toBeGreaterThanOrEqual(55_000);
      expect(await client.rest()).toEqual([]);
    });

    test("F-4.13 F-6.8 one that dies with a command in hand: its asker is told so, and nobody carries it out again", async () => {
      const unit = await here.unit();
      const client = await here.watcher(await here.user(unit));
      const tracker = await node.device(unit);
      await client.ofType("connection");
      client.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getver" } });
      await tracker.next();
      expect((await client.next()).params).toEqual({ type: "cmd-status", id: "a", status: true });
      victim.child.kill("SIGKILL");
      await tracker.closed;
      const again = await there.device(unit);
      const told = await asTimePasses(clock, client.ofType("error"));
      expect(told.params).toMatchObject({ code: "cmd-timeout", id: "a" });
      expect(await again.rest()).toEqual([]);
      expect((await client.rest()).filter(({ params }) => params.type !== "connection")).toEqual([]);
    });

    test("F-6.8 F-4.3 one that does not answer in 2 s: `status:false`, and it carries nothing out later", async () => {
      const unit = await here.unit();
      const client = await here.watcher(await here.user(unit));
      const tracker = await node.device(unit);
      await client.ofType("connection");
      victim.child.kill("SIGSTOP");
      client.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getver" } });
      const asked = clock.now();
      const told = await asTimePasses(clock, client.next());
      expect(told.params).toEqual({ type: "cmd-status", id: "a", status: false });
      expect(clock.now() - asked).toBeGreaterThanOrEqual(2_000);
      victim.child.kill("SIGCONT");
      client.send({ type: "api", query: { id: "b", uid: unit.uid, cmd: "getio" } });
      expect((await client.ofType("cmd-status")).params).toEqual({ type: "cmd-status", id: "b", status: true });
      expect((await tracker.next<{ cmd: string }>()).cmd).toBe("getio");
      expect(await tracker.rest()).toEqual([]);
    });
  });
});

test("F-6.9 the units of a lone node that was killed are disconnected within two leases of its return", async () => {
  const database = await stages.database();
  if (database.databaseUrl === undefined) {
    return console.error("\n*** F-6.9 OF A LONE NODE IS NOT TESTED: it needs a Postgres server ***\n");
  }
  const victim = await startProcess({ env: { ...environment, ...urlOf(database), PROTOCOLS: "fleet" } });
  try {
    const node = new Node(victim.url, victim.internalUrl);
    const [gone, back] = [await node.unit(), await node.unit()];
    const user = await node.user(gone, back);
    const watcher = await node.watcher(user);
    for (const unit of [gone, back]) {
      await node.device(unit);
      expect((await watcher.next()).params).toEqual({ type: "connection", status: 1 });
    }
    victim.child.kill("SIGKILL");
    await victim.child.exited;
    await using again = await stages.start({ env: { FLEET_LEASE_S: "15" } });
    const client = await again.watcher(user, { snapshot: true });
    for (const _ of [gone, back]) expect((await client.next()).params).toEqual({ type: "connection", status: 1 });
    await again.device(back);
    await again.pass(30);
    expect(await client.next()).toMatchObject({ uid: gone.uid, params: { type: "connection", status: 0 } });
    expect(await client.rest()).toEqual([]);
  } finally {
    await victim.cleanUp();
  }
});
