import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { startProxy } from "../support/proxy.ts";
import { type RedisServer, startRedisServer } from "../support/redis.ts";
import { hear } from "./hear.ts";
import { RecordingLog } from "./recording-log.ts";
import { metrics, openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

const times = { lease: 1_500, heartbeat: 300, block: 400, reconnect: 200 };
const keyPrefix = "patchbay:";
const stream = `${keyPrefix}topics:0`;
const missed = async () => Number(/patchbay_missed_node_frames_total (\d+)/.exec(await metrics.text())?.[1]);

// A server of its own, because these tests end it, empty it or stop it.
const server: RedisServer | null = await startRedisServer();

describe.if(server !== null)("a Redis that", () => {
  const cleanUp: (() => Promise<void>)[] = [];
  let redis: Redis;

  beforeEach(() => {
    redis = new Redis(server!.url);
    redis.on("error", () => {});
    cleanUp.push(async () => redis.disconnect());
  });

  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
    server!.resume();
    const client = new Redis(server!.url);
    await client.flushall();
    client.disconnect();
  });

  async function open(options: { log?: RecordingLog; url?: string; times?: Partial<RedisTimes> } = {}) {
    const node = await openNode({
      url: server!.url,
      keyPrefix,
      ...options,
      times: { ...times, ...options.times },
    });
    cleanUp.push(() => node.close());
    return node;
  }

  test("comes back empty: messages go on, living connections are there again, and nobody is buried", async () => {
    const [a, b] = [await open(), await open()];
    const heard = hear(b, "t");
    const lost: string[] = [];
    const restored: string[] = [];
    for (const node of [a, b]) {
      node.presence.onLost((_set, { connection }) => lost.push(connection));
      node.presence.onRestored((_set, { connection }, first) => restored.push(`${connection} ${first}`));
    }
    await a.presence.join("s", "ann", "1");
    await b.presence.join("s", "ann", "2");
    await b.records.put("r", { x: "1" }, 60_000);
    a.topics.publish("t", "before");
    await until(() => heard.length === 1);

    await server!.kill();
    await until(() => !a.up && !b.up);
    a.topics.publish("t", "while away");
    await server!.start();

    await until(() => heard.length === 2 && a.up && b.up);
    a.topics.publish("t", "after");
    await until(() => heard.length === 3);
    expect(heard).toEqual(["before", "while away", "after"]);
    await until(async () => (await a.presence.list("s")).length === 2);
    await until(async () => (await a.topics.nodes()).length === 2);
    // Whichever came back first is the member's first.
    await until(() => restored.length >= 2);
    expect(restored.map((text) => text.split(" ")[0]).sort()).toEqual(["1", "2"]);
    expect(restored.filter((text) => text.endsWith("true"))).toHaveLength(1);
    expect(await b.records.read("r")).toBeNull();
    expect(lost).toEqual([]);
  });

  test("comes back with a stream that began anew: it is read from its start, what was seen comes no second time", async () => {
    const log = new RecordingLog();
    const [a, b] = [await open(), await open({ log })];
    const heard = hear(b, "t");
    // As if the clock of the old server had been ahead: everything the new one writes has a smaller id.
    await redis.xadd(stream, "9999999999999-0", "nobody", "x");
    a.topics.publish("t", "0");
    await until(() => heard.length === 1);
    await server!.kill();
    await until(() => !a.up && !b.up);
    a.topics.publish("t", "1");
    await server!.start();
    await until(() => heard.length === 2);
    a.topics.publish("t", "2");
    await until(() => heard.length === 3);
    expect(heard).toEqual(["0", "1", "2"]);
  });

  test("has trimmed what a node has not read yet: the node says so and goes on", async () => {
    const log = new RecordingLog();
    const proxy = await startProxy({ host: "127.0.0.1", port: server!.port });
    cleanUp.push(() => proxy.close());
    const [a, b] = [await open(), await open({ log, url: `redis://127.0.0.1:${proxy.port}` })];
    const heard = hear(b, "t");
    const before = await missed();
    a.topics.publish("t", "0");
    await until(() => heard.length === 1);
    proxy.cut();
    await until(() => !b.up);
    for (const [index, message] of ["lost", "lost too", "1"].entries()) {
      a.topics.publish("t", message);
      await until(async () => (await redis.xlen(stream)) === index + 2);
    }
    await redis.xtrim(stream, "MAXLEN", 1);
    proxy.restore();
    a.topics.publish("t", "2");
    await until(() => heard.length === 3);
    expect(heard).toEqual(["0", "1", "2"]);
    const told = log.lines.filter(({ message }) => message === "messages of another node were lost");
    expect(told.map(({ fields }) => fields)).toEqual([{ from: a.node, frames: 2 }]);
    expect(await missed()).toBe(before + 2);
  });

  test("holds entries that make no sense: they are told and skipped", async () => {
    const log = new RecordingLog();
    const [a, b] = [await open(), await open({ log })];
    const heard = hear(b, "t");
    await redis.xadd(stream, "*", "stranger", "");
    await redis.xadd(stream, "*", "stranger", Buffer.from([99, 1, 2]));
    await redis.xadd(stream, "*", "stranger", Buffer.from([1, 0, 0, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255]));
    a.topics.publish("t", "fine");
    await until(() => heard.length === 1);
    expect(heard).toEqual(["fine"]);
    expect(log.count("unreadable messages from another node")).toBe(1);
  });

  test("forgets its scripts: nothing fails", async () => {
    const node = await open();
    const every = async (round: string) => {
      expect(await node.records.create(`r${round}`, { a: "1" }, 60_000)).toBe(true);
      expect(await node.records.update(`r${round}`, { a: "2" })).toBe(true);
      expect(await node.records.take(`r${round}`)).toEqual({ a: "2" });
      expect((await node.presence.join("s", "ann", round)).admitted).toBe(true);
      expect((await node.tallies.take("b", { rate: 1, burst: 10 })).allowed).toBe(true);
      expect(await node.tallies.hold("h", round, 10, 60_000)).toBe(true);
      await node.tallies.count("c", 60_000);
      await node.timers.set("k", round, Date.now() + 60_000, "");
      expect(await node.timers.cancel("k", round)).toBe(true);
      expect(await node.topics.nodes()).toEqual([node.node]);
    };
    await every("1");
    await redis.script("FLUSH");
    await every("2");
    await redis.script("FLUSH");
    const joins = await Promise.all(
      Array.from({ length: 50 }, (_, index) => node.presence.join("f", "ann", `${index}`)),
    );
    expect(joins.map(({ count }) => count)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect((await node.tallies.count("c", 60_000, 0)).count).toBe(2);
  });

  test("stands still for longer than a lease: nobody is buried for it", async () => {
    // Commands are given up meanwhile.
    const impatient = { times: { command: 600 } };
    const [a, b] = [await open(impatient), await open(impatient)];
    const lost: string[] = [];
    for (const node of [a, b]) node.presence.onLost((_set, { connection }) => lost.push(connection));
    await a.presence.join("s", "ann", "1");
    await b.presence.join("s", "ann", "2");
    await Bun.sleep(times.lease + times.heartbeat);
    server!.pause();
    await Bun.sleep(2 * times.lease);
    server!.resume();
    await until(() => a.up && b.up);
    await Bun.sleep(2 * times.lease);
    expect(lost).toEqual([]);
    expect(await a.presence.list("s")).toHaveLength(2);
  });

  test("refuses to write: that is Redis away, not a fault of the call", async () => {
    const node = await open();
    await redis.config("SET", "maxmemory", "1");
    const error = await node.records.create("r", { a: "1" }, 60_000).catch((cause: unknown) => cause);
    await redis.config("SET", "maxmemory", "0");
    expect(error).toMatchObject({ name: "BackplaneUnavailable" });
    expect(await node.records.create("r", { a: "1" }, 60_000)).toBe(true);
  });

  test("keeps nothing of a node that has closed", async () => {
    const node = await open();
    await node.presence.join("s", "ann", "1");
    await node.presence.leave("s", "ann", "1");
    await node.timers.set("k", "t", Date.now() + 60_000, "");
    await node.timers.cancel("k", "t");
    await node.tallies.hold("h", "x", 1, 60_000);
    await node.tallies.release("h", "x");
    node.topics.publish("t", "x");
    await node.close();
    expect(await redis.keys("*")).toEqual([stream]);
  });
});

afterAll(() => server?.close());
