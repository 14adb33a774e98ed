import { afterAll, describe, expect, test } from "bun:test";
import postgres from "postgres";
import { CommitOrder } from "../../../src/protocols/fleet/commit-order.ts";
import { connectionFrame } from "../../../src/protocols/fleet/frames.ts";
import { openNode } from "../../backplane/subjects.ts";
import { ManualClock } from "../../support/clock.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Socket } from "./socket.ts";
import { eventually, type Stage, Stages } from "./stage.ts";

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

describe.if(redis.available)("F-5.2 one unit that reports through two nodes at once", () => {
  const REPORTS = 300;

  /** Times of the records a socket got, in the order of their frames. */
  async function recordsOf(socket: Socket): Promise<string[]> {
    const times: string[] = [];
    while (times.length < REPORTS) {
      const { params } = await socket.next();
      if (params.type === "records") times.push((params.lastRecord as { tmx: string }).tmx);
    }
    return times;
  }

  test("every session of both nodes gets its frames in the order of the commits", async () => {
    const prefix = freshPrefix(redis.url);
    const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix, FLEET_BATCH_MS: "0" };
    try {
      // Time stands still for both: neither gives up what is on its way, however long that takes.
      await using one = await stages.start({ env });
      await using other = await stages.start({ env });
      const nodes = [one, other] as const;
      const unit = await nodes[0].unit();
      const user = await nodes[0].user(unit);
      const watchers = [await nodes[0].watcher(user), await nodes[1].watcher(user)] as const;
      const received = Promise.all(watchers.map(recordsOf));
      const base = one.clock.now() - 1_000_000;
      const report = (number: number) =>
        nodes[number % 2]!.osmand({
          ...{ id: unit.unique_id, key: unit.key, lat: "1", lon: "2", timestamp: String(base + number * 1000) },
          ignition: String(number % 2 === 0),
        });
      // A few at a time, so that commits of the two nodes alternate.
      for (let from = 0; from < REPORTS; from += 20) {
        await Promise.all(Array.from({ length: 20 }, (_, i) => report(from + i)));
      }
      const [near, far] = await received;
      expect(new Set(near).size).toBe(REPORTS);
      expect(far).toEqual(near!);
    } finally {
      await prefix.remove();
    }
  });
});

describe.if(redis.available)("F-5.2 a node whose words are late", () => {
  test("keeps what another commits behind them until they are there", async () => {
    const prefix = freshPrefix(redis.url);
    const target = new URL(redis.url);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 6379) });
    const late = new URL(redis.url);
    late.host = `127.0.0.1:${proxy.port}`;
    const env = { KEY_PREFIX: prefix.keyPrefix };
    try {
      await using slow = await stages.start({ env: { ...env, REDIS_URL: late.href } });
      // Time stands still for it: it does not give up what is missing, however long this takes.
      await using quick = await stages.start({ env: { ...env, REDIS_URL: redis.url } });
      const unit = await quick.unit();
      const user = await quick.user(unit);
      const watcher = await quick.watcher(user);
      const report = (node: Stage, lat: string, age: number) =>
        node.osmand({ id: unit.unique_id, key: unit.key, lat, lon: "2", timestamp: String(node.clock.now() - age) });
      proxy.stall();
      const first = report(slow, "1", 20_000);
      const span = { dateBegin: iso(-3_600_000), dateEnd: iso(3_600_000) };
      await eventually(async () => {
        const { body } = await quick.rest("vehicleHistoric", user, { vehicleId: unit.uid, ...span });
        return (body.data as unknown[]).length === 1;
      });
      await report(quick, "2", 10_000);
      expect(await watcher.rest()).toEqual([]);
      proxy.restore();
      const latitudes = [await watcher.next(), await watcher.next()].map(({ params }) => params.lastRecord);
      expect(latitudes).toMatchObject([{ loc: { lat: 1 } }, { loc: { lat: 2 } }]);
      await first;
    } finally {
      await proxy.close();
      await prefix.remove();
    }
  });
});

const databaseUrl = await stages.databaseUrl();

describe.if(redis.available && databaseUrl !== undefined)("F-5.15 a snapshot", () => {
  test("is read again where the client has heard of something newer", async () => {
    const prefix = freshPrefix(redis.url);
    const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
    const other = await openNode({ url: redis.url, keyPrefix: prefix.keyPrefix });
    const sql = postgres(databaseUrl!, { max: 1 });
    try {
      await using node = await stages.start({ env });
      const unit = await node.unit();
      const user = await node.user(unit);
      await node.osmand({ id: unit.unique_id, key: unit.key, lat: "1", lon: "2" });
      const witness = await node.watcher(user);
      // Another node's word of a commit that this one's reads do not show yet.
      const [state] = await sql`select version from fleet.unit_state where uid = ${unit.uid}`;
      const version = Number(state?.version) + 1;
      const frame = connectionFrame(unit.uid, "connection", 0);
      other.topics.publish("fleet:frames", ["unit", unit.uid, version, version, frame].join("\t"));
      expect((await witness.next()).params.type).toBe("connection");
      const client = await node.watcher(user, { snapshot: true });
      await eventually(async () => {
        const reads = await sql`select from pg_stat_activity
          where datname = current_database() and query like '%"pnd_connected", "fleet"."unit_state"."record"::text%'`;
        return reads.length > 0;
      });
      expect(await client.rest()).toEqual([]);
      await sql`update fleet.unit_state set version = ${version}, record = jsonb_set(record::jsonb, '{loc,lat}', '7')::json
        where uid = ${unit.uid}`;
      expect((await client.next()).params).toMatchObject({
        type: "records",
        total: 0,
        lastRecord: { loc: { lat: 7 } },
      });
    } finally {
      await other.close();
      await sql.end();
      await prefix.remove();
    }
  });
});

/** A moment so many milliseconds from now. */
const iso = (distance: number) => new Date(Date.now() + distance).toISOString();

describe("F-5.2 what comes out of order", () => {
  async function stage() {
    const clock = new ManualClock();
    const told: string[] = [];
    const order = new CommitOrder(clock, 1_000, (uid, frames) =>
      told.push(...frames.map((frame) => `${uid} ${frame}`)),
    );
    const take = (uid: number, from: number, frames: string[] = [String(from)], to = from) =>
      order.take(uid, { from, to, frames });
    await order.follow([1], async () => new Map([[1, 4]]));
    return { clock, order, told, take };
  }

  test("waits for what was committed before it; other units do not", async () => {
    const { order, told, take } = await stage();
    await order.follow([2], async () => new Map([[2, 99]]));
    take(1, 5);
    take(1, 8);
    take(1, 7);
    take(2, 100);
    expect(told).toEqual(["1 5", "2 100"]);
    take(1, 6);
    expect(told).toEqual(["1 5", "2 100", "1 6", "1 7", "1 8"]);
  });

  test("waits for the store's word of where a unit is when it is followed; nobody is told of others", async () => {
    const { order, told, take } = await stage();
    take(2, 7);
    const { promise, resolve } = Promise.withResolvers<Map<number, number>>();
    const followed = order.follow([2], () => promise);
    take(2, 9);
    take(2, 7);
    take(2, 8);
    expect(told).toEqual([]);
    resolve(new Map([[2, 7]]));
    await followed;
    expect(told).toEqual(["2 7", "2 8", "2 9"]);
  });

  test("goes on from the next word while the store is away", async () => {
    const { order, told, take } = await stage();
    await order.follow([2], async () => {
      throw new Error("away");
    });
    take(2, 9);
    take(2, 11);
    take(2, 10);
    expect(told).toEqual(["2 9", "2 10", "2 11"]);
  });

  test("passes over commits that have nothing to tell, and takes several as one", async () => {
    const { told, take } = await stage();
    take(1, 5);
    take(1, 7);
    take(1, 6, []);
    take(1, 8, ["8 to 10"], 10);
    take(1, 11);
    expect(told).toEqual(["1 5", "1 7", "1 8 to 10", "1 11"]);
  });

  test("is told after a second without what is missing, which is not told any more", async () => {
    const { clock, told, take } = await stage();
    take(1, 5);
    take(1, 7);
    take(1, 9);
    clock.advance(999);
    expect(told).toEqual(["1 5"]);
    clock.advance(1);
    expect(told).toEqual(["1 5", "1 7", "1 9"]);
    take(1, 6);
    take(1, 10);
    expect(told).toEqual(["1 5", "1 7", "1 9", "1 10"]);
  });

  test("nothing waits for more than a second, whatever comes before it meanwhile", async () => {
    const { clock, told, take } = await stage();
    take(1, 9);
    clock.advance(900);
    take(1, 6);
    take(1, 12);
    clock.advance(100);
    expect(told).toEqual(["1 6", "1 9"]);
    take(1, 11);
    clock.advance(899);
    expect(told).toEqual(["1 6", "1 9"]);
    clock.advance(1);
    expect(told).toEqual(["1 6", "1 9", "1 11", "1 12"]);
  });
});
