import { afterEach, beforeEach } from "bun:test";
import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import type { RedisBackplane } from "../../src/backplane/redis.ts";
import { startProxy, type TcpProxy } from "../support/proxy.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";
import type { RecordingLog } from "./recording-log.ts";
import { openNode } from "./subjects.ts";

const { url } = await testRedis();

/** Times short enough to see them pass. */
export const times = { lease: 1_500, heartbeat: 300, block: 400, reconnect: 200 };

/** A way to the shared Redis that a test can cut, and nodes on either side of it. */
export interface Outage {
  readonly proxy: TcpProxy;
  /** Opens a node that reaches Redis through the proxy, or directly; `times` are those that differ from {@link times}. */
  open(
    through: "proxy" | "direct",
    options?: { log?: RecordingLog; times?: Partial<RedisTimes> },
  ): Promise<RedisBackplane>;
}

/** Gives each test of the suite around it a fresh outage; everything is closed after the test. */
export function useOutage(): Outage {
  const cleanUp: (() => Promise<void>)[] = [];
  let proxy: TcpProxy;
  let keyPrefix: string;

  beforeEach(async () => {
    const { hostname, port } = new URL(url);
    proxy = await startProxy({ host: hostname, port: Number(port || 6379) });
    const prefix = freshPrefix(url);
    keyPrefix = prefix.keyPrefix;
    cleanUp.push(prefix.remove, () => proxy.close());
  });

  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  });

  return {
    get proxy() {
      return proxy;
    },
    async open(through, options = {}) {
      const address = new URL(url);
      if (through === "proxy") {
        address.hostname = "127.0.0.1";
        address.port = String(proxy.port);
      }
      const node = await openNode({
        ...options,
        url: address.href,
        keyPrefix,
        times: { ...times, ...options.times },
      });
      cleanUp.push(() => node.close());
      return node;
    },
  };
}
