import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { ProtocolMetrics } from "../observe/metrics.ts";
import type { Backplane } from "./backplane.ts";
import { Connection } from "./redis/connection.ts";
import { Lease } from "./redis/lease.ts";
import { RedisPresence } from "./redis/presence.ts";
import { PresenceStore } from "./redis/presence-store.ts";
import { RedisRecords } from "./redis/records.ts";
import { RedisTallies } from "./redis/tallies.ts";
import { RedisTimers } from "./redis/timers.ts";
import { defaultTimes, type RedisTimes } from "./redis/times.ts";
import { RedisTopics } from "./redis/topics.ts";
import { parseRedisUrl } from "./redis/url.ts";

export interface RedisOptions {
  readonly url: string;
  /** In front of every key. Nodes with the same prefix on the same Redis are one installation. */
  readonly keyPrefix: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProtocolMetrics;
  readonly times?: Partial<RedisTimes>;
}

/**
 * The backplane of any number of nodes on one Redis (6.2 or later): a server, a master found by sentinels, or a cluster.
 * It must not evict keys (`maxmemory-policy noeviction`): what it drops would be missing everywhere at once.
 */
export class RedisBackplane implements Backplane {
  readonly node: string;
  readonly topics: RedisTopics;
  readonly records: RedisRecords;
  readonly presence: RedisPresence;
  readonly tallies: RedisTallies;
  readonly timers: RedisTimers;
  readonly #connection: Connection;
  readonly #lease: Lease;
  readonly #times: RedisTimes;

  private constructor(node: string, options: RedisOptions, times: RedisTimes) {
    const { url, keyPrefix, clock, metrics } = options;
    const log = options.log.child({ node });
    const connection = new Connection(parseRedisUrl(url), { times, log });
    const presenceBase = `${keyPrefix}{presence}:`;
    const lease = new Lease(connection, { node, base: presenceBase, times, log });
    const store = new PresenceStore(connection, { node, base: presenceBase, lease: times.lease });
    this.node = node;
    this.#connection = connection;
    this.#lease = lease;
    this.#times = times;
    this.topics = new RedisTopics(connection, { node, keyPrefix, times, lease, log, metrics });
    this.records = new RedisRecords(connection, { keyPrefix });
    this.presence = new RedisPresence(connection, { node, store, lease, log });
    this.tallies = new RedisTallies(connection, { keyPrefix, clock });
    this.timers = new RedisTimers(connection, { node, keyPrefix, times, clock, log });
  }

  /**
   * Connects, takes the lease and starts to follow the topics: whatever another node publishes after this resolved will
   * be received. When Redis does not answer soon, it resolves all the same, and all of that happens once Redis does.
   *
   * @throws {BadRedisUrl}
   */
  static async open(node: string, options: RedisOptions): Promise<RedisBackplane> {
    const times = { ...defaultTimes, ...options.times };
    const backplane = new RedisBackplane(node, options, times);
    backplane.#lease.start();
    const opened = Promise.all([backplane.#connection.opened(), backplane.topics.ready()]);
    await Promise.race([opened.then(() => backplane.#lease.beat()), sleep(times.open, undefined, { ref: false })]);
    return backplane;
  }

  get up(): boolean {
    return this.#connection.up;
  }

  async ping(): Promise<void> {
    await this.#connection.run((client) => client.ping());
  }

  async close(): Promise<void> {
    // Where it does not get that far, the others find out by the lease.
    await Promise.race([this.#sayGoodBye(), sleep(this.#times.close, undefined, { ref: false })]);
    this.#connection.close();
  }

  async #sayGoodBye(): Promise<void> {
    await this.timers.close();
    await this.topics.close();
    await this.#lease.close();
    await this.presence.close();
  }
}
