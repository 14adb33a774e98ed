import { describe, expect, test } from "bun:test";
import { openBackplane } from "../../src/backplane/open.ts";
import { BadRedisUrl, parseRedisUrl } from "../../src/backplane/redis/url.ts";
import { systemClock } from "../../src/clock.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { RecordingLog } from "./recording-log.ts";

const standalone = { kind: "standalone", master: "", tls: false, db: 0 } as const;

describe("Redis URL", () => {
  test.each([
    ["redis://localhost", { ...standalone, hosts: [{ host: "localhost", port: 6379 }] }],
    ["redis://10.0.0.1:7000/5", { ...standalone, hosts: [{ host: "10.0.0.1", port: 7000 }], db: 5 }],
    ["redis://cache/", { ...standalone, hosts: [{ host: "cache", port: 6379 }] }],
    [" REDISS://cache:6380 ", { ...standalone, hosts: [{ host: "cache", port: 6380 }], tls: true }],
    ["redis://[::1]:6380", { ...standalone, hosts: [{ host: "::1", port: 6380 }] }],
    ["redis://:pass@cache", { ...standalone, hosts: [{ host: "cache", port: 6379 }], password: "pass" }],
    [
      "redis://user:p%40ss%2F%25@cache",
      { ...standalone, hosts: [{ host: "cache", port: 6379 }], username: "user", password: "p@ss/%" },
    ],
    [
      "redis://user:p@ss:word@cache",
      { ...standalone, hosts: [{ host: "cache", port: 6379 }], username: "user", password: "p@ss:word" },
    ],
    [
      "redis+sentinel://user:pass@one,two:26380/mymaster/3?sentinelPassword=s%20s",
      {
        kind: "sentinel",
        hosts: [
          { host: "one", port: 26379 },
          { host: "two", port: 26380 },
        ],
        master: "mymaster",
        tls: false,
        username: "user",
        password: "pass",
        sentinelPassword: "s s",
        db: 3,
      },
    ],
    [
      "rediss+cluster://:pass@one:7000,two:7001",
      {
        kind: "cluster",
        hosts: [
          { host: "one", port: 7000 },
          { host: "two", port: 7001 },
        ],
        master: "",
        tls: true,
        password: "pass",
        db: 0,
      },
    ],
  ] as const)("%s is understood", (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address as ReturnType<typeof parseRedisUrl>);
  });

  test.each([
    ["", /expected a Redis URL/],
    ["localhost:6379", /expected a Redis URL/],
    ["http://localhost:6379", /expected a Redis URL/],
    ["redis+other://localhost", /expected a Redis URL/],
    ["redis://", /no usable host/],
    ["redis://:6379", /no usable host/],
    ["redis://host:0", /no usable host/],
    ["redis://host:65536", /no usable host/],
    ["redis://ho st", /no usable host/],
    ["redis://::1", /no usable host/],
    ["redis://one,two", /redis\+sentinel/],
    ["redis://host/name", /not a number/],
    ["redis://host/1/2", /not a number/],
    ["redis://host/-1", /not a number/],
    ["redis://host?tls=true", /not known/],
    ["redis://user@host", /without a password/],
    ["redis://user:100%@host", /%25/],
    ["redis+sentinel://one:26379", /names its master/],
    ["redis+sentinel://one/master/x", /not a number/],
    ["redis+cluster://one:7000/1", /only database 0/],
  ] as const)("%p is refused with a reason", (url, reason) => {
    expect(() => parseRedisUrl(url)).toThrow(BadRedisUrl);
    expect(() => parseRedisUrl(url)).toThrow(reason);
  });

  test("a refusal never repeats the password", () => {
    for (const url of ["redis://user:hunter2@ho st", "nonsense://user:hunter2@host", "redis://u:hunter2@host/x"]) {
      try {
        parseRedisUrl(url);
        throw new Error("accepted");
      } catch (error) {
        expect(String(error)).not.toContain("hunter2");
        expect(error).toBeInstanceOf(BadRedisUrl);
      }
    }
  });

  test("a bad one keeps the backplane from opening", async () => {
    const deps = { clock: systemClock, log: new RecordingLog(), metrics: createMetrics().gateway };
    const opened = openBackplane({ redisUrl: "http://localhost", keyPrefix: "" }, deps);
    expect(await opened.catch((error: unknown) => error)).toBeInstanceOf(BadRedisUrl);
  });
});
