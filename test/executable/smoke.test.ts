import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signToken } from "../../src/accounts/sign.ts";
import { firstConversation } from "../../src/protocols/tracker/first-conversation.ts";
import { startKafka } from "../support/kafka.ts";
import { freshDatabase, postgresUrl } from "../support/postgres.ts";
import { type GatewayProcess, projectRoot, startProcess } from "../support/process.ts";
import { freshPrefix, testRedis } from "../support/redis.ts";

setDefaultTimeout(120_000);

const redis = await testRedis();
/** What is to be closed after a test, the last first. */
const cleanUp: (() => Promise<unknown>)[] = [];
let folder = "";
let executable = "";
let commit = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchbay-executable-"));
  executable = join(folder, "patchbay");
  commit = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], { cwd: projectRoot }).stdout.toString().trim();
  const build = Bun.spawn([process.execPath, "src/build.ts", "--outfile", executable], { cwd: projectRoot });
  expect(await build.exited).toBe(0);
});

afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs it in an empty folder, by default one of its own, with nothing in the environment but the given settings. */
async function serve(env: Record<string, string>, given?: string): Promise<GatewayProcess & { cwd: string }> {
  const cwd = given ?? (await mkdtemp(join(folder, "empty-")));
  const gateway = await startProcess({
    command: [executable, "serve"],
    cwd,
    dataDir: "data",
    env: { PATH: "", ...env },
  });
  cleanUp.push(() => gateway.cleanUp());
  return { ...gateway, cwd };
}

/** What Alice saw, as event names, when the conversation of the README was pasted. */
async function converse(url: string): Promise<string[]> {
  const shell = Bun.spawn(["bash", "-c", firstConversation(url)], { stdout: "pipe", stderr: "inherit" });
  const seen = await new Response(shell.stdout).text();
  return seen
    .trim()
    .split("\n")
    .map((packet) => packet.replace(/\b\d{6}\b/g, "<pin>"));
}

const conversation = [
  '42["room",{"details":{"type":"joined_room","msg":"alice has joined room <pin>"}}]',
  '42["room",{"details":{"type":"joined_room","msg":"bobby has joined room <pin>"}}]',
  '42["move",{"details":{"type":"success","msg":{"lat":-37.81,"long":144.96}}}]',
];

describe("the executable", () => {
  test("holds the tracker conversation on its embedded defaults, twice over a restart", async () => {
    const first = await serve({});
    expect(await converse(first.url)).toEqual(conversation);
    first.child.kill("SIGTERM");
    expect(await first.child.exited).toBe(0);
    expect(await readdir(first.cwd)).toEqual(["data"]);
    const again = await serve({}, first.cwd);
    expect(await converse(again.url)).toEqual(conversation);
  });

  test("prints first conversations that need neither Bun nor a source tree", async () => {
    const gateway = await serve({});
    const [, ...printed] = gateway
      .output()
      .replace(/^\{"level".*\n/gm, "")
      .split(/^A first conversation with \w+, to paste into another shell in this folder:$/m);
    expect(printed).toHaveLength(5);
    const path = join(folder, "tools");
    await mkdir(path);
    for (const tool of ["bash", "curl", "sed", "grep", "tr", "date"]) {
      await symlink(Bun.which(tool) ?? "", join(path, tool));
    }
    for (const conversation of printed) {
      const shell = Bun.spawn(["bash", "-c", conversation], {
        cwd: gateway.cwd,
        env: { PATH: path },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [seen, complaints] = await Promise.all([shell.stdout.text(), shell.stderr.text()]);
      expect(complaints.replace(/^.*"level":"warn".*\n/gm, "")).toBe("");
      expect(seen).toMatch(/joined_room|stored: Is it|user-selected-channel|"loc":|"confirmed":true/);
    }
  });

  test.if(postgresUrl !== undefined && redis.available)("holds it on Postgres and Redis", async () => {
    const database = await freshDatabase("postgres");
    const keys = freshPrefix(redis.url);
    cleanUp.push(database.remove, keys.remove);
    const gateway = await serve({
      DATABASE_URL: database.databaseUrl ?? "",
      REDIS_URL: redis.url,
      KEY_PREFIX: keys.keyPrefix,
    });
    expect(await converse(gateway.url)).toEqual(conversation);
    gateway.child.kill("SIGTERM");
    expect(await gateway.child.exited).toBe(0);
  });

  test("V-1.12 V-6.23 conversations find their browser bundle and the Kafka client inside", async () => {
    const broker = await startKafka();
    if (broker) cleanUp.push(() => broker.close());
    const secret = "a secret for the tests of the executable";
    const gateway = await serve({
      PROTOCOLS: "conversations",
      CONVERSATIONS_JWT_SECRET: secret,
      ...(broker && { KAFKA_BROKERS: broker.address }),
    });
    const api = `${gateway.url}/v1/conversations`;
    expect(await (await fetch(`${api}/sockets/socket.io.js`)).text()).toContain("Socket.IO v4");
    const token = await signToken({ sub: "11", exp: Math.floor(Date.now() / 1000) + 600 }, secret);
    const wish = { type: "BS", buyer: "11", seller: "12", shop_id: "", creator: "11" };
    const headers = { "x-chozoi-token": token };
    const answer = await fetch(`${api}/rooms`, { method: "POST", headers, body: JSON.stringify(wish) });
    expect(answer.status).toBe(200);
    if (broker) {
      while ((await broker.read("chozoi.conversations.events")).length === 0) await Bun.sleep(100);
    }
  });

  test("takes nothing from the folder it runs in", async () => {
    const cwd = await mkdtemp(join(folder, "foreign-"));
    await Bun.write(join(cwd, ".env"), "PORT=not-a-port\n");
    await Bun.write(join(cwd, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
    const run = Bun.spawn([executable, "check"], { cwd, env: {}, stdout: "pipe", stderr: "pipe" });
    expect(await run.exited).toBe(0);
  });

  test("tells its version, commit and runtime", async () => {
    const run = Bun.spawn([executable, "version"], { cwd: folder, env: {}, stdout: "pipe" });
    const { version } = await Bun.file(join(projectRoot, "package.json")).json();
    expect((await new Response(run.stdout).text()).trim()).toBe(`patchbay ${version} (${commit}, Bun ${Bun.version})`);
  });

  test("is its own health check", async () => {
    const gateway = await serve({});
    const check = (port: string) =>
      Bun.spawn([executable, "healthcheck"], {
        cwd: folder,
        env: { INTERNAL_PORT: port },
        stdout: "ignore",
        stderr: "ignore",
      }).exited;
    expect(await check(new URL(gateway.internalUrl).port)).toBe(0);
    gateway.child.kill("SIGTERM");
    await gateway.child.exited;
    expect(await check(new URL(gateway.internalUrl).port)).toBe(1);
  });
});
