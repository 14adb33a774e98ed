import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { ProtocolMetrics } from "../observe/metrics.ts";
import type { Backplane } from "./backplane.ts";
import { MemoryBackplane } from "./memory.ts";
import { RedisBackplane } from "./redis.ts";

/**
 * Opens the backplane: on Redis with a `redisUrl`, in memory without. Redis being away is no error: the backplane then
 * opens with `up` false and recovers by itself.
 *
 * @throws {BadRedisUrl} when the URL cannot be understood
 */
export async function openBackplane(
  settings: { redisUrl?: string | undefined; keyPrefix: string },
  deps: { clock: Clock; log: Log; metrics: ProtocolMetrics },
): Promise<Backplane> {
  // 64 random bits: two runs that share a name would skip each other's messages as their own.
  const node = randomBytes(8).toString("base64url");
  if (settings.redisUrl === undefined) return new MemoryBackplane(node, deps);
  return RedisBackplane.open(node, { url: settings.redisUrl, keyPrefix: settings.keyPrefix, ...deps });
}
