import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQL } from "bun";
import { io, type Socket } from "socket.io-client";
import { ManualClock } from "../support/clock.ts";
import { startGateway } from "../support/gateway.ts";
import { freshDatabase, postgresUrl } from "../support/postgres.ts";
import { type GatewayProcess, projectRoot, startProcess } from "../support/process.ts";

// Every test starts a gateway.
setDefaultTimeout(120_000);

const running: GatewayProcess[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.disconnect();
  for (const gateway of running.splice(0)) await gateway.cleanUp();
});

async function start(options?: Parameters<typeof startProcess>[0]): Promise<GatewayProcess> {
  const gateway = await startProcess(options);
  running.push(gateway);
  return gateway;
}

async function signUp(url: string): Promise<{ token: string; pin: string }> {
  const person = { username: `user${crypto.randomUUID().slice(0, 8)}`, password: "secret123" };
  const post = (path: string) =>
    fetch(url + path, {
      method: "POST",
      body: JSON.stringify(person),
      headers: { "content-type": "application/json" },
    });
  await post("/user");
  const { access_token: token } = (await (await post("/login/v2")).json()) as { access_token: string };
  const answer = await fetch(`${url}/track/generate-pin`, { headers: { authorization: `Bearer ${token}` } });
  const { room_id: pin } = (await answer.json()) as { room_id: string };
  return { token, pin };
}

function connect(url: string, token: string): Promise<Socket> {
  const socket = io(url, {
    path: "/track-sio/sio",
    transports: ["websocket"],
    auth: { token },
    reconnection: false,
    forceNew: true,
  });
  sockets.push(socket);
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", reject);
  });
}

const next = <T>(socket: Socket, event: string) => new Promise<T>((resolve) => socket.once(event, resolve));

describe("a gateway process", () => {
  test("listens, is alive and ready, and knows what it does not serve", async () => {
    const { url, internalUrl } = await start();
    expect((await fetch(`${internalUrl}/livez`)).status).toBe(200);
    expect((await fetch(`${internalUrl}/readyz`)).status).toBe(200);
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
    expect(await (await fetch(`${internalUrl}/metrics`)).text()).toContain("patchbay_open_connections 0");
  });

  test("keeps the internal routes off the public port", async () => {
    const { url } = await start();
    for (const path of ["/metrics", "/readyz", "/livez"]) expect((await fetch(url + path)).status).toBe(404);
  });

  test("says Connection: close when asked to close", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/nowhere`, { headers: { connection: "close" } });
    expect(answer.headers.get("connection")).toBe("close");
  });

  test("T-7.7 sends sockets away by transport close at SIGTERM and ends with 0", async () => {
    const gateway = await start();
    const { token } = await signUp(gateway.url);
    const socket = await connect(gateway.url, token);
    const reason = next<string>(socket, "disconnect");
    gateway.child.kill("SIGTERM");
    expect(await reason).toBe("transport close");
    expect(await gateway.child.exited).toBe(0);
  });

  test("ends at once at the second signal", async () => {
    const gateway = await start();
    const { token } = await signUp(gateway.url);
    await connect(gateway.url, token);
    // Held up, it has both before it can be through with the first.
    gateway.child.kill("SIGSTOP");
    gateway.child.kill("SIGTERM");
    gateway.child.kill("SIGINT");
    gateway.child.kill("SIGCONT");
    expect(await gateway.child.exited).toBe(1);
  });

  test.if(postgresUrl !== undefined)("ends after the drain time although Postgres does not answer", async () => {
    const database = await freshDatabase("postgres");
    const sql = new SQL(database.databaseUrl ?? "", { max: 1 });
    try {
      const gateway = await start({ env: { DATABASE_URL: database.databaseUrl ?? "", DRAIN_TIME: "1" } });
      await sql`begin`;
      await sql`lock table accounts.accounts`;
      const post = { method: "POST", body: '{"username":"somebody","password":"secret123"}' };
      fetch(`${gateway.url}/user`, post).catch(() => {});
      const waiting = () => sql`select from pg_locks where not granted and relation = 'accounts.accounts'::regclass`;
      while ((await waiting()).length === 0);
      gateway.child.kill("SIGTERM");
      expect(await gateway.child.exited).toBe(0);
      await gateway.printed("cut short: the drain time is over");
    } finally {
      await sql.close();
      await database.remove();
    }
  });

  test("does not start on faulty settings and names each of them", async () => {
    const starting = start({ env: { PORT: "eighty", TRACKER_ROOM_TTL: "-1", LOG_LEVEL: "loud" } });
    const failure = await starting.then(
      () => "",
      (error: Error) => error.message,
    );
    for (const name of ["PORT", "TRACKER_ROOM_TTL", "LOG_LEVEL"]) expect(failure).toContain(name);
  });

  test("does not start on a port that is taken, says which, and lets go of everything", async () => {
    const first = await start();
    const dataDir = await mkdtemp(join(tmpdir(), "patchbay-test-"));
    try {
      for (const [setting, url] of [
        ["PORT", first.url],
        ["INTERNAL_PORT", first.internalUrl],
      ] as const) {
        const second = startProcess({ dataDir, env: { [setting]: new URL(url).port } });
        // Rejects only once the process has ended.
        await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1:${new URL(url).port}, see`);
        await expect(second).rejects.toThrow("ended with 1");
      }
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });

  test("bun --hot swaps handlers under live sockets, with one listener and no doubled work", async () => {
    const copy = await mkdtemp(join(tmpdir(), "patchbay-hot-"));
    try {
      await cp(join(projectRoot, "src"), join(copy, "src"), { recursive: true });
      await cp(join(projectRoot, "drizzle"), join(copy, "drizzle"), { recursive: true });
      await cp(join(projectRoot, "package.json"), join(copy, "package.json"));
      await symlink(join(projectRoot, "node_modules"), join(copy, "node_modules"));
      const gateway = await start({ command: [process.execPath, "--hot", "src/main.ts", "serve"], cwd: copy });
      const { token, pin } = await signUp(gateway.url);
      const socket = await connect(gateway.url, token);
      const ask = async () => {
        const notice = next<{ details: { msg: string } }>(socket, "error");
        socket.emit("join_room", "000000");
        return (await notice).details.msg;
      };
      expect(await ask()).toBe("Room not found or has expired");

      const errors = join(copy, "src/protocols/tracker/errors.ts");
      const source = await Bun.file(errors).text();
      let said = "Room not found or has expired";
      for (const text of ["Swapped once", "Swapped twice"]) {
        const since = gateway.output().length;
        await Bun.write(errors, source.replaceAll("Room not found or has expired", text));
        await gateway.printed("protocols in force", since);
        // One write may be seen as two changes: what is in force can still be what was written before.
        for (const before = said; said === before; ) said = await ask();
        expect(said).toBe(text);
      }
      const heard: string[] = [];
      socket.on("room", (notice: { details: { msg: string } }) => heard.push(notice.details.msg));
      const joined = next(socket, "room");
      socket.emit("join_room", pin);
      await joined;
      await new Promise((resolve) => socket.emit("leave_room", pin, resolve));
      expect(heard).toHaveLength(1);
      expect(gateway.output().match(/"listening"/g)).toHaveLength(1);
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });
});

describe("a draining gateway", () => {
  test("T-7.11 turns new handshakes away with 503 and is not ready", async () => {
    // Time stands still, so the drain cannot end before the test has looked.
    const clock = new ManualClock(Date.now());
    const running = await startGateway({ clock });
    try {
      const { token } = await signUp(running.url);
      await connect(running.url, token);
      void running.gateway.stop();
      const handshake = await fetch(`${running.url}/track-sio/sio/?EIO=4&transport=polling`);
      expect(handshake.status).toBe(503);
      expect((await fetch(`${running.internalUrl}/livez`)).status).toBe(200);
      expect((await fetch(`${running.internalUrl}/readyz`)).status).toBe(503);
    } finally {
      // Lets time go by.
      await running.stop();
    }
  });

  test("T-7.11 still answers those who come back at once when the last socket has gone", async () => {
    const clock = new ManualClock(Date.now());
    const running = await startGateway({ clock });
    try {
      const { token } = await signUp(running.url);
      const gone = next(await connect(running.url, token), "disconnect");
      let over = false;
      void running.gateway.stop({ linger: 1000 }).then(() => {
        over = true;
      });
      await gone;
      for (let i = 0; i < 40; i++) {
        clock.advance(20);
        const handshake = await fetch(`${running.url}/track-sio/sio/?EIO=4&transport=polling`);
        expect([over, handshake.status]).toEqual([false, 503]);
      }
    } finally {
      // Lets time go by.
      await running.stop();
    }
  });
});
