import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RedisServer, startRedisServer } from "../support/redis.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

// A sentinel that was itself held up does nothing for half a minute.
setDefaultTimeout(240_000);

// Every login there is: a named user at the servers, a password at the sentinel.
const acl = [..."--user app on >s3cret ~* &* +@all".split(" "), ..."--user default off".split(" ")];
const replication = ["--masteruser", "app", "--masterauth", "s3cret"];
const servers: RedisServer[] = [];
const directories: string[] = [];

/** A master, a replica and a sentinel that watches them. Returns the sentinel's port. */
async function startSentinel(): Promise<number | null> {
  const master = await startRedisServer([...acl, ...replication]);
  if (master === null) return null;
  servers.push(master);
  const replica = await startRedisServer([...acl, ...replication, "--replicaof", "127.0.0.1", `${master.port}`]);
  servers.push(replica!);
  const directory = await mkdtemp(join(tmpdir(), "patchbay-sentinel-"));
  directories.push(directory);
  const config = join(directory, "sentinel.conf");
  await Bun.write(
    config,
    [
      `sentinel monitor main 127.0.0.1 ${master.port} 1`,
      // Until the test ends it, the master may be slow and stays the master.
      "sentinel down-after-milliseconds main 600000",
      "sentinel failover-timeout main 5000",
      "sentinel auth-user main app",
      "sentinel auth-pass main s3cret",
      "requirepass watch",
    ].join("\n"),
  );
  const sentinel = await startRedisServer([], { config });
  servers.push(sentinel!);
  const client = new Redis({ port: sentinel!.port, password: "watch" });
  await until(async () => String(await client.call("SENTINEL", "MASTER", "main")).includes("num-slaves,1"));
  client.disconnect();
  return sentinel!.port;
}

const port = await startSentinel();

describe.if(port !== null)("behind a sentinel", () => {
  afterAll(async () => {
    for (const server of servers) await server.close();
    for (const directory of directories) await rm(directory, { recursive: true, force: true });
  });

  test("the master is found, and the new one after it has failed", async () => {
    const options = {
      url: `redis+sentinel://app:s3cret@127.0.0.1:${port}/main?sentinelPassword=watch`,
      keyPrefix: "patchbay:",
      times: { heartbeat: 300 },
    };
    const [a, b] = await Promise.all([openNode(options), openNode(options)]);
    expect([a.up, b.up]).toEqual([true, true]);
    const heard: string[] = [];
    b.topics.subscribe("t", (message) => heard.push(String(message)));
    await a.presence.join("s", "ann", "1");
    a.topics.publish("t", "before");
    await until(() => heard.length === 1);

    const sentinel = new Redis({ port: port!, password: "watch" });
    await sentinel.call("SENTINEL", "SET", "main", "down-after-milliseconds", "800");
    sentinel.disconnect();
    await servers[0]!.kill();
    await until(() => !a.up && !b.up);
    a.topics.publish("t", "while away");
    await until(() => a.up && b.up && heard.length === 2);
    a.topics.publish("t", "after");
    await until(() => heard.length === 3);
    expect(heard).toEqual(["before", "while away", "after"]);
    await until(async () => (await b.presence.list("s")).length === 1);
    await b.records.put("r", { x: "1" }, 60_000);
    await Promise.all([a.close(), b.close()]);
  });
});
