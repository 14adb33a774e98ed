import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Backplane } from "../../src/backplane/backplane.ts";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

const { available, url } = await testRedis();

describe.if(available)("several nodes on one Redis", () => {
  const cleanUp: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  });

  /** Opens so many nodes of one installation. */
  async function open(count: number, times: Partial<RedisTimes> = {}): Promise<Backplane[]> {
    const prefix = freshPrefix(url);
    cleanUp.push(prefix.remove);
    const nodes = await Promise.all(
      Array.from({ length: count }, () => openNode({ url, keyPrefix: prefix.keyPrefix, times })),
    );
    cleanUp.push(...nodes.map((node) => () => node.close()));
    return nodes;
  }

  /** Collects what a node hears on a topic. */
  function hear(node: Backplane, topic: string): (string | Uint8Array)[] {
    const heard: (string | Uint8Array)[] = [];
    node.topics.subscribe(topic, (message) => heard.push(message));
    return heard;
  }

  test("a message reaches every other node that listens, as it was sent and with its sender", async () => {
    const [a, b, c] = await open(3);
    const text = 'ü "\0\r\n\u{1f600}';
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const [ownHeard, bHeard, cHeard, otherHeard] = [hear(a!, text), hear(b!, text), hear(c!, text), hear(c!, "other")];
    const senders = new Set<string>();
    b!.topics.subscribe(text, (_message, from) => senders.add(from));
    for (const message of [text, bytes, "", new Uint8Array()]) a!.topics.publish(text, message);
    await until(() => bHeard.length === 4 && cHeard.length === 4);
    expect(bHeard).toEqual([text, bytes, "", new Uint8Array()]);
    expect(cHeard).toEqual(bHeard);
    expect(bHeard[1]).toBeInstanceOf(Uint8Array);
    expect([...senders]).toEqual([a!.node]);
    expect(ownHeard).toEqual([]);
    expect(otherHeard).toEqual([]);
  });

  test("send reaches one node, in order with what is published", async () => {
    const [a, b, c] = await open(3);
    const [bHeard, cHeard] = [hear(b!, "t"), hear(c!, "t")];
    for (let index = 0; index < 100; index++) {
      if (index % 2 === 0) a!.topics.publish("t", `${index}`);
      else a!.topics.send(b!.node, "t", `${index}`);
    }
    await until(() => bHeard.length === 100 && cHeard.length === 50);
    expect(bHeard).toEqual(Array.from({ length: 100 }, (_, index) => `${index}`));
    expect(cHeard).toEqual(Array.from({ length: 50 }, (_, index) => `${index * 2}`));
  });

  test("everything published after a node has opened reaches it", async () => {
    const [a] = await open(1);
    const prefix = freshPrefix(url);
    cleanUp.push(prefix.remove);
    const talker = await openNode({ url, keyPrefix: prefix.keyPrefix });
    cleanUp.push(() => talker.close());
    let count = 0;
    const talk = setInterval(() => talker.topics.publish("t", `${count++}`), 1);
    cleanUp.push(async () => clearInterval(talk));
    const listener = await openNode({ url, keyPrefix: prefix.keyPrefix });
    cleanUp.push(() => listener.close());
    const from = count;
    const heard = hear(listener, "t");
    await until(() => heard.length > 20);
    expect(Number(heard[0])).toBeLessThanOrEqual(from);
    const first = Number(heard[0]);
    expect(heard.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, index) => `${first + index}`));
    expect(a!.up).toBe(true);
  });

  test("a flood in both directions arrives whole and in order, large messages among it", async () => {
    const [a, b] = await open(2);
    const [aHeard, bHeard] = [hear(a!, "flood"), hear(b!, "flood")];
    const large = "x".repeat(1_000_000);
    const count = 20_000;
    for (let index = 0; index < count; index++) {
      a!.topics.publish("flood", index === 777 ? large : `${index}`);
      b!.topics.publish("flood", `${index}`);
      if (index % 1_000 === 0) await Bun.sleep(0);
    }
    await until(() => aHeard.length >= count && bHeard.length >= count);
    const expected = Array.from({ length: count }, (_, index) => `${index}`);
    expect(aHeard.every((message, index) => message === expected[index])).toBe(true);
    expect(bHeard.every((message, index) => message === (index === 777 ? large : expected[index]))).toBe(true);
  });

  test("nodes knows who is there, and a node that closes is gone at once", async () => {
    const [a, b, c] = await open(3);
    const everybody = [a!.node, b!.node, c!.node].sort();
    expect((await a!.topics.nodes()).sort()).toEqual(everybody);
    await c!.close();
    expect((await a!.topics.nodes()).sort()).toEqual([a!.node, b!.node].sort());
  });

  test("presence counts over all nodes, its limit too", async () => {
    const [a, b] = await open(2);
    expect((await a!.presence.join("s", "ann", "1")).first).toBe(true);
    expect(await b!.presence.join("s", "ann", "2", { data: "x" })).toEqual({ admitted: true, first: false, count: 2 });
    expect((await b!.presence.join("s", "ann", "3", { limit: 2 })).admitted).toBe(false);
    expect(await a!.presence.list("s", "ann")).toEqual([
      { member: "ann", connection: "1", node: a!.node, data: "" },
      { member: "ann", connection: "2", node: b!.node, data: "x" },
    ]);
    expect(await a!.presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
    expect(await b!.presence.leave("s", "ann", "2")).toEqual({ last: true, count: 0 });
    const joins = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        [a!, b!][index % 2]!.presence.join("l", "bob", `${index}`, { limit: 5 }),
      ),
    );
    expect(joins.filter(({ admitted }) => admitted)).toHaveLength(5);
  });

  test("a connection that moved to another node stays, whatever its old node does", async () => {
    const [a, b] = await open(2);
    await a!.presence.join("s", "ann", "1");
    expect(await b!.presence.join("s", "ann", "1")).toEqual({ admitted: true, first: false, count: 1 });
    expect(await a!.presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
    await a!.close();
    expect(await b!.presence.list("s")).toEqual([{ member: "ann", connection: "1", node: b!.node, data: "" }]);
  });

  test("a node that closes is out of every set at once, and one other announces what was left", async () => {
    const [a, b, c] = await open(3, { lease: 1_500, heartbeat: 300 });
    const lost: string[] = [];
    for (const node of [a!, b!]) {
      node.presence.onLost((set, { member, connection }, last) => lost.push(`${set} ${member} ${connection} ${last}`));
    }
    c!.presence.onLost(() => lost.push("announced by the node itself"));
    await a!.presence.join("s", "ann", "1");
    await c!.presence.join("s", "ann", "2");
    await c!.presence.join("s", "bob", "3");
    await c!.presence.join("t", "bob", "3");
    await c!.presence.join("t", "gone", "4");
    await c!.presence.leave("t", "gone", "4");
    await c!.close();
    expect(await a!.presence.list("s")).toEqual([{ member: "ann", connection: "1", node: a!.node, data: "" }]);
    expect(await a!.presence.list("t")).toEqual([]);
    // At the next renewal of either, which is sure of it only after its first lease time.
    await until(() => lost.length >= 3);
    await Bun.sleep(50);
    expect(lost.sort()).toEqual(["s ann 2 false", "s bob 3 true", "t bob 3 true"]);
  });

  test("records and tallies are shared", async () => {
    const [a, b] = await open(2);
    expect(await a!.records.create("r", { by: "a" }, 60_000)).toBe(true);
    expect(await b!.records.create("r", { by: "b" }, 60_000)).toBe(false);
    expect(await b!.records.take("r")).toEqual({ by: "a" });
    expect(await a!.records.read("r")).toBeNull();
    const bucket = { rate: 0.01, burst: 10 };
    const takes = await Promise.all(
      Array.from({ length: 40 }, (_, index) => [a!, b!][index % 2]!.tallies.take("t", bucket)),
    );
    expect(takes.filter(({ allowed }) => allowed)).toHaveLength(10);
    await a!.tallies.count("c", 60_000, 2);
    expect((await b!.tallies.count("c", 60_000, 3)).count).toBe(5);
    expect(await a!.tallies.hold("h", "x", 1, 60_000)).toBe(true);
    expect(await b!.tallies.hold("h", "y", 1, 60_000)).toBe(false);
    await a!.tallies.release("h", "x");
    expect(await b!.tallies.hold("h", "y", 1, 60_000)).toBe(true);
  });

  test("each timer fires on one node, and only on nodes with a handler", async () => {
    const [a, b, c] = await open(3);
    const fired: string[] = [];
    const by = new Set<string>();
    const { promise: both, resolve: bothFire } = Promise.withResolvers<void>();
    for (const node of [a!, b!]) {
      node.timers.handle("k", async (id) => {
        fired.push(id);
        by.add(node.node);
        // Neither may be so quick that nothing is left for the other.
        if (by.size === 2) bothFire();
        await both;
      });
    }
    c!.timers.handle("another kind", async () => void fired.push("wrong kind"));
    const at = Date.now() + 50;
    await Promise.all(Array.from({ length: 200 }, (_, index) => c!.timers.set("k", `${index}`, at, "")));
    await until(() => fired.length >= 200);
    await Bun.sleep(100);
    expect(fired).toHaveLength(200);
    expect(new Set(fired).size).toBe(200);
  });

  test("an installation sees nothing of another one", async () => {
    const [[a], [b]] = [await open(1), await open(1)];
    const heard = hear(b!, "t");
    a!.topics.publish("t", "x");
    a!.topics.send(b!.node, "t", "x");
    await a!.presence.join("s", "ann", "1");
    await a!.records.put("r", { x: "1" }, 60_000);
    expect(await b!.topics.nodes()).toEqual([b!.node]);
    expect(await b!.presence.list("s")).toEqual([]);
    expect(await b!.records.read("r")).toBeNull();
    await Bun.sleep(50);
    expect(heard).toEqual([]);
  });
});
