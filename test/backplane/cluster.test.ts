import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import type { Backplane } from "../../src/backplane/backplane.ts";
import { type RedisServer, startRedisServer } from "../support/redis.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(120_000);

const slots = [
  [0, 5_460],
  [5_461, 10_922],
  [10_923, 16_383],
] as const;

/** Three servers that are to share the slots. */
async function startServers(): Promise<RedisServer[] | null> {
  const servers: RedisServer[] = [];
  for (const _ of slots) {
    const server = await startRedisServer(["--cluster-enabled", "yes"]);
    if (server === null) return null;
    servers.push(server);
  }
  return servers;
}

/** Makes them the masters of one cluster. */
async function formCluster(servers: readonly RedisServer[]): Promise<void> {
  const clients = servers.map((server) => new Redis(server.url));
  for (const [index, client] of clients.entries()) {
    await client.call("CLUSTER", "ADDSLOTSRANGE", ...slots[index]!.map(String));
    await client.cluster("MEET", "127.0.0.1", servers[0]!.port);
  }
  for (const client of clients) {
    await until(async () => {
      const info = await client.cluster("INFO");
      return info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3");
    });
    client.disconnect();
  }
}

const servers = await startServers();

describe.if(servers !== null)("on a Redis cluster", () => {
  let nodes: Backplane[];

  beforeAll(async () => {
    await formCluster(servers!);
    const hosts = servers!.map(({ port }) => `127.0.0.1:${port}`).join();
    const options = {
      url: `redis+cluster://${hosts}`,
      keyPrefix: "patchbay:",
      times: { lease: 1_500, heartbeat: 300 },
    };
    nodes = await Promise.all([openNode(options), openNode(options)]);
  });

  afterAll(async () => {
    for (const node of nodes ?? []) await node.close();
    for (const server of servers ?? []) await server.close();
  });

  test("messages of every topic arrive in order", async () => {
    const [a, b] = nodes as [Backplane, Backplane];
    expect([a.up, b.up]).toEqual([true, true]);
    const heard = new Map<string, string[]>();
    const topics = Array.from({ length: 20 }, (_, index) => `topic ${index}`);
    for (const topic of topics) {
      heard.set(topic, []);
      b.topics.subscribe(topic, (message) => heard.get(topic)!.push(String(message)));
    }
    for (let index = 0; index < 2_000; index++) a.topics.publish(topics[index % 20]!, `${Math.floor(index / 20)}`);
    await until(() => [...heard.values()].every((messages) => messages.length === 100));
    const expected = Array.from({ length: 100 }, (_, index) => `${index}`);
    for (const messages of heard.values()) expect(messages).toEqual(expected);
    // Spread over several servers, or the partitions would be for nothing.
    const lengths = await Promise.all(
      servers!.map(async ({ url }) => {
        const client = new Redis(url);
        const keys = await client.keys("patchbay:topics:*");
        client.disconnect();
        return keys.length;
      }),
    );
    expect(lengths.filter((length) => length > 0).length).toBeGreaterThan(1);
  });

  test("records, tallies, presence and timers work, whatever slot their keys are in", async () => {
    const [a, b] = nodes as [Backplane, Backplane];
    for (let index = 0; index < 50; index++) {
      const key = `key ${index}`;
      expect(await a.records.create(key, { a: "1" }, 60_000)).toBe(true);
      expect(await b.records.update(key, { a: "2" }, { a: "1" })).toBe(true);
      expect(await a.records.take(key)).toEqual({ a: "2" });
      expect((await a.tallies.take(key, { rate: 1, burst: 1 })).allowed).toBe(true);
      expect((await b.tallies.take(key, { rate: 0.01, burst: 1 })).allowed).toBe(false);
      expect((await a.tallies.count(key, 60_000)).count).toBe(1);
      expect(await b.tallies.hold(key, "x", 1, 60_000)).toBe(true);
      expect((await a.presence.join(key, "ann", "1")).first).toBe(true);
      expect((await b.presence.join(key, "ann", "2")).count).toBe(2);
      expect(await a.presence.list(key)).toHaveLength(2);
    }
    const fired = new Set<string>();
    for (const node of nodes) {
      for (const kind of ["one", "two", "three"]) node.timers.handle(kind, async (id) => void fired.add(kind + id));
    }
    for (const kind of ["one", "two", "three"]) await a.timers.set(kind, "t", Date.now(), "");
    await until(() => fired.size === 3);
  });

  test("a node that closes is announced by another", async () => {
    const [a, b] = nodes as [Backplane, Backplane];
    let lost = 0;
    a.presence.onLost(() => void lost++);
    await b.close();
    await until(() => lost === 50);
    expect(await a.presence.list("key 7")).toHaveLength(1);
    expect(await a.topics.nodes()).toEqual([a.node]);
  });

  test("a server that goes and comes back takes nothing down with it", async () => {
    const [a] = nodes as [Backplane];
    await servers![1]!.kill();
    await servers![1]!.start();
    await until(async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 30 }, (_, index) => a.records.put(`after ${index}`, { x: "1" }, 60_000)),
      );
      return results.every(({ status }) => status === "fulfilled");
    });
    await a.ping();
    expect(a.up).toBe(true);
  });
});
