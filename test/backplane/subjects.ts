import { randomBytes } from "node:crypto";
import type { Backplane } from "../../src/backplane/backplane.ts";
import { openBackplane } from "../../src/backplane/open.ts";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { RedisBackplane } from "../../src/backplane/redis.ts";
import { systemClock } from "../../src/clock.ts";
import { ManualClock } from "../support/clock.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";
import { RecordingLog } from "./recording-log.ts";

/** One backplane under test, alone on its store. */
export interface Subject {
  readonly backplane: Backplane;
  readonly log: RecordingLog;
  /** Lets time pass: the clock's where there is one to move, real time where the store counts it. */
  pass(milliseconds: number): Promise<void>;
  now(): number;
  close(): Promise<void>;
}

async function memory(): Promise<Subject> {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const backplane = await openBackplane({ keyPrefix: "" }, { clock, log });
  return {
    backplane,
    log,
    async pass(milliseconds) {
      clock.advance(milliseconds);
      // What falls due runs in promises.
      await Bun.sleep(0);
    },
    now: () => clock.now(),
    close: () => backplane.close(),
  };
}

async function redis(): Promise<Subject> {
  const { url } = await testRedis();
  const prefix = freshPrefix(url);
  const log = new RecordingLog();
  const backplane = await openNode({ url, keyPrefix: prefix.keyPrefix, log });
  return {
    backplane,
    log,
    pass: (milliseconds) => Bun.sleep(milliseconds + 20),
    now: () => Date.now(),
    async close() {
      await backplane.close();
      await prefix.remove();
    },
  };
}

/** The implementations that can be tested here. */
export const subjects: readonly (readonly [name: string, open: () => Promise<Subject>])[] = [
  ["memory", memory],
  ...((await testRedis()).available ? [["redis", redis] as const] : []),
];

/** Opens one node of several. Its lease is short, so that a test sees it end. */
export function openNode(options: {
  url: string;
  keyPrefix: string;
  log?: RecordingLog;
  times?: Partial<RedisTimes>;
}): Promise<RedisBackplane> {
  const { url, keyPrefix, log = new RecordingLog(), times } = options;
  const node = randomBytes(8).toString("base64url");
  return RedisBackplane.open(node, { url, keyPrefix, clock: systemClock, log, times: { retry: 50, ...times } });
}
