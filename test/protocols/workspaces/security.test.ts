import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import postgres from "postgres";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { eventually, HANGS, type Json, MEDIA, PASSWORD, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

/** Every attack that section 13 names is tried, and fails. */
const redis = await testRedis();
const stages = new Stages();
let stage: Stage;
let alice: Person;
let bob: Person;
let mallory: Person;
let workspace: string;
let channel: string;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
// Of each test alone: what becomes of the sockets of one is not told to those of the next.
beforeEach(async () => {
  stage.leave();
  alice = await stage.person("Alice Adams");
  workspace = await stage.workspace(alice);
  bob = await stage.member(workspace, alice, "Bob Brown");
  mallory = await stage.person("Mallory Moore");
  channel = await stage.channel(workspace, alice);
});

const errorOf = ({ status, body }: { status: number; body: Json }) => [status, body.message];

describe("W-13.1 take-over", () => {
  test("by another user, from another workspace, of an expired or unknown id: a fresh connection, no effect", async () => {
    const victim = await stage.client(bob, workspace);
    await stage.must(stage.select(victim, channel));
    const own = await stage.workspace(bob, "His own");
    await victim.rest();
    for (const [person, id, prevSocketId] of [
      [alice, workspace, victim.id],
      [bob, own, victim.id],
      [bob, workspace, "nobody"],
    ] as const) {
      const thief = await stage.connect(person);
      const answer = await thief.auth(id, { prevSocketId });
      expect(answer).toEqual({ userId: person.id, transaction: "auth", reconnected: false, onlineStatus: "online" });
    }
    expect(victim.socket.connected).toBe(true);
    expect(await stage.inside(channel, alice)).toEqual([bob.id]);
    expect((await victim.names()).filter((name) => name !== "online-status-updated")).toEqual([]);
    victim.drop();
    await victim.until("disconnect");
    await eventually(async () => (await stage.select(victim, channel)).body.message === "Socket not found");
    await stage.pass(61_000);
    const late = await stage.connect(bob);
    expect(await late.auth(workspace, { prevSocketId: victim.id })).toMatchObject({ reconnected: false });
  });
});

describe("W-13.2 socketId of another", () => {
  test("every route with ?socketId= treats it as unknown, and events carry the owner", async () => {
    const [a, b] = [await stage.client(alice, workspace), await stage.client(bob, workspace)];
    await stage.must(stage.select(b, channel));
    const by = `?socketId=${b.id}`;
    const tries: [string, unknown, string][] = [
      [`/channels/${channel}/select${by}`, MEDIA, "Socket not found"],
      [`/channels/${channel}/unselect${by}`, {}, "Channel is not selected"],
      [`/user/media-state${by}`, MEDIA, "Unknow socket connection"],
      [`/user/online-status${by}`, { onlineStatus: "offline" }, "Socket not found"],
      [`/mute-for-all${by}`, { userId: bob.id }, "Unknow socket connection"],
    ];
    await a.rest();
    for (const [path, body, message] of tries) {
      expect(errorOf(await stage.post(path, alice, body))).toEqual([400, message]);
    }
    expect(await a.rest()).toEqual([]);
    expect(await stage.inside(channel, alice)).toEqual([bob.id]);
    await stage.must(stage.unselect(b, channel));
    expect(await a.rest()).toEqual([
      ["user-unselected-channel", { userId: bob.id, channelId: channel, socketId: b.id }],
    ]);
  });

  test("W-12.13 one in grace counts as unknown, but for leaving", async () => {
    const b = await stage.client(bob, workspace);
    await stage.must(stage.select(b, channel));
    const watcher = await stage.client(alice, workspace);
    await stage.must(stage.select(watcher, channel));
    b.drop();
    await watcher.until("conversation-broadcast");
    expect(errorOf(await stage.select(b, channel))).toEqual([400, "Socket not found"]);
    expect((await stage.unselect(b, channel)).text).toBe("ok");
    expect(errorOf(await stage.unselect(b, channel))).toEqual([400, "Channel is not selected"]);
  });
});

describe("W-13.3 invites", () => {
  test("strangers, foreign channels, private channels of others; only the addressee answers, once", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    const own = await stage.workspace(mallory);
    const hers = await stage.channel(own, mallory);
    const b = await stage.client(bob, workspace);
    const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message: {}, isResponseNeeded: true };
    const send = (who: Person, more: object) => stage.post("/send-invite", who, { ...invite, ...more });
    expect(errorOf(await send(mallory, {}))).toEqual([403, "Access denied"]);
    expect(errorOf(await send(mallory, { channelId: hers }))).toEqual([403, "Access denied"]);
    expect(errorOf(await send(mallory, { workspaceId: own }))).toEqual([403, "Access denied"]);
    expect(errorOf(await send(bob, { channelId: secret, userId: alice.id }))).toEqual([403, "Access denied"]);
    expect(errorOf(await send(alice, { userId: mallory.id }))).toEqual([404, "User not found"]);
    expect(errorOf(await send(alice, { channelId: crypto.randomUUID() }))).toEqual([404, "Not found"]);
    expect(errorOf(await send(alice, { userId: alice.id }))).toEqual([400, "Cannot invite yourself"]);
    expect(await b.rest()).toEqual([]);
    const { inviteId } = await stage.must(send(alice, {}));
    for (const who of [mallory, alice]) {
      expect(errorOf(await stage.post("/invite-response", who, { inviteId }))).toEqual([400, "Message not found"]);
    }
    await stage.must(stage.post("/invite-response", bob, { inviteId }));
    expect(errorOf(await stage.post("/invite-response", bob, { inviteId }))).toEqual([400, "Message not found"]);
  });
});

describe("W-13.4 channel tokens and codes", () => {
  test("rights to read, make and end them; a channel token gives a guest and no more", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    const invite = await stage.must(stage.post(`/channels/${secret}/invite`, alice));
    const guest = await stage.guest(channel, alice);
    for (const who of [bob, mallory, guest]) {
      expect((await stage.post(`/channels/${secret}/invite`, who)).status).toBe(403);
      expect((await stage.get(`/channels/${secret}/invite`, who)).status).toBe(403);
      expect((await stage.delete(`/channels/${secret}/invites`, who)).status).toBe(403);
      expect((await stage.post(`/channel-invites/${invite.id}/deactivate`, who)).status).toBe(403);
    }
    expect((await stage.post(`/channels/${channel}/invite`, guest)).status).toBe(403);
    expect(errorOf(await stage.post(`/join/${invite.token}`, mallory))).toEqual([400, "InvalidCode"]);
    // Nor by way of the workspace's own codes: its other admins are not in the channel.
    const admin = await stage.member(workspace, alice);
    await stage.role(workspace, alice, admin, "admin");
    expect((await stage.get(`/channels/${secret}/invite`, admin)).status).toBe(403);
    const listed = await stage.get(`/workspaces/${workspace}/invites?list=all`, admin);
    expect(listed.text).not.toContain(invite.id);
    expect(listed.text).not.toContain(invite.token);
    expect((await stage.delete(`/invites/${invite.id}`, admin)).status).toBe(404);
    expect((await stage.get(`/check/${invite.token}`)).status).toBe(400);
    const visitor = await stage.guest(secret, alice);
    const { workspace: seen, channels } = await stage.must(stage.get(`/workspaces/${workspace}`, visitor));
    expect([seen.userRelation.role, channels.map(({ id }: Json) => id)]).toEqual(["guest", [secret]]);
    for (const [path, body] of [
      [`/workspaces/${workspace}/channels`, { name: "Mine" }],
      [`/workspaces/${workspace}/invites`, {}],
      ["/workspaces", { name: "Mine" }],
      [`/join/${invite.token}`, {}],
    ] as const) {
      expect((await stage.post(path, visitor, body)).status).toBe(403);
    }
  });

  test("codes have a use limit", async () => {
    await using limited = await stages.startTimed({ WORKSPACES_INVITE_MAX_USES: "2" });
    const owner = await limited.person();
    const id = await limited.workspace(owner);
    const { code } = await limited.must(limited.post(`/workspaces/${id}/invites`, owner));
    for (const status of [200, 200, 400]) {
      expect((await limited.post(`/join/${code}`, await limited.person())).status).toBe(status);
    }
    expect(errorOf(await limited.get(`/check/${code}`))).toEqual([400, "Invite code is not valid"]);
  });
});

describe("W-13.5 W-13.14 W-12.10 W-12.11 W-12.12 W-4.1 W-4.2 input", () => {
  test("hostile bodies, ids and queries are refused by name and never a 500", async () => {
    const client = await stage.client(alice, workspace);
    const payload = { statusCode: 400, error: "Bad Request", message: "Invalid request payload input" };
    for (const body of [
      "{",
      "[]",
      "5",
      '"x"',
      "null",
      '{"__proto__":{}}',
      `{"a":${"[".repeat(40)}${"]".repeat(40)}}`,
    ]) {
      expect((await stage.post("/me/app-settings", alice, body)).body).toEqual({
        ...payload,
        validation: { source: "payload", keys: [] },
      });
    }
    const named = await stage.post("/workspaces", alice, { name: "x", extra: 1 });
    expect(named.body.validation.source).toBe("payload");
    expect(named.body.validation.keys).toEqual(expect.arrayContaining(["name", "extra"]));
    const nul = await stage.post("/workspaces", alice, { name: "nul\0 name" });
    expect(nul.status).toBe(400);
    for (const path of ["/workspaces/nope", "/channels/1", `/admin/workspaces/${"x".repeat(500)}/users`]) {
      const { status, body } = await stage.get(path, alice);
      expect([status, body.message, body.validation]).toEqual([
        400,
        "Invalid request params input",
        { source: "params", keys: ["id"] },
      ]);
    }
    const select = `/channels/${channel}/select`;
    for (const query of ["", "?socketId=", `?socketId=${client.id}&socketId=${client.id}`]) {
      const { status, body } = await stage.post(select + query, alice, MEDIA);
      expect([status, body.message]).toEqual([400, "Invalid request query input"]);
    }
    const plain = await fetch(`${stage.url}/signin`, {
      method: "POST",
      body: "x",
      headers: { "content-type": "text/plain" },
    });
    expect([plain.status, ((await plain.json()) as Json).message]).toEqual([415, "Unsupported Media Type"]);
    const large = await stage.post("/me/app-settings", alice, { a: "x".repeat(70_000) });
    expect(errorOf(large)).toEqual([413, "Payload content length greater than maximum allowed"]);
    expect((await stage.get("/user/not-a-uuid", alice)).status).toBe(404);
    expect(client.socket.connected).toBe(true);
  });
});

describe("W-13.6 live sockets", () => {
  test("signout, a new password, a kick and the end of the account put out exactly the sockets they are about", async () => {
    const [owner, person] = [await stage.person(), await stage.person()];
    const id = await stage.workspace(owner, "Here");
    const { code } = await stage.must(stage.post(`/workspaces/${id}/invites`, owner));
    await stage.must(stage.post(`/join/${code}`, person));
    const elsewhere = await stage.workspace(await stage.person(), "Elsewhere");
    const signIn = async (password: string): Promise<Person> => {
      const { credentials } = await stage.must(
        stage.post("/signin", null, { credentials: { email: person.email, password } }),
      );
      return { ...person, token: credentials.accessToken, credentials };
    };
    const watcher = await stage.client(owner, id);
    const gone = "io server disconnect";

    const [first, second] = [await stage.client(person, id), await stage.client(await signIn(PASSWORD), id)];
    await stage.must(stage.post("/signout", person));
    expect(await first.until("disconnect")).toBe(gone);
    await second.settle();
    const third = await stage.client(await signIn(PASSWORD), id, { generation: 4 });
    await stage.must(stage.post("/password", third.person, { oldPassword: PASSWORD, password: "the next one" }));
    for (const client of [second, third]) {
      await client.until("password-changed");
      expect(await client.until("disconnect")).toBe(gone);
    }

    const again = await signIn("the next one");
    const own = await stage.workspace(again, "His own");
    const [here, there] = [await stage.client(again, id), await stage.client(again, own)];
    await stage.must(stage.delete(`/workspaces/${id}/members/${person.id}`, owner));
    expect(await here.until("kicked-from-workspace")).toEqual({ workspaceId: id });
    expect(await here.until("disconnect")).toBe(gone);
    // The one of another workspace hears of it and stays.
    await there.settle();
    expect(there.socket.connected).toBe(true);
    expect(await (await stage.connect(again)).auth(id)).toMatchObject({ message: "Can't listen workspace events" });
    expect(await (await stage.connect(again)).auth(elsewhere)).toMatchObject({
      message: "Can't listen workspace events",
    });

    await stage.must(stage.delete(`/workspaces/${own}`, again, { name: "His own" }));
    expect(await there.until("disconnect")).toBe(gone);
    const { code: next } = await stage.must(stage.post(`/workspaces/${id}/invites`, owner));
    await stage.must(stage.post(`/join/${next}`, again));
    const last = await stage.client(again, id);
    await stage.must(stage.post("/me/delete", again));
    expect(await last.until("disconnect")).toBe(gone);
    await watcher.settle();
    expect(watcher.socket.connected).toBe(true);
  });

  test("deletion of the workspace ends them for good, in order", async () => {
    const owner = await stage.person();
    const id = await stage.workspace(owner, "Doomed");
    const member = await stage.member(id, owner);
    const inside = await stage.channel(id, owner);
    const [o, m] = [await stage.client(owner, id), await stage.client(member, id)];
    await stage.must(stage.select(m, inside));
    await o.rest();
    await m.rest();
    expect(errorOf(await stage.delete(`/workspaces/${id}`, owner, { name: "Other" }))).toEqual([400, "Wrong name"]);
    expect((await stage.delete(`/workspaces/${id}`, member, { name: "Doomed" })).status).toBe(403);
    await stage.must(stage.delete(`/workspaces/${id}`, owner, { name: "Doomed" }));
    for (const client of [o, m]) {
      expect(await client.next()).toEqual([
        "user-unselected-channel",
        { userId: member.id, channelId: inside, socketId: m.id },
      ]);
      expect(await client.next()).toEqual(["kicked-from-workspace", { workspaceId: id }]);
      expect(await client.until("disconnect")).toBe("io server disconnect");
    }
    expect((await stage.get(`/workspaces/${id}`, owner)).status).toBe(404);
  });
});

describe("W-13.10 media out of order", () => {
  const JANUS = {
    // Nothing listens there.
    WORKSPACES_JANUS_URL: "http://127.0.0.1:1/janus",
    WORKSPACES_JANUS_ADMIN_URL: "http://127.0.0.1:1/admin",
    WORKSPACES_JANUS_PUBLIC_URL: "https://media.example/janus",
    WORKSPACES_JANUS_PUBLIC_WS_URL: "wss://media.example/janus",
    WORKSPACES_JANUS_ADMIN_SECRET: "an admin secret",
    WORKSPACES_JANUS_AUDIOBRIDGE_KEY: "a key",
    WORKSPACES_JANUS_VIDEOROOM_KEY: "a key",
    WORKSPACES_JANUS_TEXTROOM_KEY: "a key",
  };

  test("without its media servers a select is refused each time, and nobody is told, let in or given anything", async () => {
    await using mute = await stages.start({ env: JANUS });
    const owner = await mute.person();
    const id = await mute.workspace(owner);
    const inside = await mute.channel(id, owner);
    const [a, b] = [await mute.client(owner, id), await mute.client(await mute.member(id, owner), id)];
    await a.rest();
    for (const client of [a, b, a]) {
      expect(errorOf(await mute.select(client, inside))).toEqual([503, "Media server is unavailable"]);
    }
    expect([await a.rest(), (await b.rest()).filter(([event]) => event !== "online-status-updated")]).toEqual([[], []]);
    expect(await mute.inside(inside, owner)).toEqual([]);
    const { channels } = await mute.must(mute.get(`/workspaces/${id}`, owner));
    const usage = channels.find(({ id: channelId }: Json) => channelId === inside).userRelation;
    expect(usage).toEqual({ role: "admin", usageCount: 0 });
    a.emit("conversation-broadcast", "anybody there?");
    expect(await a.until("socket-api-error")).toMatchObject({ message: "Channel is not selected" });
    // Everything but media goes on (W-10.20).
    await mute.must(mute.delete(`/channels/${inside}`, owner));
  });
});

describe("W-13.11 exactly the affected conversation", () => {
  test("losing one channel leaves a conversation in another alone", async () => {
    const [one, two] = [channel, await stage.channel(workspace, alice)];
    const [a, b] = [await stage.client(alice, workspace), await stage.client(bob, workspace)];
    await stage.must(stage.select(b, two));
    await a.rest();
    await b.rest();
    await stage.must(stage.post(`/channels/${one}/delete-users`, alice, { users: [bob.id] }));
    expect(await b.rest()).toEqual([["channel-deleted", { channelId: one, workspaceId: workspace }]]);
    await stage.must(stage.delete(`/channels/${one}`, alice));
    expect(await stage.inside(two, alice)).toEqual([bob.id]);
    expect(await a.names()).toEqual(["channel-deleted"]);
    await stage.must(stage.post(`/channels/${two}/delete-users`, alice, { users: [bob.id] }));
    expect(await a.names()).toEqual(["user-unselected-channel"]);
    expect(await stage.inside(two, alice)).toEqual([]);
    expect((await stage.select(b, two)).status).toBe(403);
  });
});

describe("W-13.12 W-3.3 what is told to whom", () => {
  test("no e-mail reaches sockets, guests or strangers; private channels are ids only", async () => {
    const watcher = await stage.client(bob, workspace);
    const newcomer = await stage.member(workspace, alice, "New Comer");
    const secret = await stage.channel(workspace, alice, { isPrivate: true, name: "Nobody must know" });
    const told = JSON.stringify(await watcher.rest());
    expect(told).not.toContain("@example.com");
    expect(told).not.toContain("Nobody must know");
    expect(told).toContain(secret);
    const guest = await stage.guest(channel, alice);
    const { users } = await stage.must(stage.get(`/workspaces/${workspace}`, guest));
    expect(JSON.stringify(users)).not.toContain("@example.com");
    expect((await stage.must(stage.get(`/user/${newcomer.id}`, guest))).email).toBeUndefined();
    expect((await stage.must(stage.get(`/user/${newcomer.id}`, alice))).email).toBe(newcomer.email);
    expect((await stage.get(`/user/${newcomer.id}`, mallory)).status).toBe(403);
    expect((await stage.get(`/channels/${secret}`, bob)).status).toBe(403);
  });

  test("WORKSPACES_HIDE_PRIVATE_CHANNELS tells members alone", async () => {
    await using hiding = await stages.startTimed({ WORKSPACES_HIDE_PRIVATE_CHANNELS: "true" });
    const owner = await hiding.person();
    const id = await hiding.workspace(owner);
    const member = await hiding.member(id, owner);
    const [o, m] = [await hiding.client(owner, id), await hiding.client(member, id)];
    await o.rest();
    const secret = await hiding.channel(id, owner, { isPrivate: true });
    await hiding.must(hiding.delete(`/channels/${secret}`, owner));
    expect(await o.names()).toEqual(["channel-created", "channel-deleted"]);
    expect(await m.rest()).toEqual([]);
  });
});

describe("W-2.2 at rest", () => {
  /** Everything that one can be let in by, of a gateway that has just made it. */
  async function secretsOf(at: Stage): Promise<string[]> {
    const person = await at.person();
    const home = await at.workspace(person);
    const { code } = await at.must(at.post(`/workspaces/${home}/invites`, person));
    const { token } = await at.must(at.post(`/channels/${await at.channel(home, person)}/invite`, person));
    const { code: link } = await at.must(at.post("/create-auth-link", person));
    const { accessToken, refreshToken } = person.credentials;
    const pair = await at.must(at.post("/refresh-token", null, { accessToken, refreshToken }));
    const client = await at.client({ ...person, token: pair.accessToken }, home);
    await at.must(at.select(client, await at.channel(home, client.person)));
    return [accessToken, refreshToken, pair.accessToken, pair.refreshToken, code, token, link, PASSWORD];
  }

  test("nothing of it is in the database in plain", async () => {
    const url = await stages.databaseUrl();
    if (url === undefined) {
      console.error("*** NOT TESTED: without Postgres nobody looks into the tables ***");
      return;
    }
    const secrets = await secretsOf(stage);
    const sql = postgres(url, { max: 1 });
    try {
      const tables = await sql<{ schema: string; name: string }[]>`
        select table_schema as schema, table_name as name from information_schema.tables
        where table_schema in ('workspaces', 'accounts')`;
      let dump = "";
      for (const { schema, name } of tables)
        dump += JSON.stringify(await sql`select * from ${sql(schema)}.${sql(name)}`);
      for (const secret of secrets) expect(dump).not.toContain(secret);
      expect(dump).toContain(alice.id);
    } finally {
      await sql.end();
    }
  });

  test.if(redis.available)("nor in Redis", async () => {
    const { keyPrefix, remove } = freshPrefix(redis.url);
    await using keys = new AsyncDisposableStack();
    keys.defer(remove);
    await using node = await stages.start({ env: { REDIS_URL: redis.url, KEY_PREFIX: keyPrefix } });
    const secrets = await secretsOf(node);
    const store = new Redis(redis.url);
    try {
      const names = await store.keys(`${keyPrefix}*`);
      expect(names.length).toBeGreaterThan(0);
      const read: Record<string, (key: string) => Promise<unknown>> = {
        string: (key) => store.get(key),
        hash: (key) => store.hgetall(key),
        set: (key) => store.smembers(key),
        zset: (key) => store.zrange(key, "0", "-1"),
        stream: (key) => store.xrange(key, "-", "+"),
        list: (key) => store.lrange(key, "0", "-1"),
      };
      let dump = "";
      for (const key of names) dump += key + JSON.stringify(await read[await store.type(key)]?.(key));
      for (const secret of secrets) expect(dump).not.toContain(secret);
    } finally {
      store.disconnect();
    }
  });
});

describe("W-13.17 polling sessions", () => {
  test("W-1.7 unknown sids and revisions are refused by their codes", async () => {
    const ask = async (query: string) => (await fetch(`${stage.url}/socket.io/?${query}`)).json() as Json;
    expect(await ask("EIO=5&transport=polling")).toEqual({ code: 5, message: "Unsupported protocol version" });
    expect(await ask("EIO=4&transport=carrier")).toEqual({ code: 0, message: "Transport unknown" });
    expect(await ask("EIO=4&transport=polling&sid=nobody")).toEqual({ code: 1, message: "Session ID unknown" });
    expect((await fetch(`${stage.url}/socket.io?EIO=4&transport=polling`)).status).toBe(200);
  });

  test("a sid that has upgraded takes no further request", async () => {
    const client = await stage.client(bob, workspace);
    const stolen = await fetch(`${stage.url}/socket.io/?EIO=3&transport=polling&sid=${client.id}`);
    expect(stolen.status).toBe(400);
    await client.settle();
    expect(client.socket.connected).toBe(true);
  });
});

describe("W-13.18 W-4.7 rates", () => {
  test("calls of one user and of one address are limited, with Retry-After", async () => {
    await using limited = await stages.startTimed({ WORKSPACES_RATE_REST: "1", WORKSPACES_RATE_PUBLIC: "8" });
    const person = await limited.person();
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await limited.get("/me", person)).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
    for (let i = 0; i < 7; i++) await limited.get("/status");
    const answer = await limited.get("/status");
    expect(errorOf(answer)).toEqual([429, "Too many requests"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});

describe("W-1.17 W-1.18 origins", () => {
  test("others are refused on REST and sockets; allowed ones are echoed with credentials", async () => {
    await using picky = await stages.startTimed({ WORKSPACES_ORIGINS: "https://app.example" });
    const ask = (path: string, origin: string, method = "GET") =>
      fetch(picky.url + path, { method, headers: { origin, "access-control-request-headers": "authorization" } });
    for (const path of ["/status", "/socket.io/?EIO=4&transport=polling"]) {
      expect((await ask(path, "https://evil.example")).status).toBe(403);
      const fine = await ask(path, "https://app.example");
      expect(fine.status).toBe(200);
      expect(fine.headers.get("access-control-allow-origin")).toBe("https://app.example");
      expect(fine.headers.get("access-control-allow-credentials")).toBe("true");
    }
    const preflight = await ask("/me", "https://app.example", "OPTIONS");
    expect(preflight.headers.get("access-control-allow-headers")?.toLowerCase()).toBe("authorization, content-type");
  });

  test("W-1.3 under other Host values its paths are free", async () => {
    await using hosted = await stages.startTimed({ WORKSPACES_HOSTS: "spaces.example" });
    const ask = (host: string, path: string) => fetch(hosted.url + path, { headers: { host } });
    expect((await ask("spaces.example", "/status")).status).toBe(200);
    expect((await ask("other.example", "/status")).status).toBe(404);
    expect((await ask("other.example", "/socket.io/?EIO=4&transport=polling")).status).toBe(404);
  });
});
