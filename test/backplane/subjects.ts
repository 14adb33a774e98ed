import { randomBytes } from "node:crypto";
import type { Backplane } from "../../src/backplane/backplane.ts";
import { openBackplane } from "../../src/backplane/open.ts";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { RedisBackplane } from "../../src/backplane/redis.ts";
import { retryPause } from "../../src/backplane/timer-handlers.ts";
import { systemClock } from "../../src/clock.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { ManualClock } from "../support/clock.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";
import { RecordingLog } from "./recording-log.ts";

// For tests over all of them: long enough for the slowest machine where something must still be there, short where its
// end is waited for.
export const long = 60_000;
export const short = 60;

const shortRetry = 50;

/** Where a test is not about waiting, a machine that stands still for seconds must not change what comes of it. */
const patient: Partial<RedisTimes> = { retry: shortRetry, lease: 60_000, command: 20_000, open: 60_000, close: 20_000 };

/** What all backplanes of a test file count together. */
export const metrics = createMetrics();

/** One backplane under test, alone on its store. */
export interface Subject {
  readonly backplane: Backplane;
  readonly log: RecordingLog;
  /** Lets time pass: the clock's where there is one to move, real time where the store counts it. */
  pass(milliseconds: number): Promise<void>;
  now(): number;
  /** Milliseconds from a timer handler's failure to the next try. */
  readonly retry: number;
  close(): Promise<void>;
}

async function memory(): Promise<Subject> {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const backplane = await openBackplane({ keyPrefix: "" }, { clock, log, metrics: metrics.gateway });
  return {
    backplane,
    log,
    async pass(milliseconds) {
      clock.advance(milliseconds);
      // What falls due runs in promises.
      await Bun.sleep(0);
    },
    now: () => clock.now(),
    retry: retryPause,
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
    retry: shortRetry,
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

/** Opens one node of several, which waits long for everything but what `times` says. */
export function openNode(options: {
  url: string;
  keyPrefix: string;
  log?: RecordingLog;
  times?: Partial<RedisTimes>;
}): Promise<RedisBackplane> {
  const { url, keyPrefix, log = new RecordingLog(), times } = options;
  const node = randomBytes(8).toString("base64url");
  const deps = { clock: systemClock, log, metrics: metrics.gateway };
  return RedisBackplane.open(node, { url, keyPrefix, ...deps, times: { ...patient, ...times } });
}
