import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import { scripts } from "../../src/backplane/redis/scripts.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";

setDefaultTimeout(60_000);

const { available, url } = await testRedis();

describe.if(available)("what a stream keeps", () => {
  const redis = new Redis(url);
  const prefix = freshPrefix(url);
  const key = `${prefix.keyPrefix}stream`;
  afterAll(async () => {
    redis.disconnect();
    await prefix.remove();
  });

  const trim = (limits: { age: number; bytes: number }) =>
    redis.eval(scripts.streamTrim.lua, 1, key, limits.age, 60_000, limits.bytes);
  /** The clock of the server, in milliseconds. */
  const now = async () => {
    const [seconds, microseconds] = await redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  };
  const kept = async () => (await redis.xrange(key, "-", "+")).map(([id]) => id);

  test("its newest entries, in so many bytes and so much time", async () => {
    const start = await now();
    const ids = Array.from({ length: 200 }, (_, index) => `${start - 100_000 + index * 500}-0`);
    await Promise.all(ids.map((id) => redis.xadd(key, id, "node", Buffer.alloc(10_000, 0x78))));
    await trim({ age: 200_000, bytes: 10_000_000 });
    expect(await kept()).toEqual(ids);
    const before = await now();
    await trim({ age: 50_000, bytes: 10_000_000 });
    const after = await now();
    const young = await kept();
    const since = (moment: number) => ids.filter((id) => Number.parseInt(id, 10) >= moment);
    expect(young.length).toBeWithin(since(after - 50_000).length, since(before - 50_000).length + 1);
    expect(young).toEqual(ids.slice(-young.length));
    await trim({ age: 50_000, bytes: 300_000 });
    const few = await kept();
    // A little of the memory is no entry's.
    expect(few.length).toBeWithin(20, 31);
    expect(few).toEqual(ids.slice(-few.length));
    expect(await redis.pttl(key)).toBeWithin(1, 60_001);
  });
});
