import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "./free-port.ts";

/** A Redis that tests share. Without one `available` is false and `url` empty. */
export interface TestRedis {
  readonly available: boolean;
  readonly url: string;
}

/** A redis-server of a test's own. It keeps nothing: started again it is empty. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Ends it at once. Does nothing when it has ended. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
  /** Stops it where it stands: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Kills it and removes its folder. */
  close(): Promise<void>;
}

let shared: Promise<TestRedis> | null = null;

/**
 * The Redis to test with: TEST_REDIS_URL, else 127.0.0.1:6379 if it answers, else a redis-server from PATH that ends
 * with this process. Where there is none, this says so loudly once, and throws when CI=true.
 */
export function testRedis(): Promise<TestRedis> {
  shared ??= findRedis();
  return shared;
}

async function findRedis(): Promise<TestRedis> {
  const given = process.env.TEST_REDIS_URL;
  if (given !== undefined) {
    if (await answers(given)) return { available: true, url: given };
    throw new Error("the Redis of TEST_REDIS_URL does not answer");
  }
  const usual = "redis://127.0.0.1:6379";
  if (await answers(usual)) return { available: true, url: usual };
  const server = await startRedisServer();
  if (server === null) {
    return missing("no Redis on 127.0.0.1:6379, no TEST_REDIS_URL, no redis-server on PATH");
  }
  return { available: true, url: server.url };
}

function missing(reason: string): TestRedis {
  const text = `NOT TESTED WITH REDIS: ${reason}`;
  if (process.env.CI === "true") throw new Error(text);
  console.error(`\n*** ${text} ***\n`);
  return { available: false, url: "" };
}

async function answers(url: string): Promise<boolean> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: null,
    connectTimeout: 20_000,
    commandTimeout: 20_000,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.ping()) === "PONG";
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}

/** A key prefix nobody else uses; `remove` deletes every key below it. */
export function freshPrefix(url: string): { keyPrefix: string; remove(): Promise<void> } {
  const keyPrefix = `patchbay-test:${randomBytes(6).toString("hex")}:`;
  return {
    keyPrefix,
    async remove() {
      const client = new Redis(url);
      client.on("error", () => {});
      for await (const keys of client.scanStream({ match: `${keyPrefix}*`, count: 500 })) {
        if (keys.length > 0) await client.unlink(...keys);
      }
      client.disconnect();
    },
  };
}

/**
 * Starts a redis-server of this test's own on a free port, with further arguments (`["--cluster-enabled", "yes"]`).
 * Without one on PATH it says so loudly and returns null; it throws when CI=true.
 */
export async function startRedisServer(
  args: readonly string[] = [],
  options: { /** A sentinel with this configuration file, which it will write to. */ config?: string } = {},
): Promise<RedisServer | null> {
  const program = Bun.which("redis-server") ?? Bun.which("valkey-server");
  if (program === null) {
    missing("no redis-server on PATH for a test that restarts one");
    return null;
  }
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), "patchbay-redis-"));
  let child: Bun.Subprocess | null = null;
  let watch: Bun.Subprocess<"pipe"> | null = null;

  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    async kill() {
      watch?.kill("SIGKILL");
      child?.kill("SIGKILL");
      await child?.exited;
      child = null;
    },
    async start() {
      const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, "--daemonize", "no"];
      const kind = options.config === undefined ? ["--save", ""] : ["--sentinel"];
      const file = options.config === undefined ? [] : [options.config];
      child = Bun.spawn([program, ...file, ...place, ...kind, ...args], { stdout: "ignore", stderr: "ignore" });
      const started = child;
      // Ends the server with this process, however that ends: its input is then closed.
      const command = 'cat > /dev/null; kill -9 "$0" 2> /dev/null; rm -rf "$1"';
      watch = Bun.spawn(["sh", "-c", command, String(child.pid), directory], { stdin: "pipe", stdout: "ignore" });
      for (;;) {
        if (started.exitCode !== null) throw new Error(`redis-server ended with ${started.exitCode}`);
        if (await speaks(port)) return;
        await Bun.sleep(20);
      }
    },
    pause() {
      child?.kill("SIGSTOP");
    },
    resume() {
      child?.kill("SIGCONT");
    },
    async close() {
      await server.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Whether a Redis of any kind answers, be it with a demand to log in. */
function speaks(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.on("data", (answer) => {
      socket.destroy();
      resolve(!answer.toString().startsWith("-LOADING"));
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}
