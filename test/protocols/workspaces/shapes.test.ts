import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { Cast, DENIED, errorOf, NOT_FOUND } from "./cast.ts";
import { type Answer, HANGS, type Json, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

/** What routes take and answer, key by key (sections 3 and 4). */
const stages = new Stages();
let cast: Cast;
let stage: Stage;
let owner: Person;
let member: Person;
let other: Person;
let stranger: Person;
beforeAll(async () => {
  cast = await Cast.open(stages);
  ({ stage, owner, member, other, stranger } = cast);
});
afterAll(() => stages.stop());

describe("section 3 shapes, with exactly the listed keys", () => {
  const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
  /** Names of the keys, those that are absent left out. */
  const keys = (value: object) => Object.keys(value).sort();
  const WORKSPACE = ["createdAt", "creatorId", "id", "name", "updatedAt"];
  const CHANNEL = [...WORKSPACE, "isPrivate", "isTemporary"].sort();
  const USER = ["createdAt", "id", "isEmailVerified", "name", "updatedAt"];

  test("W-3.1 W-3.10 W-3.11 workspaces", async () => {
    const { names } = await cast.place();
    const path = `/workspaces/${names.workspace}`;
    const info = await stage.must(stage.get(`${path}/info`, member));
    expect(keys(info)).toEqual(WORKSPACE);
    expect(info.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(info.createdAt).toMatch(TIME);
    expect(keys(await stage.must(stage.get(`${path}/settings`, member)))).toEqual(
      [...WORKSPACE, "canUsersInvite"].sort(),
    );
    expect((await stage.must(stage.get("/workspaces", member))).map(keys)).toContainEqual(WORKSPACE);
    const made = await stage.must(stage.post("/workspaces", owner, { name: "Another" }));
    expect(keys(made.workspace)).toEqual([...WORKSPACE, "userRelation"].sort());
    expect(made.workspace.userRelation).toEqual({ role: "admin" });
    const state = await stage.must(stage.get(`/workspaces/${made.workspace.id}`, owner));
    expect(
      state.channels.map(({ name, isPrivate }: { name: string; isPrivate: boolean }) => [name, isPrivate]),
    ).toEqual([["general", false]]);
  });

  test("W-3.12 W-3.13 W-4.50 W-4.52 channels", async () => {
    const { names } = await cast.place();
    const make = async (body: object) =>
      (await stage.must(stage.post(`/workspaces/${names.workspace}/channels`, owner, body))).channel;
    expect(keys(await make({ name: "ab" }))).toEqual(CHANNEL);
    const full = { name: "Full", description: "d", isPrivate: true, isTemporary: true, lifespan: 5000 };
    const temporary = await make(full);
    expect(keys(temporary)).toEqual([...CHANNEL, "description", "expiredAt"].sort());
    expect(Date.parse(temporary.expiredAt) - Date.parse(temporary.createdAt)).toBe(5000);
    expect(keys(await make({ name: "No end", isTemporary: true }))).toEqual(CHANNEL);
    const seen = await stage.must(stage.get(`/channels/${temporary.id}`, owner));
    expect(seen).toEqual({ channel: temporary, users: [] });
    const { channels } = await stage.must(stage.get(`/workspaces/${names.workspace}`, owner));
    const forUser = channels.find(({ id }: { id: string }) => id === temporary.id);
    expect(forUser).toEqual({ ...temporary, userRelation: { role: "admin", usageCount: 0 }, users: [] });
  });

  test("W-3.3 W-3.14 W-3.15 W-3.16 W-3.17 W-4.20 people, with their address only for those who may see it", async () => {
    const { guest, names } = await cast.place();
    const CONFIDENTIAL = [...USER, "appSettings", "email", "socialAuth"].sort();
    expect(keys(await stage.must(stage.get("/me", member)))).toEqual(CONFIDENTIAL);
    expect(keys(await stage.must(stage.get(`/user/${other.id}`, member)))).toEqual([...USER, "email"].sort());
    expect(keys(await stage.must(stage.get(`/user/${other.id}`, guest)))).toEqual(USER);
    expect(errorOf(await stage.get(`/user/${other.id}`, stranger))).toEqual(DENIED);
    expect(errorOf(await stage.get(`/user/${crypto.randomUUID()}`, stranger))).toEqual(NOT_FOUND);
    const me = await stage.must(stage.get("/me", guest));
    expect(keys(me)).toEqual([...USER, "appSettings", "socialAuth", "temporaryUser"].sort());
    expect(me.temporaryUser).toBe(true);
    const { users } = await stage.must(stage.get(`/admin/workspaces/${names.workspace}/users`, owner));
    const admin = users.find(({ id }: { id: string }) => id === other.id);
    expect(keys(admin)).toEqual([...USER, "email", "latestActivityAt", "role"].sort());
    const members = await stage.must(stage.get(`/channels/${names.channel}/members`, member));
    const one = members.find(({ id }: { id: string }) => id === owner.id);
    expect([keys(one), one.workspaceRelation, one.channelRelation]).toEqual([
      [...USER, "channelRelation", "email", "workspaceRelation"].sort(),
      { role: "admin" },
      { role: "admin" },
    ]);
    const state = await stage.must(stage.get(`/workspaces/${names.workspace}`, guest));
    const seen = state.users.find(({ id }: { id: string }) => id === other.id);
    expect(keys(seen)).toEqual([...USER, "callsCount", "onlineStatus", "role"].sort());
  });

  test("W-3.22 W-4.37 W-4.59 codes and tokens: 12 letters or digits, for a day", async () => {
    const before = Date.now();
    const { names } = await cast.place();
    const after = Date.now();
    /** When it was made, if it lives for a day. */
    const madeAt = ({ expiredAt }: { expiredAt: string }) => Date.parse(expiredAt) - 86_400_000;
    const [code] = await stage.must(stage.get(`/workspaces/${names.workspace}/invites`, owner));
    expect(keys(code)).toEqual(
      ["code", "createdAt", "createdBy", "expiredAt", "id", "updatedAt", "workspaceId"].sort(),
    );
    expect([code.createdBy, madeAt(code)]).toEqual([owner.id, Date.parse(code.createdAt)]);
    expect(code.code).toMatch(/^[A-Za-z0-9]{12}$/);
    const path = `/channels/${names.channel}/invite`;
    const invite = await stage.must(stage.post(path, member));
    expect(keys(invite)).toEqual(["channelId", "expiredAt", "id", "token", "workspaceId"]);
    expect(invite.id).toBe(names.token);
    expect(madeAt(invite)).toBeWithin(before, after + 1);
    expect(invite.token).toMatch(/^[A-Za-z0-9]{12}$/);
    expect(await stage.must(stage.get(path, owner))).toEqual(invite);
    await stage.must(stage.post(`/channel-invites/${invite.id}/deactivate`, member));
    expect(errorOf(await stage.get(path, owner))).toEqual([404, "InviteNotFound"]);
    expect(errorOf(await stage.post(`/channels/join/${invite.token}`, null, { name: "Late" }))).toEqual([
      400,
      "Invalid invite code",
    ]);
  });
});

describe("W-4.2 W-2.14 W-12.15 limits of each field", () => {
  const long = (length: number) => "x".repeat(length);
  const fields: readonly [route: string, key: string, make: (value: unknown) => object, bad: unknown[]][] = [
    ["POST /workspaces", "name", (name) => ({ name }), ["ab", long(101), 5, null]],
    ["POST /workspaces/:workspace", "name", (name) => ({ name }), ["ab", long(101), null]],
    ["POST /workspaces/:workspace/channels", "name", (name) => ({ name }), ["a", long(101), undefined]],
    [
      "POST /workspaces/:workspace/channels",
      "description",
      (description) => ({ name: "ab", description }),
      ["", long(151), null],
    ],
    [
      "POST /workspaces/:workspace/channels",
      "lifespan",
      (lifespan) => ({ name: "ab", lifespan }),
      [-1, 1.5, 31 * 86_400_000 + 1, "1", null],
    ],
    ["POST /workspaces/:workspace/private-talk", "users", (users) => ({ users }), [["1"], Array(33).fill("x"), "x"]],
    ["POST /workspaces/:workspace/permissions", "role", (role) => ({ userId: ":other", role }), ["moderator", "guest"]],
    ["POST /channels/:channel/add-users", "users", (users) => ({ users }), [[], ["x"], null]],
    [
      "POST /workspaces/:workspace/invite/email",
      "emailList",
      (emailList) => ({ emailList }),
      [[], ["no address"], Array(51).fill("a@example.com"), "a@example.com"],
    ],
    ["POST /profile", "name", (name) => ({ name }), ["", long(101), null]],
    ["POST /profile", "lang", (lang) => ({ lang }), ["de", "", null]],
    ["POST /profile", "avatarFileId", (avatarFileId) => ({ avatarFileId }), ["x", 5]],
    ["POST /password", "password", (password) => ({ oldPassword: "x", password }), ["123", long(201), null]],
  ];
  for (const [route, key, make, bad] of fields) {
    test(`${route} ${key}`, async () => {
      const { names } = await cast.place();
      for (const value of bad) {
        const { status, body } = await cast.call(route, make(value), names, owner);
        const [first] = body.validation?.keys ?? [];
        expect([value, status, body.message, first?.split(".")[0]]).toEqual([
          value,
          400,
          "Invalid request payload input",
          key,
        ]);
      }
    });
  }

  test("the shortest and the longest are taken", async () => {
    const email = () => `${crypto.randomUUID()}@example.com`;
    for (const user of [
      { name: "x", email: email(), password: "1234" },
      { name: long(100), email: email(), password: long(200) },
    ]) {
      await stage.must(stage.post("/signup", null, { user }));
      await stage.must(stage.post("/signin", null, { credentials: { email: user.email, password: user.password } }));
    }
    for (const name of ["abc", long(100)]) await stage.must(stage.post("/workspaces", owner, { name }));
    const { names } = await cast.place();
    for (const body of [
      { name: "ab", description: "x" },
      { name: long(100), description: long(150), isTemporary: true, lifespan: 31 * 86_400_000 },
    ]) {
      await stage.must(stage.post(`/workspaces/${names.workspace}/channels`, owner, body));
    }
  });
});

test("W-4.4 W-4.18 texts are exactly two characters, everything else is JSON", async () => {
  const { names } = await cast.place();
  for (const [method, path, text] of [
    ["GET", "/status", "OK"],
    ["GET", "/protected", "OK"],
    ["POST", `/workspaces/${names.workspace}/leave`, "ok"],
    ["POST", "/reset-password/init", "ok"],
  ] as const) {
    const body = method === "GET" ? undefined : path.includes("reset") ? { email: "nobody@example.com" } : {};
    const answer = await stage.call(method, path, member, body);
    expect([path, answer.status, answer.text]).toEqual([path, 200, text]);
  }
  expect((await stage.get("/me", member)).headers.get("content-type")).toContain("application/json");
});

test("W-3.2 W-3.24 W-15.6 an error is its status, its phrase and a text", async () => {
  const errors: [answer: Answer, status: number, error: string, message: string][] = [
    [await stage.post("/me/app-settings", owner, "[]"), 400, "Bad Request", "Invalid request payload input"],
    [await stage.get("/me"), 401, "Unauthorized", "Missing authentication"],
    [await stage.post("/password", owner, { password: "1234" }), 403, "Forbidden", "Invalid password"],
    [await stage.get(`/channels/${crypto.randomUUID()}`, owner), 404, "Not Found", "Not found"],
    [await stage.call("PUT", "/me", owner, {}), 405, "Method Not Allowed", "Method not allowed"],
    [
      await stage.post("/profile", owner, { name: "x".repeat(70_000) }),
      413,
      "Request Entity Too Large",
      "Payload content length greater than maximum allowed",
    ],
  ];
  for (const [{ status, body }, statusCode, error, message] of errors) {
    const { validation: _, ...rest } = body;
    expect([status, rest]).toEqual([statusCode, { statusCode, error, message }]);
  }
});

test("W-4.23 W-4.78 what version 1 does not attach", async () => {
  for (const service of ["facebook", "google", "slack"]) {
    const answer = await stage.get(`/detach-account/${service}`, owner);
    expect(errorOf(answer)).toEqual([400, "That external service is not attached"]);
  }
  expect((await stage.get("/detach-account/other", owner)).status).toBe(404);
  const { names } = await cast.place();
  const invite = { userId: other.id, channelId: names.channel, workspaceId: names.workspace };
  await stage.must(stage.post(`/channels/${names.channel}/leave`, other));
  expect(errorOf(await stage.post("/send-invite/slack", owner, invite))).toEqual([
    400,
    "Workspace not connected slack",
  ]);
  expect((await stage.get(`/channels/${names.channel}`, other)).status).toBe(403);
});

test("W-4.75 W-4.76 W-4.77 W-12.14 calls: ids, doubles that count once, and answers to what was never asked", async () => {
  const { names } = await cast.place();
  const call = { channelId: names.channel, workspaceId: names.workspace, message: { a: 1 }, isResponseNeeded: true };
  const one = await stage.must(stage.post("/send-invite", owner, { ...call, userId: other.id }));
  expect(one).toEqual({ inviteId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  const nobody = crypto.randomUUID();
  const users = [other.id, member.id, other.id, nobody, owner.id];
  const { invites } = await stage.must(stage.post("/send-invites", owner, { ...call, users }));
  expect(invites.map(({ userId, status, invite }: Json) => [userId, status, invite !== undefined])).toEqual([
    [other.id, "ok", true],
    [member.id, "ok", true],
    [nobody, "error", false],
    [owner.id, "ok", false],
  ]);
  // The one that is pending already (W-9.7).
  expect(invites[0].invite).toBe(one.inviteId);
  for (const message of [{ text: "x".repeat(4096) }, [], [1]]) {
    const wrong = { ...call, userId: other.id, message };
    expect((await stage.post("/send-invite", owner, wrong)).body.validation).toEqual({
      source: "payload",
      keys: ["message"],
    });
  }
  const answer = (inviteId: string, who: Person, response?: object) =>
    stage.post("/invite-response", who, { inviteId, ...(response && { response }) });
  expect((await answer(one.inviteId, other, { text: "x".repeat(4096) })).status).toBe(400);
  expect((await answer(one.inviteId, other, [])).status).toBe(400);
  expect((await answer(one.inviteId, other, { yes: true })).text).toBe("ok");
  for (const [id, who] of [
    [one.inviteId, other],
    [invites[1].invite, other],
    [nobody, other],
  ] as const) {
    expect(errorOf(await answer(id, who))).toEqual([400, "Message not found"]);
  }
});

test("W-11.1 times have a zone, and what hangs on an account goes with it", async () => {
  const url = await stages.databaseUrl();
  if (url === undefined) {
    console.error("*** NOT TESTED: without Postgres nobody looks into the tables ***");
    return;
  }
  const sql = postgres(url, { max: 1 });
  try {
    const columns = await sql<{ type: string; owner: boolean; table: string; column: string }[]>`
      select data_type as type, table_name as table, column_name as column, column_name in ('user_id', 'owner_id') as owner
      from information_schema.columns where table_schema = 'workspaces'`;
    expect(columns.length).toBeGreaterThan(50);
    expect(columns.filter(({ type }) => type === "timestamp without time zone")).toEqual([]);
    const person = await stage.person();
    const host = await cast.place();
    const { code } = await stage.must(stage.post(`/workspaces/${host.names.workspace}/invites`, owner));
    await stage.must(stage.post(`/join/${code}`, person));
    await stage.must(stage.post("/create-auth-link", person));
    const client = await stage.client(person, host.names.workspace);
    await stage.must(stage.select(client, host.names.channel));
    await stage.must(stage.post("/me/delete", person));
    for (const { table, column } of columns.filter((one) => one.owner)) {
      const [left] = await sql`
        select count(*)::int as count from workspaces.${sql(table)} where ${sql(column)} = ${person.id}`;
      expect([table, left?.count]).toEqual([table, 0]);
    }
    expect(await sql`select id from accounts.accounts where id = ${person.id}`).toHaveLength(0);
  } finally {
    await sql.end();
  }
});

test("out of scope: nothing answers there", async () => {
  for (const path of [
    "/oauth/google",
    "/push-tokens",
    "/stats",
    "/log",
    "/speedtest/download",
    "/long-poll",
    "/groups",
  ]) {
    for (const method of ["GET", "POST"]) {
      expect([path, (await stage.call(method, path, owner)).status]).toEqual([path, 404]);
    }
  }
});

test("W-12.15 W-12.10 text and keys that may not be stored are refused in every field", async () => {
  for (const body of [{ name: "a\0bc" }, { name: "a\ud800bc" }, '{"name":"abc","constructor":1}']) {
    const { status, body: answer } = await stage.post("/workspaces", owner, body);
    expect([status, answer.validation]).toEqual([400, { source: "payload", keys: [] }]);
  }
});
