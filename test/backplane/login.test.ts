import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { startRedisServer } from "../support/redis.ts";
import { startNode } from "./node-process.ts";
import { RecordingLog } from "./recording-log.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

/** For a Redis that is not to be had. */
const times = { open: 1_000, reconnect: 200 };
// Only what the backplane uses, and only below its prefix.
const user = "--user app on >p@ss ~patchbay:* -@all +@connection +@read +@write +@scripting +info +time";
const server = await startRedisServer([...user.split(" "), ..."--user default off".split(" ")]);
afterAll(() => server?.close());

describe.if(server !== null)("logging in at Redis", () => {
  test("as a user who may do little else", async () => {
    const node = await openNode({ url: `redis://app:p%40ss@127.0.0.1:${server!.port}`, keyPrefix: "patchbay:" });
    expect(node.up).toBe(true);
    await node.ping();
    expect((await node.presence.join("s", "ann", "1")).first).toBe(true);
    expect(await node.records.create("r", {}, 60_000)).toBe(true);
    expect(await node.topics.nodes()).toEqual([node.node]);
    await node.close();
  });

  test("with a wrong password is Redis away, and the log says why", async () => {
    const log = new RecordingLog();
    const url = `redis://app:hunter2@127.0.0.1:${server!.port}`;
    const node = await openNode({ url, keyPrefix: "patchbay:", log, times });
    expect(node.up).toBe(false);
    // With all that hangs on the errors, such as the command that failed and its arguments.
    const told = () =>
      JSON.stringify(log.lines, (_key, value) => (value instanceof Error ? { ...value, stack: value.stack } : value));
    await until(() => told().includes("WRONGPASS"));
    expect(told()).not.toContain("hunter2");
    expect(node.up).toBe(false);
    await node.close();
  });
});

/** A server that speaks TLS with a certificate of its own, or the reason why there is none. */
async function startTlsServer() {
  const openssl = Bun.which("openssl");
  if (openssl === null) return "there is no openssl to make a certificate with";
  const directory = await mkdtemp(join(tmpdir(), "patchbay-tls-"));
  const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
  const make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"];
  const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  await Bun.spawn([openssl, ...make, ...name], { stdout: "ignore", stderr: "ignore" }).exited;
  const port = await freePort();
  const files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
  const tls = ["--tls-port", String(port), ...files, "--tls-auth-clients", "no", "--requirepass", "s3cret"];
  const started = await startRedisServer(tls).catch(() => null);
  return started === null
    ? "there is no redis-server that speaks TLS"
    : { server: started, port, certificate, directory };
}

const tls = await startTlsServer();

if (typeof tls === "string") {
  if (process.env.CI === "true") throw new Error(tls);
  console.error(`\n*** NOT TESTED: Redis over TLS, ${tls} ***\n`);
} else {
  const { server, port, certificate, directory } = tls;

  describe("Redis over TLS", () => {
    const options = { url: `rediss://:s3cret@127.0.0.1:${port}`, keyPrefix: "patchbay:" };
    const nodes: Awaited<ReturnType<typeof startNode>>[] = [];

    afterEach(async () => {
      for (const node of nodes.splice(0)) await node.kill();
    });

    afterAll(async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    });

    test("is used where the certificate is trusted", async () => {
      const node = await startNode(options, { NODE_EXTRA_CA_CERTS: certificate });
      nodes.push(node);
      await node.ask({ do: "ping" });
      expect(node.reports.at(-1)).toEqual({ done: "ping" });
    });

    test("is away where it is not", async () => {
      const node = await startNode({ ...options, times });
      nodes.push(node);
      await node.ask({ do: "ping" });
      expect(node.reports.at(-1)).toEqual({ done: "ping", failed: "BackplaneUnavailable: redis is away" });
    });
  });
}
