import { Cluster, type CommonRedisOptions, Redis, type RedisOptions } from "ioredis";
import type { RedisTimes } from "./times.ts";
import type { RedisAddress } from "./url.ts";

/** An ioredis client of either kind; the commands are the same. */
export type Client = Redis | Cluster;

/**
 * Makes a client that reconnects for ever and fails commands at once while it is not connected. With `blocking` it is
 * meant for reads that block: their answers may take that much longer.
 */
export function createClient(address: RedisAddress, times: RedisTimes, blocking: boolean): Client {
  const retry = (attempt: number) => backoff(attempt, times.reconnect);
  const common: CommonRedisOptions = {
    connectionName: blocking ? "patchbay-reader" : "patchbay",
    disableClientInfo: true,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(blocking ? {} : { commandTimeout: times.command }),
    connectTimeout: times.command,
    // The only thing that notices a peer which is gone without a word: no byte although an answer is due.
    socketTimeout: blocking ? times.block + times.command : times.command * 1.5,
    // What was under way when the connection broke may have happened or not; the caller decides, not the client.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // The answer of a master that has become a replica: find the new one.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  };
  const tls = address.tls ? { tls: {} } : {};
  if (address.kind === "cluster") {
    return new Cluster([...address.hosts], {
      clusterRetryStrategy: retry,
      enableOfflineQueue: false,
      retryDelayOnFailover: 0,
      slotsRefreshTimeout: times.command,
      redisOptions: { ...common, ...tls },
      // Certificates name hosts, so an address that was looked up would never match.
      ...(address.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
    });
  }
  const options: RedisOptions = { ...common, ...tls, db: address.db, enableOfflineQueue: false, retryStrategy: retry };
  if (address.kind === "standalone") return new Redis({ ...options, ...address.hosts[0]! });
  return new Redis({
    ...options,
    sentinels: [...address.hosts],
    name: address.master,
    sentinelRetryStrategy: retry,
    sentinelCommandTimeout: times.command,
    ...(address.sentinelUsername === undefined ? {} : { sentinelUsername: address.sentinelUsername }),
    ...(address.sentinelPassword === undefined ? {} : { sentinelPassword: address.sentinelPassword }),
    ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
  });
}

/** Doubles up to `longest`; half of it is chance, so that a hundred nodes do not come back in the same moment. */
function backoff(attempt: number, longest: number): number {
  const pause = Math.min(longest, 50 * 2 ** Math.min(attempt - 1, 20));
  return Math.round(pause / 2 + Math.random() * (pause / 2));
}
