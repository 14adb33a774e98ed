import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Credentials, PASSWORD, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

const pairOf = ({ accessToken, refreshToken }: Credentials) => ({ accessToken, refreshToken });
const refresh = (pair: Credentials) => stage.post("/refresh-token", null, pairOf(pair));
const INVALID = { statusCode: 401, error: "Unauthorized", message: "Credentials are invalid" };

describe("tokens", () => {
  test("W-2.1 W-2.3 W-3.21 signup and signin open a session of their own", async () => {
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

  test("W-2.4 missing, unknown and expired tokens", async () => {
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

  test("W-2.5 W-2.6 parallel refreshes of one pair get one new pair, and again within the grace", async () => {
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

  test("W-2.10 signing out ends the session; a second time is Bad token", async () => {
    const person = await stage.person();
    expect((await stage.post("/signout", person)).text).toBe("ok");
    expect((await stage.post("/signout", person)).body.message).toBe("Bad token");
  });

  test("W-2.15 W-13.18 wrong passwords: one text, and an end to trying", async () => {
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

  test("W-2.16 an auth link is good once, for ten minutes", async () => {
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
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const client = await stage.client(person, workspace);
    const ends = Date.parse(person.credentials.accessTokenExpiredAt);
    // A refresh prolongs the socket.
    stage.clock!.advance(10_000);
    const pair = await stage.must(refresh(person.credentials));
    const later = Date.parse(pair.accessTokenExpiredAt);
    expect(later).toBeGreaterThan(ends);
    await skipTo(ends + 66_000, client);
    expect(client.socket.connected).toBe(true);
    await skipTo(later + 66_000, client);
    expect(await client.until("socket-api-error")).toEqual({ event: "auth", message: "Access token is expired" });
    expect(await client.until("disconnect")).toBe("transport close");
  });
});

/** Moves time on, by steps in which a client can be heard. */
async function skipTo(
  at: number,
  client: { readonly socket: { readonly connected: boolean }; settle(): Promise<void> },
) {
  while (stage.clock!.now() < at && client.socket.connected) {
    stage.clock!.advance(5_000);
    await stage.idle();
    if (client.socket.connected) await Promise.race([client.settle(), Bun.sleep(200)]);
  }
}

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
    const large = await stage.post("/me/app-settings", person, { c: "x".repeat(10_000), d: "y".repeat(7_000) });
    expect([large.status, large.body.message]).toEqual([400, "Invalid request payload input"]);
  });
});
