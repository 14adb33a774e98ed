import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { decodeJwt, decodeProtectedHeader } from "jose";
import postgres from "postgres";
import { postgresUrl } from "../../support/postgres.ts";
import { type Answer, Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
beforeEach(() => {
  // Past every limit of the tests before.
  stage.clock.advance(301_000);
});

const LIMITED = { detail: { type: "rate_limit_exceeded", msg: "Rate limit exceeded" } };
const application = (type: string, msg: string) => ({ details: { type, msg } });
const NO_USER = application("user_not_found", "User not found");
const WRONG = application("invalid_credentials", "Invalid credentials");
const STALE = application("invalid_refresh_token", "Invalid refresh token");
const shown = ({ status, body }: Answer) => [status, body];
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
const utc = (text: unknown) => Date.parse(`${String(text)}Z`);

interface Account {
  readonly username: string;
  readonly password: string;
  readonly user_id: number;
}

async function register(): Promise<Account> {
  const username = `u${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
  const password = "secret123";
  stage.clock.advance(61_000);
  const { body } = await stage.call("POST", "/user", { username, password });
  return { username, password, user_id: Number(body.user_id) };
}

async function login(account: Account): Promise<Answer["body"]> {
  stage.clock.advance(1_000);
  const { username, password } = account;
  const answer = await stage.call("POST", "/login/v2", { username, password });
  if (answer.status !== 200) throw new Error(`no login: ${answer.status}`);
  return answer.body;
}

async function refresh(token: unknown): Promise<Answer> {
  stage.clock.advance(1_000);
  return await stage.call("POST", "/login/v2/refresh", { refresh_token: token });
}

/** The refresh token's successor; fails the test when it is refused. */
async function successor(token: unknown): Promise<unknown> {
  const answer = await refresh(token);
  expect(answer.status).toBe(200);
  return answer.body.refresh_token;
}

describe("login", () => {
  test("T-3.4 T-3.17 T-3.18 seven fields", async () => {
    const account = await register();
    const body = (await login({ ...account, username: account.username.toUpperCase() })) as unknown as Record<
      string,
      unknown
    >;
    expect(body).toEqual({
      user_id: account.user_id,
      username: account.username,
      access_token: expect.any(String),
      token_type: "bearer",
      access_token_expire: TIME,
      refresh_token: expect.any(String),
      refresh_token_expire: TIME,
    });
    const token = String(body.access_token);
    expect(decodeProtectedHeader(token).alg).toBe("HS256");
    const exp = Math.floor(stage.clock.now() / 1000) + 1800;
    expect(decodeJwt(token) as unknown).toEqual({ user_id: account.user_id, username: account.username, exp });
    expect(utc(body.access_token_expire)).toBe(exp * 1000);
    expect(utc(body.refresh_token_expire)).toBe(Math.floor(stage.clock.now() / 1000 + 604_800) * 1000);
    const pin = await stage.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${token}` });
    expect(pin.status).toBe(200);
  });

  test("T-3.4 unknown user 404, wrong password 401, in this order after 400", async () => {
    const { username } = await register();
    const nobody = { username: "nobody_at_all", password: "secret123" };
    expect(shown(await stage.call("POST", "/login/v2", nobody))).toEqual([404, NO_USER]);
    expect(shown(await stage.call("POST", "/login/v2", { username, password: "wrong123" }))).toEqual([401, WRONG]);
    expect((await stage.call("POST", "/login/v2", { username: "nobody_at_all" })).status).toBe(400);
  });

  test("T-3.6 the older logins, JSON and urlencoded", async () => {
    const { username, password, user_id } = await register();
    const expected = { access_token: expect.any(String), token_type: "bearer" };
    const json = await stage.call("POST", "/login", { username, password });
    expect(shown(json)).toEqual([200, expected]);
    const form = (body: string) =>
      stage.call("POST", "/login/form/", body, { "content-type": "application/x-www-form-urlencoded" });
    const urlencoded = await form(new URLSearchParams({ username, password, grant_type: "password" }).toString());
    expect(shown(urlencoded)).toEqual([200, expected]);
    expect(decodeJwt(String(urlencoded.body.access_token)).user_id).toBe(user_id);
    expect(shown(await form(`username=${username}&password=wrong123`))).toEqual([401, WRONG]);
    expect(shown(await form("username=nobody_at_all&password=wrong123"))).toEqual([404, NO_USER]);
    stage.clock.advance(1_000);
    expect((await form(`username=${username}`)).body).toEqual({
      detail: { type: "missing", msg: expect.any(String) },
    });
  });

  test("T-3.6 T-3.13 the form of the older login as multipart, and what is none", async () => {
    const { username, password } = await register();
    const post = async (body: FormData | string, headers: Record<string, string> = {}) => {
      stage.clock.advance(1_000);
      const answer = await fetch(`${stage.url}/login/form`, { method: "POST", body, headers });
      return [answer.status, await answer.json()];
    };
    const form = (fields: Record<string, string | Blob>) => {
      const data = new FormData();
      for (const [name, value] of Object.entries(fields)) data.append(name, value);
      return data;
    };
    const token = { access_token: expect.any(String), token_type: "bearer" };
    expect(await post(form({ grant_type: "password", username, password }))).toEqual([200, token]);
    expect(await post(form({ username, password: "wrong123" }))).toEqual([401, WRONG]);
    const fault = (type: string) => [400, { detail: { type, msg: expect.any(String) } }];
    expect(await post(form({ username, password: new Blob(["secret123"]) }))).toEqual(fault("string_type"));
    expect(await post("nothing", { "content-type": "multipart/form-data; boundary=x" })).toEqual(fault("value_error"));
    expect(await post("nothing", { "content-type": "multipart/form-data" })).toEqual(fault("value_error"));
  });

  test("T-9.1 TRACKER_HIDE_USERS answers 401 for an unknown user", async () => {
    const discreet = await stages.start({ env: { TRACKER_HIDE_USERS: "on" } });
    const answer = await discreet.call("POST", "/login/v2", { username: "nobody_at_all", password: "secret123" });
    expect(shown(answer)).toEqual([401, WRONG]);
  });

  test("T-3.24 an unknown user costs the hashing time of a wrong password", async () => {
    const { username } = await register();
    // Time of the processor: that of the clock depends on what else the machine does.
    const cost = async (who: string) => {
      stage.clock.advance(301_000);
      const began = process.cpuUsage();
      await stage.call("POST", "/login/v2", { username: who, password: "wrong123" });
      const { user, system } = process.cpuUsage(began);
      return user + system;
    };
    let [unknown, wrong] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    // The least of several runs, since noise only ever adds. Without the hashing it would be a tenth, in any number.
    for (let run = 0; run < 7 || (unknown <= wrong / 2 && run < 50); run++) {
      unknown = Math.min(unknown, await cost("nobody_at_all"));
      wrong = Math.min(wrong, await cost(username));
    }
    expect(unknown).toBeGreaterThan(wrong / 2);
  });

  test("T-3.25 T-3.4 five logins a second and address, before all else", async () => {
    for (let i = 0; i < 5; i++) expect((await stage.call("POST", "/login/v2", {})).status).toBe(400);
    const limited = await stage.call("POST", "/login/v2", "not json");
    expect(shown(limited)).toEqual([429, LIMITED]);
    expect(limited.headers.get("retry-after")).toBe("1");
    expect((await stage.call("POST", "/login", {})).status).toBe(429);
    stage.clock.advance(1_000);
    expect((await stage.call("POST", "/login/v2", {})).status).toBe(400);
  });

  test("T-3.25 ten failed logins of one account from one address", async () => {
    const [account, other] = [await register(), await register()];
    const attempt = async ({ username }: Account, password: string) => {
      stage.clock.advance(1_000);
      return await stage.call("POST", "/login/v2", { username, password });
    };
    for (let i = 0; i < 10; i++) expect((await attempt(account, "wrong123")).status).toBe(401);
    const limited = await attempt(account, account.password);
    expect(shown(limited)).toEqual([429, LIMITED]);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(200);
    expect((await attempt(other, other.password)).status).toBe(200);
    stage.clock.advance(300_000);
    expect((await attempt(account, account.password)).status).toBe(200);
  });
});

describe("refresh", () => {
  test("T-3.5 T-3.20 the same seven fields, the login's expiry, a new token", async () => {
    const account = await register();
    const first = await login(account);
    stage.clock.advance(5_000);
    const { status, body } = await refresh(first.refresh_token);
    expect(status).toBe(200);
    expect(Object.keys(body).sort()).toEqual(Object.keys(first).sort());
    expect(body.user_id).toBe(account.user_id);
    expect(body.refresh_token).not.toBe(first.refresh_token);
    expect(body.refresh_token_expire).toBe(first.refresh_token_expire);
    expect(decodeJwt(String(body.refresh_token)).exp).toBe(decodeJwt(String(first.refresh_token)).exp!);
    expect(utc(body.access_token_expire)).toBeGreaterThan(utc(first.access_token_expire));
  });

  test("T-3.5 T-3.13 bad requests", async () => {
    const detail = (type: string) => ({ detail: { type, msg: expect.any(String) } });
    expect(shown(await stage.call("POST", "/login/v2/refresh", {}))).toEqual([400, detail("missing")]);
    expect(shown(await refresh(7))).toEqual([400, detail("string_type")]);
    expect(shown(await refresh("forged"))).toEqual([404, STALE]);
    expect(shown(await refresh(""))).toEqual([404, STALE]);
  });

  test("T-3.19 neither kind of token passes for the other", async () => {
    const first = await login(await register());
    const { status } = await stage.call("GET", "/track/generate-pin", undefined, {
      authorization: `Bearer ${String(first.refresh_token)}`,
    });
    expect(status).toBe(401);
    expect(shown(await refresh(first.access_token))).toEqual([404, STALE]);
  });

  test.if(postgresUrl !== undefined)("T-3.19 no token and no password is stored", async () => {
    const account = await register();
    const first = await login(account);
    const second = await successor(first.refresh_token);
    const sql = postgres((await stages.databaseUrl()) ?? "", { max: 1 });
    try {
      const rows = await sql`
        select a::text as text from accounts.accounts a union all select s::text from accounts.sessions s`;
      const text = rows.map((row) => String(row.text)).join();
      expect(text).toContain(account.username);
      const parts = [first.refresh_token, second, first.access_token].map((token) => String(token).split(".")[2]!);
      for (const secret of [...parts, account.password]) expect(text).not.toContain(secret);
    } finally {
      await sql.end();
    }
  });

  test("T-3.21 T-11.8 a replaced token gives the same successor until 60 s after the successor's first use", async () => {
    const first = (await login(await register())).refresh_token;
    const answers = await Promise.all(
      [1, 2, 3].map(() => stage.call("POST", "/login/v2/refresh", { refresh_token: first })),
    );
    const second = answers[0]!.body.refresh_token;
    for (const { status, body } of answers) expect([status, body.refresh_token]).toEqual([200, second]);
    stage.clock.advance(3_600_000);
    expect(await successor(first)).toBe(second);
    const third = await successor(second);
    stage.clock.advance(50_000);
    expect(await successor(first)).toBe(second);
    expect(await successor(second)).toBe(third);
  });

  test("T-3.22 a token shown too late ends the whole login, and no other", async () => {
    const account = await register();
    const other = (await login(account)).refresh_token;
    const first = (await login(account)).refresh_token;
    const second = await successor(first);
    const third = await successor(second);
    stage.clock.advance(61_000);
    expect(shown(await refresh(first))).toEqual([404, STALE]);
    expect(shown(await refresh(third))).toEqual([404, STALE]);
    expect((await refresh(other)).status).toBe(200);
  });

  test("T-3.23 ten logins an account, the oldest goes first", async () => {
    const account = await register();
    const tokens: unknown[] = [];
    for (let i = 0; i < 11; i++) tokens.push((await login(account)).refresh_token);
    expect(shown(await refresh(tokens[0]))).toEqual([404, STALE]);
    for (const token of tokens.slice(1, 6)) expect((await refresh(token)).status).toBe(200);
  });

  test("T-3.20 the chain ends with the login", async () => {
    const first = (await login(await register())).refresh_token;
    stage.clock.advance(604_000_000);
    const second = await successor(first);
    stage.clock.advance(1_000_000);
    expect(shown(await refresh(second))).toEqual([404, STALE]);
  });

  test("T-3.25 five refreshes a second and address", async () => {
    for (let i = 0; i < 5; i++) expect((await stage.call("POST", "/login/v2/refresh", {})).status).toBe(400);
    expect(shown(await stage.call("POST", "/login/v2/refresh", {}))).toEqual([429, LIMITED]);
  });
});
