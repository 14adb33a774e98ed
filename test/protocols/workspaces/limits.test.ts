import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { eventually, HANGS, type Json, MEDIA, PASSWORD, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

/** Addresses come from a proxy, which is this machine. */
const PROXY = { TRUSTED_PROXIES: "127.0.0.1,::1" };
const from = (address: string) => ({ "x-forwarded-for": address });

describe("W-13.7 W-14.9 sockets of one address", () => {
  let shared: Record<string, string> = {};
  let remove = async () => {};
  beforeEach(() => {
    if (!redis.available) return;
    const prefix = freshPrefix(redis.url);
    remove = prefix.remove;
    shared = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
  });
  afterEach(() => remove());

  test("are counted over all nodes, authenticated or not, and a place that is left is free again", async () => {
    const env = { ...PROXY, ...shared, WORKSPACES_SOCKETS_PER_IP: "3" };
    await using here = await stages.start({ env });
    const there = redis.available ? await stages.start({ env }) : here;
    const person = await here.person();
    const workspace = await here.workspace(person);
    const crowded = { headers: from("192.0.2.7") };
    const first = await here.client(person, workspace, crowded);
    await there.client(person, workspace, crowded);
    await there.connect(person, { ...crowded, generation: 4 });
    for (const node of [here, there]) {
      await expect(node.connect(person, crowded)).rejects.toThrow("not connected");
      // Nobody else is turned away for it.
      (await node.client(person, workspace, { headers: from("192.0.2.8") })).close();
    }
    first.close();
    await eventually(() => there.connect(person, crowded).catch(() => null));
    if (there !== here) await there.stop();
  });
});

describe("W-13.17 a session belongs to the address that opened it", () => {
  const open = async (stage: Stage, revision: number, address: string): Promise<string> => {
    const response = await fetch(`${stage.url}/socket.io/?EIO=${revision}&transport=polling`, {
      headers: from(address),
    });
    return /"sid":"([^"]+)"/.exec(await response.text())?.[1] ?? "";
  };
  const poll = (stage: Stage, revision: number, sid: string, address: string, body?: string) =>
    fetch(`${stage.url}/socket.io/?EIO=${revision}&transport=polling&sid=${sid}`, {
      headers: from(address),
      ...(body === undefined ? {} : { method: "POST", body }),
    });
  /** True when a websocket may attach to the session. */
  const attaches = (stage: Stage, revision: number, sid: string, address: string) =>
    new Promise<boolean>((resolve) => {
      const url = `${stage.url.replace("http", "ws")}/socket.io/?EIO=${revision}&transport=websocket&sid=${sid}`;
      const socket = new WebSocket(url, { headers: from(address) } as unknown as string[]);
      socket.addEventListener("open", () => socket.send("2probe"));
      socket.addEventListener("message", ({ data }) => {
        resolve(data === "3probe");
        socket.close();
      });
      socket.addEventListener("close", () => resolve(false));
    });
  const UNKNOWN = { code: 1, message: "Session ID unknown" };

  for (const revision of [3, 4]) {
    test(`EIO${revision}: polling, posting and upgrading from elsewhere find no such session`, async () => {
      await using stage = await stages.start({ env: PROXY });
      const [victim, thief] = ["192.0.2.7", "192.0.2.8"];
      const sid = await open(stage, revision, victim);
      for (const body of [undefined, revision === 3 ? "1:1" : "1"]) {
        const stolen = await poll(stage, revision, sid, thief, body);
        expect([stolen.status, (await stolen.json()) as Json]).toEqual([400, UNKNOWN]);
      }
      expect(await attaches(stage, revision, sid, thief)).toBe(false);
      // Its owner noticed nothing.
      const own = await poll(stage, revision, sid, victim, revision === 3 ? '7:42["x"]' : "40");
      expect([own.status, await own.text()]).toEqual([200, "ok"]);
      expect((await poll(stage, revision, sid, victim)).status).toBe(200);
      expect(await attaches(stage, revision, sid, victim)).toBe(true);
    });
  }

  test("loopback addresses count as one; W-14.10 the rule can be turned off", async () => {
    await using stage = await stages.start({ env: PROXY });
    const local = await open(stage, 3, "127.0.0.1");
    expect((await poll(stage, 3, local, "::1", "1:3")).status).toBe(200);
    await using loose = await stages.start({ env: { ...PROXY, WORKSPACES_BIND_SID: "false" } });
    const sid = await open(loose, 3, "192.0.2.7");
    expect((await poll(loose, 3, sid, "192.0.2.8", "1:3")).status).toBe(200);
  });
});

describe("W-13.18 rates of calls without a login", () => {
  test("are counted by address", async () => {
    await using stage = await stages.startTimed({ ...PROXY, WORKSPACES_RATE_PUBLIC: "5" });
    const ask = async (address: string) => (await fetch(`${stage.url}/status`, { headers: from(address) })).status;
    for (let i = 0; i < 5; i++) expect(await ask("192.0.2.7")).toBe(200);
    expect(await ask("192.0.2.7")).toBe(429);
    expect(await ask("192.0.2.8")).toBe(200);
    stage.clock!.advance(60_000);
    expect(await ask("192.0.2.7")).toBe(200);
  });

  test("failed signins by account, from wherever they come; others log in", async () => {
    await using stage = await stages.startTimed(PROXY);
    const [victim, other] = [await stage.person(), await stage.person()];
    const signIn = async (email: string, password: string, address: string) => {
      const response = await fetch(`${stage.url}/signin`, {
        method: "POST",
        headers: { ...from(address), "content-type": "application/json" },
        body: JSON.stringify({ credentials: { email, password } }),
      });
      return response.status;
    };
    // As many as one likes that are right.
    for (let i = 0; i < 12; i++) expect(await signIn(victim.email, PASSWORD, "192.0.2.1")).toBe(200);
    // Those that come at once are not all let in, but lock nobody out.
    await Promise.all(Array.from({ length: 25 }, () => signIn(victim.email, PASSWORD, "192.0.2.1")));
    expect(await signIn(victim.email, PASSWORD, "192.0.2.1")).toBe(200);
    const guesses = await Promise.all(
      Array.from({ length: 14 }, (_, index) => signIn(victim.email, "wrong", `192.0.2.${index}`)),
    );
    expect(guesses.filter((status) => status === 401)).toHaveLength(10);
    // In capitals it is the same account; the right password does not help either, or guessing would go on.
    expect(await signIn(victim.email.toUpperCase(), "wrong", "192.0.2.99")).toBe(429);
    expect(await signIn(victim.email, PASSWORD, "192.0.2.99")).toBe(429);
    expect(await signIn(other.email, PASSWORD, "192.0.2.1")).toBe(200);
    stage.clock!.advance(300_000);
    expect(await signIn(victim.email, PASSWORD, "192.0.2.99")).toBe(200);
  });

  test("refreshes by session, thirty a minute", async () => {
    await using stage = await stages.startTimed();
    const [person, other] = [await stage.person(), await stage.person()];
    const refresh = ({ credentials: { accessToken, refreshToken } }: Pick<Person, "credentials">) =>
      stage.post("/refresh-token", null, { accessToken, refreshToken });
    for (let i = 0; i < 30; i++) expect((await refresh(person)).status).toBe(200);
    const limited = await refresh(person);
    expect([limited.status, limited.body.message]).toEqual([429, "Too many requests"]);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await refresh(other)).status).toBe(200);
  });
});

describe("what the database shows", () => {
  let sql: ReturnType<typeof postgres> | null = null;
  beforeEach(async () => {
    const url = await stages.databaseUrl();
    sql = url === undefined ? null : postgres(url, { max: 1 });
    if (!sql) console.error("*** NOT TESTED: without Postgres nobody looks into the tables ***");
  });
  afterEach(async () => {
    await sql?.end();
  });

  /** Connections of gateways to the file's database. */
  const gateways = (sql: postgres.Sql) => sql`datname = current_database() and application_name = 'patchbay'`;

  test("W-13.16 W-11.21 pings of idle sockets write nothing", async () => {
    if (!sql) return;
    await using stage = await stages.start({
      env: { WORKSPACES_PING_INTERVAL: "100", WORKSPACES_PING_TIMEOUT: "60000" },
    });
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const channel = await stage.channel(workspace, person);
    const [old, young] = [
      await stage.client(person, workspace),
      await stage.client(person, workspace, { generation: 4 }),
    ];
    await stage.must(stage.select(old, channel));
    /** Which transaction wrote each row last. */
    const versions = () => sql!`
      select 'connection' as kind, id::text, xmin::text from workspaces.connections
      union select 'user', id::text, xmin::text from workspaces.users
      union select 'session', id::text, xmin::text from workspaces.sessions order by 1, 2`;
    let pings = 0;
    const counted = Promise.withResolvers<void>();
    const count = () => ++pings === 30 && counted.resolve();
    (old.socket as Json).io.on("pong", count);
    (young.socket as Json).io.on("ping", count);
    const before = await versions();
    await counted.promise;
    expect([...(await versions())]).toEqual([...before]);
    expect(before.length).toBeGreaterThan(3);
  });

  test("W-13.16 what is asked of the living does not go through the dead", async () => {
    if (!sql) return;
    await using stage = await stages.startTimed();
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const channel = await stage.channel(workspace, person);
    // Ten lost sockets of each of two thousand people. Nobody buries them: time stands still.
    const dead = 20_000;
    await sql`
      with people as (
        insert into accounts.accounts (id, password_hash, created_at)
        select gen_random_uuid(), 'none', now() from generate_series(1, ${dead / 10}) returning id
      ), profiles as (
        insert into workspaces.users (id, created_at, updated_at) select id, now(), now() from people
      ), places as (
        insert into workspaces.workspaces (id, name, creator_id, created_at, updated_at)
        select id, 'A place', id, now(), now() from people
      )
      insert into workspaces.connections (id, user_id, workspace_id, session_id, node, grace_until)
      select gen_random_uuid()::text, id, id, gen_random_uuid(), 'gone', now() from people, generate_series(1, 10)`;
    await sql`analyze workspaces.connections`;
    const client = await stage.client(person, workspace);
    await stage.must(stage.select(client, channel));
    await stage.must(stage.status(client, "idle"));
    for (const path of [`/workspaces/${workspace}`, `/channels/${channel}`, `/channels/${channel}/active-users`])
      await stage.must(stage.get(path, person));
    client.emit("conversation-broadcast", "anybody there?");
    await client.until("conversation-broadcast");
    await stage.must(stage.unselect(client, channel));
    // What a connection to the database has read is counted when it ends.
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where ${gateways(sql)}`;
    await eventually(async () => (await sql!`select 1 from pg_stat_activity where ${gateways(sql!)}`).length === 0);
    const [read] = await sql<{ rows: number }[]>`
      select seq_tup_read::int as rows from pg_stat_user_tables
      where schemaname = 'workspaces' and relname = 'connections'`;
    expect(read!.rows).toBeLessThan(dead);
  });

  test("W-13.9 W-8.3 who waits too long for somebody else's change gets 503 and changes nothing", async () => {
    if (!sql) return;
    await using stage = await stages.start();
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const channel = await stage.channel(workspace, person);
    const client = await stage.client(person, workspace);
    const began = performance.now();
    await sql.begin(async (held) => {
      await held`select id from workspaces.users where id = ${person.id} for update`;
      const late = await stage.select(client, channel);
      expect([late.status, late.body.message]).toEqual([503, "Service is temporarily unavailable"]);
      expect(performance.now() - began).toBeGreaterThan(4_000);
    });
    expect(await client.rest()).toEqual([]);
    expect(await stage.inside(channel, person)).toEqual([]);
    await stage.must(stage.select(client, channel, MEDIA));
    expect(await client.names()).toEqual(["user-selected-channel"]);
  });
});

describe("GET /long-poll, for the existing desktop client", () => {
  test("is not there unless it is turned on", async () => {
    await using stage = await stages.start();
    expect((await stage.get("/long-poll?timeout=0")).status).toBe(404);
  });

  test("answers after its time, at once for 0, without login; who has gone leaves room for others", async () => {
    await using stage = await stages.startTimed({
      ...PROXY,
      WORKSPACES_LONG_POLL: "on",
      WORKSPACES_SOCKETS_PER_IP: "2",
    });
    const ask = (query: string, init: RequestInit = {}) =>
      fetch(`${stage.url}/long-poll${query}`, { headers: { ...from("192.0.2.7"), origin: "app://." }, ...init });
    const now = await ask("?timeout=0");
    expect([now.status, await now.text(), now.headers.get("access-control-allow-origin")]).toEqual([
      200,
      "192.0.2.7",
      "app://.",
    ]);
    for (const query of ["?timeout=30001", "?timeout=-1", "?timeout=x", "?timeout=1&timeout=2"]) {
      expect([query, (await ask(query)).status]).toEqual([query, 400]);
    }
    const leaving = new AbortController();
    const gone = ask("?timeout=25000", { signal: leaving.signal }).catch(() => "gone");
    let answered = false;
    const waits = ask("?timeout=25000").then((response) => {
      answered = true;
      return response.text();
    });
    const full = () => eventually(async () => (await ask("?timeout=0")).status === 429);
    await full();
    leaving.abort();
    expect(await gone).toBe("gone");
    await eventually(async () => (await ask("?timeout=0")).status === 200);
    expect(answered).toBe(false);
    stage.clock!.advance(25_000);
    expect(await waits).toBe("192.0.2.7");
    // A node that stops keeps nobody waiting.
    const last = [1, 2].map(async () => (await ask("?timeout=30000")).text());
    await full();
    const stopped = stage.stop();
    expect(await Promise.all(last)).toEqual(["192.0.2.7", "192.0.2.7"]);
    await stopped;
  });
});
