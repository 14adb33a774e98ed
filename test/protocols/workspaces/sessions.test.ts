import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { type Credentials, eventually, HANGS, PASSWORD, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const redis = await testRedis();
const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

const pairOf = ({ accessToken, refreshToken }: Credentials) => ({ accessToken, refreshToken });
const refresh = (pair: Credentials, at = stage) => at.post("/refresh-token", null, pairOf(pair));
const INVALID = { statusCode: 401, error: "Unauthorized", message: "Credentials are invalid" };

describe("tokens", () => {
  test("W-2.1 W-2.3 W-3.15 W-3.21 W-4.10 W-4.11 signup and signin open a session of their own", async () => {
    const person = await stage.person("Some Body");
    const answer = await stage.must(
      stage.post("/signin", null, { credentials: { email: person.email.toUpperCase(), password: PASSWORD } }),
    );
    expect(answer.user).toEqual({
      id: person.id,
      name: "Some Body",
      email: person.email,
      isEmailVerified: false,
      socialAuth: {},
      appSettings: {},
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updatedAt: expect.any(String),
    });
    expect(answer.credentials).toEqual({
      sessionId: expect.not.stringMatching(person.credentials.sessionId),
      accessToken: expect.stringMatching(/^[0-9a-f]{64}$/),
      refreshToken: expect.stringMatching(/^[0-9a-f]{64}$/),
      accessTokenExpiredAt: new Date(stage.clock!.now() + 3_600_000).toISOString(),
      refreshTokenExpiredAt: new Date(stage.clock!.now() + 31 * 86_400_000).toISOString(),
    });
  });

  test("W-2.4 W-15.3 W-15.5 missing, unknown and expired tokens", async () => {
    const person = await stage.person();
    expect((await stage.get("/me")).body).toEqual({
      statusCode: 401,
      error: "Unauthorized",
      message: "Missing authentication",
    });
    expect((await stage.get("/me", "0".repeat(64))).body).toEqual({
      statusCode: 401,
      error: "Unauthorized",
      message: "Bad token",
      attributes: { error: "Bad token" },
    });
    stage.clock!.advance(3_600_000);
    expect((await stage.get("/me", person)).body.message).toBe("Access token is expired");
    await stage.must(refresh(person.credentials));
  });

  test("W-2.5 W-2.6 W-2.8 W-4.12 parallel refreshes of one pair get one new pair, and again within the grace", async () => {
    const person = await stage.person();
    const answers = await Promise.all(Array.from({ length: 8 }, () => stage.must(refresh(person.credentials))));
    expect(new Set(answers.map((pair) => JSON.stringify(pair))).size).toBe(1);
    expect(answers[0].sessionId).toBe(person.credentials.sessionId);
    stage.clock!.advance(29_000);
    expect(await stage.must(refresh(person.credentials))).toEqual(answers[0]);
    // The replaced access token works as long (W-2.8).
    expect((await stage.get("/me", person)).status).toBe(200);
    stage.clock!.advance(1_001);
    expect((await stage.get("/me", person)).body.message).toBe("Access token is expired");
  });

  test("W-2.7 a rotated pair after the grace ends the session, however long ago it was rotated", async () => {
    const person = await stage.person();
    const second = await stage.must(refresh(person.credentials));
    const third = await stage.must(refresh(second));
    stage.clock!.advance(31_000);
    expect((await refresh(person.credentials)).body).toEqual(INVALID);
    expect((await refresh(third)).body).toEqual(INVALID);
    expect((await stage.get("/me", third.accessToken)).body.message).toBe("Bad token");
  });

  test("W-2.7 so does a rotated refresh token with another access token, but not within the grace", async () => {
    const person = await stage.person();
    const second = await stage.must(refresh(person.credentials));
    const stolen = { accessToken: "0".repeat(64), refreshToken: person.credentials.refreshToken };
    expect((await stage.post("/refresh-token", null, stolen)).body).toEqual(INVALID);
    expect((await stage.get("/me", second.accessToken)).status).toBe(200);
    stage.clock!.advance(31_000);
    expect((await stage.post("/refresh-token", null, stolen)).body).toEqual(INVALID);
    expect((await stage.get("/me", second.accessToken)).body.message).toBe("Bad token");
  });

  test("W-2.9 tokens of different sessions and unknown ones, an expired refresh token", async () => {
    const [one, two] = [await stage.person(), await stage.person()];
    const mixed = { accessToken: one.token, refreshToken: two.credentials.refreshToken };
    expect((await stage.post("/refresh-token", null, mixed)).body).toEqual(INVALID);
    const unknown = { accessToken: one.token, refreshToken: "0".repeat(64) };
    expect((await stage.post("/refresh-token", null, unknown)).body).toEqual(INVALID);
    await stage.must(refresh(two.credentials));
    stage.clock!.advance(31 * 86_400_000);
    expect((await refresh(one.credentials)).body.message).toBe("Refresh token is expired");
  });

  test("W-2.10 W-4.13 signing out ends the session; a second time is Bad token", async () => {
    const person = await stage.person();
    expect((await stage.post("/signout", person)).text).toBe("ok");
    expect((await stage.post("/signout", person)).body.message).toBe("Bad token");
    // Any token that is still taken will do, one that was just replaced too.
    const other = await stage.person();
    const pair = await stage.must(refresh(other.credentials));
    expect((await stage.post("/signout", other)).text).toBe("ok");
    for (const token of [other.token, pair.accessToken]) {
      expect((await stage.get("/me", token)).body.message).toBe("Bad token");
    }
    expect((await refresh(pair)).body).toEqual(INVALID);
  });

  test("W-2.15 W-4.11 W-13.18 wrong passwords: one text, and an end to trying", async () => {
    const person = await stage.person();
    const unknown = { credentials: { email: "nobody@example.com", password: "wrong" } };
    const wrong = { credentials: { email: person.email, password: "wrong" } };
    const texts = [await stage.post("/signin", null, unknown), await stage.post("/signin", null, wrong)];
    for (const { status, body } of texts)
      expect([status, body.message]).toEqual([401, "Email or password are invalid"]);
    for (let i = 0; i < 9; i++) await stage.post("/signin", null, wrong);
    const limited = await stage.post("/signin", null, wrong);
    expect([limited.status, limited.body.message]).toEqual([429, "Too many requests"]);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  test("W-2.16 W-4.14 an auth link is good once, for ten minutes", async () => {
    const person = await stage.person();
    const { code } = await stage.must(stage.post("/create-auth-link", person));
    expect(code).toMatch(/^[0-9a-f]{82}$/);
    const credentials = await stage.must(stage.post(`/signin/link/${code}`, null));
    expect((await stage.get("/me", credentials.accessToken)).body.id).toBe(person.id);
    expect((await stage.post(`/signin/link/${code}`, null)).body.message).toBe("Auth link is not valid");
    const late = (await stage.must(stage.post("/create-auth-link", person))).code;
    stage.clock!.advance(600_000);
    expect((await stage.post(`/signin/link/${late}`, null)).status).toBe(400);
  });

  test("W-2.12 W-2.13 a socket lives as long as its session's newest token, and a minute", async () => {
    // Without heartbeats, which a client answers by its own clock.
    await using brief = await stages.startTimed({ WORKSPACES_ACCESS_TTL: "120", WORKSPACES_PING_INTERVAL: "3600000" });
    const person = await brief.person();
    const workspace = await brief.workspace(person);
    const client = await brief.client(person, workspace);
    const polling = await brief.client(person, workspace, { transports: ["polling"] });
    brief.clock!.advance(10_000);
    // A refresh prolongs the socket: by its first token alone it would end after three minutes.
    await brief.must(refresh(person.credentials, brief));
    for (let second = 10; second < 189; second++) {
      brief.clock!.advance(1_000);
      await brief.idle();
    }
    await client.settle();
    expect(client.socket.connected).toBe(true);
    await eventually(async () => {
      brief.clock!.advance(1_000);
      await brief.idle();
      return !client.socket.connected;
    });
    for (const ended of [client, polling]) {
      expect(await ended.until("socket-api-error")).toEqual({ event: "auth", message: "Access token is expired" });
      expect(await ended.until("disconnect")).toBe("transport close");
    }
  });
});

describe.if(redis.available)("tokens on two nodes", () => {
  test("W-2.6 W-2.7 W-2.8 W-2.11 one pair for refreshes on both; a replay on one ends the sockets of the other", async () => {
    const { keyPrefix, remove } = freshPrefix(redis.url);
    await using keys = new AsyncDisposableStack();
    keys.defer(remove);
    const env = { REDIS_URL: redis.url, KEY_PREFIX: keyPrefix };
    const clock = new ManualClock(Date.now());
    await using here = await stages.start({ env, clock });
    await using there = await stages.start({ env, clock });
    const person = await here.person();
    const workspace = await here.workspace(person);
    const [mine, elsewhere] = [await here.client(person, workspace), await there.client(person, workspace)];
    const login = { credentials: { email: person.email, password: PASSWORD } };
    const other = await here.must(here.post("/signin", null, login));
    const unconcerned = await there.client({ ...person, token: other.credentials.accessToken }, workspace);

    const answers = await Promise.all(
      [here, there, here, there, here, there].map((node) => node.must(refresh(person.credentials, node))),
    );
    expect(new Set(answers.map((pair) => JSON.stringify(pair))).size).toBe(1);
    const [pair] = answers;
    for (const node of [here, there]) expect((await node.get("/me", pair.accessToken)).status).toBe(200);
    // The answer was lost: who asks once more, at whichever node, gets it.
    expect(await there.must(refresh(person.credentials, there))).toEqual(pair);
    expect(mine.socket.connected).toBe(true);

    // The grace is over when the replaced access token is no longer taken (W-2.8). Who comes with that pair now stole it.
    clock.advance(29_999);
    expect((await there.get("/me", person)).status).toBe(200);
    clock.advance(1);
    expect((await there.get("/me", person)).status).toBe(401);
    expect((await refresh(person.credentials, there)).body).toEqual(INVALID);
    for (const client of [mine, elsewhere]) expect(await client.until("disconnect")).toBe("io server disconnect");
    for (const node of [here, there]) {
      expect((await node.get("/me", pair.accessToken)).body.message).toBe("Bad token");
      expect((await refresh(pair, node)).body).toEqual(INVALID);
    }
    await unconcerned.settle();
    expect(unconcerned.socket.connected).toBe(true);
  });
});

describe("passwords and accounts", () => {
  test("W-4.15 W-6.14 a new password ends every session, after password-changed", async () => {
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const client = await stage.client(person, workspace);
    const refused = await stage.post("/password", person, { oldPassword: "wrong", password: "another one" });
    expect([refused.status, refused.body.message]).toEqual([403, "Invalid password"]);
    await stage.must(stage.post("/password", person, { oldPassword: PASSWORD, password: "another one" }));
    expect(await client.next()).toEqual(["password-changed", null]);
    expect(await client.until("disconnect")).toBe("io server disconnect");
    expect((await stage.get("/me", person)).body.message).toBe("Bad token");
    await stage.must(stage.post("/signin", null, { credentials: { email: person.email, password: "another one" } }));
  });

  test("W-4.10 a taken address, a code that is none", async () => {
    const { email } = await stage.person();
    const user = { name: "X", email: email.toUpperCase(), password: "1234" };
    expect((await stage.post("/signup", null, { user })).body).toEqual({
      statusCode: 400,
      error: "Bad Request",
      message: "A user with that email address has already signed up",
    });
    const fresh = { ...user, email: `x${email}`, inviteCode: "abcdefabcdef" };
    expect((await stage.post("/signup", null, { user: fresh })).body.message).toBe("Invite code is invalid");
    await stage.must(stage.post("/signup", null, { user: { name: "X", email: `x${email}`, password: "1234" } }));
  });

  test("W-4.16 W-4.17 W-4.18 W-4.19 reset, checks and verification without a hook", async () => {
    expect((await stage.post("/reset-password/init", null, { email: "nobody@example.com" })).text).toBe("ok");
    const reset = await stage.post("/reset-password", null, { token: "0".repeat(82), password: "1234" });
    expect([reset.status, reset.body.message]).toEqual([400, "Token is invalid"]);
    expect((await stage.get(`/check-token?token=${"0".repeat(82)}`)).body).toEqual({ result: false });
    expect((await stage.get("/status")).text).toBe("OK");
    expect((await stage.get("/protected", await stage.person())).text).toBe("OK");
    const verified = await stage.get(`/verify/${"0".repeat(82)}`);
    expect([verified.status, verified.body.message]).toEqual([400, "Verification code is not valid"]);
  });

  test("W-4.24 an account ends with everything of it, but not while it is admin", async () => {
    const owner = await stage.person();
    const workspace = await stage.workspace(owner);
    const person = await stage.member(workspace, owner);
    const [watcher, client] = [await stage.client(owner, workspace), await stage.client(person, workspace)];
    await watcher.until("online-status-updated");
    const kept = await stage.post("/me/delete", owner);
    expect(kept.body.message).toBe("You can not delete account while you have admin rights in at least one workspace");
    expect((await stage.post("/me/delete", person)).text).toBe("ok");
    expect(await watcher.until("user-leaved-workspace")).toEqual({ userId: person.id, workspaceId: workspace });
    expect(await client.until("disconnect")).toBe("io server disconnect");
    expect((await stage.get("/me", person)).body.message).toBe("Bad token");
    const again = { name: "X", email: person.email, password: "1234" };
    await stage.must(stage.post("/signup", null, { user: again }));
  });

  test("W-4.21 W-4.22 W-6.11 W-6.12 profile and settings, and who is told", async () => {
    const owner = await stage.person();
    const workspace = await stage.workspace(owner);
    const person = await stage.member(workspace, owner, "Old Name");
    const [watcher, client] = [await stage.client(owner, workspace), await stage.client(person, workspace)];
    await watcher.rest();
    const user = await stage.must(stage.post("/profile", person, { name: "New Name", lang: "ru", avatar: "x" }));
    expect(user).toMatchObject({ name: "New Name", lang: "ru", email: person.email });
    const [[event, payload]] = (await watcher.rest()) as [[string, { user: object }]];
    expect([event, Object.keys(payload.user).includes("email")]).toEqual(["user-updated", false]);
    await stage.must(stage.post("/profile", person, { name: "New Name" }));
    expect(await watcher.rest()).toEqual([]);
    const taken = await stage.post("/profile", person, { email: owner.email });
    expect(taken.body.message).toBe("The email address is already in use");
    const no = await stage.post("/profile", person, { avatarFileId: crypto.randomUUID() });
    expect(no.body.message).toBe("File is not found");

    await client.rest();
    await stage.must(stage.post("/me/app-settings", person, { a: { x: 1 }, b: 1 }));
    const merged = await stage.must(stage.post("/me/app-settings", person, { a: { y: 2 }, b: 2 }));
    expect(merged.appSettings).toEqual({ a: { x: 1, y: 2 }, b: 2 });
    expect(await client.rest()).toEqual([
      ["me-updated", expect.objectContaining({ whatWasUpdated: "app-settings" })],
      ["me-updated", { user: merged, whatWasUpdated: "app-settings" }],
    ]);
    expect(await watcher.rest()).toEqual([]);
    // A list is replaced like any value that is no object.
    for (const b of [[1], [2, 3], { z: 1 }, [4]]) {
      const { appSettings } = await stage.must(stage.post("/me/app-settings", person, { b }));
      expect(appSettings).toEqual({ a: { x: 1, y: 2 }, b });
    }
    const large = await stage.post("/me/app-settings", person, { c: "x".repeat(10_000), d: "y".repeat(7_000) });
    expect([large.status, large.body.message]).toEqual([400, "Invalid request payload input"]);
  });
});
