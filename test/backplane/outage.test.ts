import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Backplane, BackplaneUnavailable } from "../../src/backplane/backplane.ts";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { startProxy, type TcpProxy } from "../support/proxy.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";
import { RecordingLog } from "./recording-log.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

const { available, url } = await testRedis();
const times = { lease: 1_500, heartbeat: 300, command: 600, block: 400, reconnect: 200, open: 500 };

describe.if(available)("Redis away", () => {
  const cleanUp: (() => Promise<void>)[] = [];
  let proxy: TcpProxy;
  let keyPrefix: string;

  beforeEach(async () => {
    const { hostname, port } = new URL(url);
    proxy = await startProxy({ host: hostname, port: Number(port || 6379) });
    const prefix = freshPrefix(url);
    keyPrefix = prefix.keyPrefix;
    cleanUp.push(prefix.remove, () => proxy.close());
  });

  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  });

  async function open(through: "proxy" | "direct", options: { log?: RecordingLog; times?: Partial<RedisTimes> } = {}) {
    const address = new URL(url);
    if (through === "proxy") {
      address.hostname = "127.0.0.1";
      address.port = String(proxy.port);
    }
    const node = await openNode({ url: address.href, keyPrefix, ...options, times: { ...times, ...options.times } });
    cleanUp.push(() => node.close());
    return node;
  }

  function hear(node: Backplane, topic: string): string[] {
    const heard: string[] = [];
    node.topics.subscribe(topic, (message) => heard.push(String(message)));
    return heard;
  }

  const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

  test("is told at once, once, and so is its return", async () => {
    const log = new RecordingLog();
    const node = await open("proxy", { log });
    expect(node.up).toBe(true);
    for (const round of [1, 2]) {
      proxy.cut();
      await until(() => !node.up);
      const calls = [
        () => node.ping(),
        () => node.records.read("x"),
        () => node.records.create("x", {}, 1_000),
        () => node.presence.list("s"),
        () => node.topics.nodes(),
        () => node.timers.set("k", "t", 0, ""),
        () => node.timers.cancel("k", "t"),
      ];
      for (const call of calls) {
        const started = performance.now();
        expect(await call().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
        expect(performance.now() - started).toBeLessThan(times.command);
      }
      // Several attempts to connect later.
      await Bun.sleep(700);
      proxy.restore();
      await until(() => node.up);
      await node.ping();
      expect(log.count("redis away")).toBe(round);
      expect(log.count("redis back")).toBe(round);
    }
    expect(log.of("error")).toEqual([]);
  });

  test("from the start is no error: everything begins when it comes", async () => {
    proxy.cut();
    const log = new RecordingLog();
    const node = await open("proxy", { log });
    expect(node.up).toBe(false);
    expect(log.count("redis away")).toBe(1);
    const heard = hear(node, "t");
    const other = await open("direct");
    // The node is open, so this is for it, although it has never met Redis.
    other.topics.publish("t", "early");
    node.topics.publish("t", "from the node");
    const otherHeard = hear(other, "t");
    await Bun.sleep(300);
    proxy.restore();
    await until(() => node.up && heard.length === 1 && otherHeard.length === 1);
    expect(heard).toEqual(["early"]);
    await until(async () => (await other.topics.nodes()).length === 2);
    await node.records.put("r", { a: "1" }, 60_000);
  });

  test("costs no message in either direction, and no order", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    const [cutHeard, otherHeard] = [hear(cut, "t"), hear(other, "t")];
    let count = 0;
    const talk = setInterval(() => {
      cut.topics.publish("t", `${count}`);
      other.topics.publish("t", `${count}`);
      count++;
    }, 1);
    for (let round = 0; round < 3; round++) {
      await Bun.sleep(150);
      proxy.cut();
      await Bun.sleep(400);
      proxy.restore();
      await until(() => cut.up);
    }
    clearInterval(talk);
    await until(() => cutHeard.length >= count && otherHeard.length >= count);
    expect(otherHeard).toEqual(numbers(count));
    expect(cutHeard).toEqual(numbers(count));
  });

  test("in the middle of a publication: it is sent again and arrives once", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    const heard = hear(other, "t");
    cut.topics.publish("t", "0");
    await until(() => heard.length === 1);
    // Redis takes the message, but its answer never comes.
    proxy.mute();
    cut.topics.publish("t", "1");
    await until(() => heard.length === 2);
    cut.topics.publish("t", "2");
    proxy.cut();
    await until(() => !cut.up);
    proxy.restore();
    await until(() => heard.length >= 3);
    cut.topics.publish("t", "3");
    await until(() => heard.length >= 4);
    expect(heard).toEqual(numbers(4));
  });

  test("for long fills a bounded queue: the newest survive, the loss is told", async () => {
    const log = new RecordingLog();
    const [cut, other] = [await open("proxy", { log }), await open("direct")];
    const heard = hear(other, "t");
    proxy.cut();
    await until(() => !cut.up);
    const filler = "x".repeat(100_000);
    for (let index = 0; index < 200; index++) cut.topics.publish("t", `${index} ${filler}`);
    cut.topics.publish("t", "y".repeat(9 * 1024 * 1024));
    proxy.restore();
    await until(() => heard.at(-1)?.startsWith("199 ") === true);
    const first = Number(heard[0]!.split(" ")[0]);
    expect(heard.map((message) => message.split(" ")[0]!)).toEqual(numbers(200).slice(first));
    expect(heard.length).toBeGreaterThan(70);
    expect(heard.length).toBeLessThan(84);
    expect(log.count("message to other nodes is too large")).toBe(1);
    const told = log.lines.find(({ message }) => message === "messages to other nodes were dropped");
    expect(told?.fields).toEqual({ messages: first });
  });

  test("without a word, as when a cable is cut, is noticed", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    const [cutHeard, otherHeard] = [hear(cut, "t"), hear(other, "t")];
    proxy.stall();
    expect(await cut.ping().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
    await until(() => !cut.up);
    cut.topics.publish("t", "1");
    other.topics.publish("t", "2");
    proxy.cut();
    proxy.restore();
    await until(() => cut.up && cutHeard.length > 0 && otherHeard.length > 0);
    expect(cutHeard).toEqual(["2"]);
    expect(otherHeard).toEqual(["1"]);
  });

  test("lets presence go on with what the node knows, and brings the store up to date", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    await cut.presence.join("s", "ann", "1");
    await cut.presence.join("s", "ann", "2");
    await cut.presence.join("s", "bob", "3");
    await other.presence.join("s", "ann", "4");
    proxy.cut();
    await until(() => !cut.up);
    expect(await cut.presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
    expect(await cut.presence.join("s", "ann", "2", { data: "new" })).toMatchObject({ admitted: true, count: 1 });
    expect(await cut.presence.leave("s", "bob", "3")).toEqual({ last: true, count: 0 });
    expect(await cut.presence.join("s", "cid", "5", { limit: 1 })).toEqual({ admitted: true, first: true, count: 1 });
    expect(await cut.presence.join("s", "cid", "6", { limit: 1 })).toMatchObject({ admitted: false, count: 1 });
    proxy.restore();
    const state = async () =>
      (await other.presence.list("s")).map(({ member, connection, data }) => `${member} ${connection} ${data}`).sort();
    const expected = ["ann 2 new", "ann 4 ", "cid 5 "];
    await until(async () => (await state()).join() === expected.join());
    expect(await state()).toEqual(expected);
  });

  test("before the answer to a join: the store ends up as the node says", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    await cut.presence.join("s", "ann", "1");
    proxy.mute();
    // Done in the store, but the node does not hear of it and answers for itself.
    const joined = cut.presence.join("s", "ann", "2", { limit: 5 });
    const left = cut.presence.leave("s", "ann", "1");
    await until(async () => (await other.presence.list("s")).map(({ connection }) => connection).join() === "2");
    proxy.cut();
    expect(await joined).toMatchObject({ admitted: true });
    expect(await left).toMatchObject({ count: 1 });
    proxy.restore();
    await until(() => cut.up);
    await Bun.sleep(3 * times.heartbeat);
    expect(await other.presence.list("s")).toEqual([{ member: "ann", connection: "2", node: cut.node, data: "" }]);
  });

  test("for one node alone: it is given up, and back it brings its connections along", async () => {
    const [cut, other] = [await open("proxy"), await open("direct")];
    const lost: string[] = [];
    const restored: string[] = [];
    other.presence.onLost((_set, { connection }, last) => lost.push(`${connection} ${last}`));
    cut.presence.onRestored((_set, { connection }, first) => restored.push(`${connection} ${first}`));
    cut.presence.onLost(() => lost.push("by the node itself"));
    await cut.presence.join("s", "ann", "1");
    await Bun.sleep(times.lease);
    proxy.cut();
    await until(() => lost.length > 0);
    expect(await other.presence.list("s")).toEqual([]);
    expect(await other.topics.nodes()).toEqual([other.node]);
    proxy.restore();
    await until(() => restored.length > 0);
    expect(await other.presence.list("s")).toHaveLength(1);
    await Bun.sleep(2 * times.lease);
    expect(lost).toEqual(["1 true"]);
    expect(restored).toEqual(["1 true"]);
  });

  test("for all nodes longer than their lease: none of them is given up for it", async () => {
    const nodes = [await open("proxy"), await open("proxy"), await open("proxy")];
    const lost: string[] = [];
    for (const [index, node] of nodes.entries()) {
      node.presence.onLost((_set, { connection }) => lost.push(connection));
      await node.presence.join("s", `${index}`, `${index}`);
    }
    // Everybody is sure of everybody by now.
    await Bun.sleep(times.lease + times.heartbeat);
    proxy.cut();
    await Bun.sleep(2 * times.lease);
    proxy.restore();
    await until(() => nodes.every((node) => node.up));
    await Bun.sleep(2 * times.lease);
    expect(lost).toEqual([]);
    expect(await nodes[0]!.presence.list("s")).toHaveLength(3);
  });

  test("tallies count on the node alone, instead of refusing or letting everything through", async () => {
    const node = await open("proxy");
    await node.tallies.count("c", 60_000, 5);
    proxy.cut();
    await until(() => !node.up);
    const bucket = { rate: 0.01, burst: 2 };
    const takes = [];
    for (let index = 0; index < 4; index++) takes.push((await node.tallies.take("b", bucket)).allowed);
    expect(takes).toEqual([true, true, false, false]);
    expect((await node.tallies.count("c", 60_000)).count).toBe(1);
    expect((await node.tallies.count("c", 60_000)).count).toBe(2);
    expect(await node.tallies.hold("h", "a", 1, 60_000)).toBe(true);
    expect(await node.tallies.hold("h", "b", 1, 60_000)).toBe(false);
    await node.tallies.release("h", "a");
    expect(await node.tallies.hold("h", "b", 1, 60_000)).toBe(true);
    proxy.restore();
    await until(() => node.up);
    expect((await node.tallies.count("c", 60_000)).count).toBe(6);
  });

  test("timers fire when it is back; what a handler did meanwhile counts", async () => {
    const node = await open("proxy");
    const fired: string[] = [];
    const gate = Promise.withResolvers<void>();
    node.timers.handle("k", async (id) => {
      fired.push(id);
      if (id === "running") await gate.promise;
    });
    await node.timers.set("k", "running", Date.now(), "");
    await until(() => fired.length === 1);
    await node.timers.set("k", "waiting", Date.now() + 1_000, "");
    proxy.cut();
    await until(() => !node.up);
    gate.resolve();
    await Bun.sleep(1_300);
    proxy.restore();
    await until(() => fired.length === 2);
    await Bun.sleep(300);
    expect(fired).toEqual(["running", "waiting"]);
    expect(await node.timers.cancel("k", "running")).toBe(false);
  });

  test("does not keep a node from closing", async () => {
    const node = await open("proxy");
    await node.presence.join("s", "ann", "1");
    node.topics.publish("t", "x");
    proxy.cut();
    await until(() => !node.up);
    node.topics.publish("t", "y");
    await node.close();
    expect(node.up).toBe(false);
    expect(await node.ping().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
  });

  test("what is published right before closing is still sent", async () => {
    const [closing, other] = [await open("direct"), await open("direct")];
    const heard = hear(other, "t");
    for (let index = 0; index < 1_000; index++) closing.topics.publish("t", `${index}`);
    await closing.close();
    await until(() => heard.length === 1_000);
    expect(heard).toEqual(numbers(1_000));
  });
});
