import type { Clock } from "../../clock.ts";
import type { Tallies } from "../backplane.ts";
import { ExpiringMap } from "./expiring.ts";

/** Refilling adds fractions; a bucket that is short of a token by rounding alone must not refuse it. */
const rounding = 1e-6;

/** Tallies of this node alone. */
export class MemoryTallies implements Tallies {
  readonly #clock: Clock;
  readonly #buckets: ExpiringMap<{ tokens: number; at: number }>;
  readonly #counters: ExpiringMap<{ count: number }>;
  readonly #holds: ExpiringMap<Map<string, number>>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#buckets = new ExpiringMap(clock);
    this.#counters = new ExpiringMap(clock);
    this.#holds = new ExpiringMap(clock);
  }

  async take(
    key: string,
    { rate, burst }: { rate: number; burst: number },
    cost = 1,
  ): Promise<{ allowed: boolean; wait: number }> {
    const now = this.#clock.elapsed();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * rate);
    const allowed = tokens + rounding >= cost;
    const left = allowed ? Math.max(0, tokens - cost) : tokens;
    // A full bucket is as good as none, so it need not be kept any longer than it takes to fill.
    this.#buckets.set(key, { tokens: left, at: now }, now + ((burst - left) / rate) * 1000);
    if (allowed) return { allowed, wait: 0 };
    return { allowed, wait: cost > burst ? Infinity : Math.ceil(((cost - tokens) / rate) * 1000) };
  }

  async count(key: string, window: number, by = 1): Promise<{ count: number; left: number }> {
    const counter = this.#counters.get(key);
    if (counter !== undefined) {
      counter.count += by;
      return { count: counter.count, left: this.#counters.left(key) };
    }
    if (by === 0) return { count: 0, left: 0 };
    this.#counters.set(key, { count: by }, this.#clock.elapsed() + window);
    return { count: by, left: window };
  }

  async hold(key: string, item: string, limit: number, ttl: number): Promise<boolean> {
    const now = this.#clock.elapsed();
    const held = this.#holds.get(key) ?? new Map<string, number>();
    for (const [other, until] of held) if (until <= now) held.delete(other);
    if (!held.has(item) && held.size >= limit) return false;
    held.set(item, now + ttl);
    this.#holds.set(key, held, Math.max(...held.values()));
    return true;
  }

  async release(key: string, item: string): Promise<void> {
    const held = this.#holds.get(key);
    held?.delete(item);
    if (held?.size === 0) this.#holds.delete(key);
  }
}
