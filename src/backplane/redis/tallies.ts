import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import { BackplaneUnavailable, type Tallies } from "../backplane.ts";
import { MemoryTallies } from "../memory/tallies.ts";
import type { Connection } from "./connection.ts";
import { scripts } from "./scripts.ts";

const Pair = v.tuple([v.number(), v.number()]);

/**
 * Tallies of all nodes together, by the clock of the store. While it is away each node counts for itself, from nothing;
 * when it is back its own counts go on where they stood.
 */
export class RedisTallies implements Tallies {
  readonly #connection: Connection;
  readonly #prefix: string;
  readonly #alone: MemoryTallies;

  constructor(connection: Connection, { keyPrefix, clock }: { keyPrefix: string; clock: Clock }) {
    this.#connection = connection;
    this.#prefix = `${keyPrefix}tally:`;
    this.#alone = new MemoryTallies(clock);
  }

  take(key: string, bucket: { rate: number; burst: number }, cost = 1): Promise<{ allowed: boolean; wait: number }> {
    return this.#count(
      async () => {
        if (cost > bucket.burst) return { allowed: false, wait: Infinity };
        const answer = await this.#eval(scripts.tallyTake, `bucket:${key}`, [bucket.rate, bucket.burst, cost]);
        const [allowed, wait] = v.parse(Pair, answer);
        return { allowed: allowed === 1, wait };
      },
      () => this.#alone.take(key, bucket, cost),
    );
  }

  count(key: string, window: number, by = 1): Promise<{ count: number; left: number }> {
    return this.#count(
      async () => {
        const [count, left] = v.parse(
          Pair,
          await this.#eval(scripts.tallyCount, `count:${key}`, [Math.ceil(window), by]),
        );
        return { count, left };
      },
      () => this.#alone.count(key, window, by),
    );
  }

  hold(key: string, item: string, limit: number, ttl: number): Promise<boolean> {
    return this.#count(
      async () => (await this.#eval(scripts.tallyHold, `hold:${key}`, [item, limit, Math.ceil(ttl)])) === 1,
      () => this.#alone.hold(key, item, limit, ttl),
    );
  }

  /** A place that is given back while the store is away stays taken there until its time is over. */
  async release(key: string, item: string): Promise<void> {
    await this.#alone.release(key, item);
    await this.#count(
      async () => void (await this.#connection.run((client) => client.zrem(`${this.#prefix}hold:${key}`, item))),
      async () => {},
    );
  }

  #eval(script: (typeof scripts)[keyof typeof scripts], key: string, args: readonly (string | number)[]) {
    return this.#connection.eval(script, [this.#prefix + key], args);
  }

  async #count<T>(together: () => Promise<T>, alone: () => Promise<T>): Promise<T> {
    try {
      return await together();
    } catch (error) {
      if (error instanceof BackplaneUnavailable) return alone();
      throw error;
    }
  }
}
