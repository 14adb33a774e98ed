import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Answer, type Stage, Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

const LIMITED = { detail: { type: "rate_limit_exceeded", msg: "Rate limit exceeded" } };
const application = (type: string, msg: string) => ({ details: { type, msg } });
const name = () => `u${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
const shown = ({ status, body }: Answer): unknown[] => [status, body];

/** A call after the limits of the calls before have passed. */
async function post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer> {
  stage.clock.advance(61_000);
  return await stage.call("POST", path, body, headers);
}

describe("PINs", () => {
  test("T-3.1 T-3.27 a PIN, its only field a string, not to be stored", async () => {
    const { token } = await stage.person();
    const answer = await stage.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${token}` });
    expect(shown(answer)).toEqual([200, { room_id: expect.stringMatching(/^[1-9]\d{5}$/) }]);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("content-type")).toStartWith("application/json");
  });

  test("T-3.1 HEAD makes no PIN, nor does it count as asking for one", async () => {
    const { token } = await stage.person();
    const headers = { authorization: `Bearer ${token}` };
    const looked = await fetch(`${stage.url}/track/generate-pin/`, { method: "HEAD", headers });
    expect([looked.status, looked.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
    expect((await stage.call("GET", "/track/generate-pin/", undefined, headers)).status).toBe(200);
  });

  test("T-3.1 T-3.10 refusals have the form of applications", async () => {
    const answer = await stage.call("GET", "/track/generate-pin", undefined, { authorization: "Bearer forged" });
    expect(shown(answer)).toEqual([401, application("invalid_credentials", "Invalid credentials")]);
    // A 404 without it may be kept by a cache.
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });

  test("T-3.25 T-3.11 TRACKER_PIN_RATE per second and user", async () => {
    const [first, second] = [await stage.person(), await stage.person()];
    const ask = (token: string) =>
      stage.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${token}` });
    expect((await ask(first.token)).status).toBe(200);
    const limited = await ask(first.token);
    expect(shown(limited)).toEqual([429, LIMITED]);
    expect(limited.headers.get("retry-after")).toBe("1");
    expect((await ask(second.token)).status).toBe(200);
    stage.clock.advance(1000);
    expect((await ask(first.token)).status).toBe(200);
  });

  test("T-3.27 the token is checked before the limit, so nobody else can use it up", async () => {
    const person = await stage.person();
    for (let i = 0; i < 5; i++) {
      await stage.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${person.token}x` });
    }
    expect(await stage.pin(person)).toMatch(/^\d{6}$/);
    const forged = await stage.call("GET", "/track/generate-pin", undefined, { authorization: "Bearer forged" });
    expect(forged.status).toBe(401);
  });
});

describe("registration", () => {
  test("T-3.2 T-3.16 T-3.17 a new account", async () => {
    const username = `Big${name()}`;
    const answer = await post("/user", { username, password: "S3cret!@#$%^&*" });
    expect(shown(answer)).toEqual([
      201,
      {
        user_id: expect.any(Number),
        username: username.toLowerCase(),
        password: "********",
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/),
      },
    ]);
    expect(Date.parse(`${String(answer.body.created_at)}Z`)).toBe(stage.clock.now());
    expect(answer.text).not.toContain("S3cret");
  });

  test("T-3.2 a taken name, in any case", async () => {
    const username = name();
    expect((await post("/user", { username, password: "secret123" })).status).toBe(201);
    const again = await post("/user", { username: username.toUpperCase(), password: "other123" });
    expect(shown(again)).toEqual([400, application("user_already_exists", "User already exists")]);
  });

  test("T-3.15 of two simultaneous registrations of one name one succeeds", async () => {
    for (let i = 0; i < 3; i++) {
      stage.clock.advance(61_000);
      const body = { username: name(), password: "secret123" };
      const answers = await Promise.all([stage.call("POST", "/user", body), stage.call("POST", "/user/", body)]);
      expect(answers.map((answer) => answer.status).sort()).toEqual([201, 400]);
      expect(answers.find((answer) => answer.status === 400)?.body).toEqual(
        application("user_already_exists", "User already exists"),
      );
    }
  });

  const valid = { username: "abcd", password: "abcd" };
  const cases: [string, unknown, string | string[]][] = [
    ["no username", { password: "abcd" }, "missing"],
    ["nothing", {}, ["missing", "missing"]],
    ["username null", { ...valid, username: null }, "string_type"],
    ["password a number", { ...valid, password: 12345 }, "string_type"],
    ["username of 3", { ...valid, username: "abc" }, "string_too_short"],
    ["username too short and ill-formed: the first fault only", { ...valid, username: "1a" }, "string_too_short"],
    ["username of 21", { ...valid, username: "a".repeat(21) }, "string_too_long"],
    ["username with a digit first", { ...valid, username: "1abc" }, "string_pattern_mismatch"],
    ["username with an underscore first", { ...valid, username: "_abc" }, "string_pattern_mismatch"],
    ["username with a dash", { ...valid, username: "ab-cd" }, "string_pattern_mismatch"],
    ["username with an umlaut", { ...valid, username: "abcdé" }, "string_pattern_mismatch"],
    ["password of 3", { ...valid, password: "abc" }, "string_too_short"],
    ["password of 21", { ...valid, password: "a".repeat(21) }, "string_too_long"],
    ["password with a space", { ...valid, password: "ab cd" }, "string_pattern_mismatch"],
    ["password with a dot", { ...valid, password: "ab.cd" }, "string_pattern_mismatch"],
    ["both too short", { username: "a", password: "b" }, ["string_too_short", "string_too_short"]],
  ];
  for (const [what, body, types] of cases) {
    test(`T-3.13 T-3.14 ${what}: ${types}`, async () => {
      for (const path of ["/user", "/login", "/login/v2"]) {
        const answer = await post(path, body);
        const shape = (type: string) => ({ type, msg: expect.any(String) });
        expect(shown(answer)).toEqual([400, { detail: typeof types === "string" ? shape(types) : types.map(shape) }]);
        expect(answer.text).not.toContain("ab cd");
      }
    });
  }

  test("T-3.14 names and passwords at the edges are taken", async () => {
    const edge = `A_${name()}`.slice(0, 20).padEnd(20, "z");
    expect((await post("/user", { username: edge, password: "a".repeat(20) })).status).toBe(201);
    expect((await post("/user", { username: name().slice(0, 4), password: "!@#$" })).status).toBe(201);
  });

  test("T-3.25 five registrations a minute and address", async () => {
    stage.clock.advance(61_000);
    for (let i = 0; i < 5; i++) expect((await stage.call("POST", "/user", {})).status).toBe(400);
    const limited = await stage.call("POST", "/user", { username: name(), password: "secret123" });
    expect(shown(limited)).toEqual([429, LIMITED]);
    expect(limited.headers.get("retry-after")).toBe("60");
    stage.clock.advance(59_000);
    expect((await stage.call("POST", "/user", {})).status).toBe(429);
    stage.clock.advance(1_000);
    expect((await stage.call("POST", "/user", {})).status).toBe(400);
  });

  test("T-3.26 the address is that of the peer, or what a trusted proxy says", async () => {
    const from = (at: Stage, forwarded: string) =>
      at.call("GET", "/user/generate", undefined, { "x-forwarded-for": forwarded });
    stage.clock.advance(2_000);
    expect((await from(stage, "192.0.2.1")).status).toBe(200);
    expect((await from(stage, "192.0.2.2")).status).toBe(429);
    const behind = await stages.startTimed({ TRUSTED_PROXIES: "127.0.0.1,10.0.0.0/8" });
    expect((await from(behind, "192.0.2.1")).status).toBe(200);
    expect((await from(behind, "198.51.100.7, 192.0.2.2, 10.1.1.1")).status).toBe(200);
    expect((await from(behind, "203.0.113.5, 192.0.2.2")).status).toBe(429);
  });
});

describe("name suggestions", () => {
  test("T-3.3 T-3.25 a free valid name, one a second", async () => {
    stage.clock.advance(2_000);
    const answer = await stage.call("GET", "/user/generate/");
    expect(shown(answer)).toEqual([200, { username: expect.stringMatching(/^[A-Z][A-Za-z0-9_]{3,19}$/) }]);
    expect(shown(await stage.call("GET", "/user/generate/"))).toEqual([429, LIMITED]);
    expect((await post("/user", { username: String(answer.body.username), password: "secret123" })).status).toBe(201);
  });
});

describe("every error is JSON", () => {
  test("T-3.12 T-11.6 a wrong method gets 405 with allow", async () => {
    const wrong = [
      ["POST", "/track/generate-pin", "GET"],
      ["GET", "/user", "POST"],
      ["DELETE", "/login", "POST"],
      ["PUT", "/login/v2/refresh/", "POST"],
      ["POST", "/user/generate", "GET"],
    ] as const;
    for (const [method, path, allowed] of wrong) {
      const answer = await stage.call(method, path);
      expect([path, ...shown(answer)]).toEqual([path, 405, { detail: "Method Not Allowed" }]);
      expect(answer.headers.get("allow")?.split(", ")).toContain(allowed);
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
  });

  test("T-8.16 bodies that are no JSON, empty, an array, too large", async () => {
    const faults: [string | Uint8Array, number, unknown][] = [
      ["{", 400, { detail: { type: "json_invalid", msg: expect.any(String) } }],
      ["username=abcd", 400, { detail: { type: "json_invalid", msg: expect.any(String) } }],
      ["", 400, { detail: { type: "missing", msg: expect.any(String) } }],
      ["[]", 400, { detail: { type: "value_error", msg: expect.any(String) } }],
      ['"text"', 400, { detail: { type: "value_error", msg: expect.any(String) } }],
      ["null", 400, { detail: { type: "value_error", msg: expect.any(String) } }],
      [`{"username":"${"a".repeat(70_000)}"}`, 413, { detail: expect.any(String) }],
    ];
    for (const path of ["/user", "/login", "/login/v2", "/login/v2/refresh"]) {
      for (const [body, status, expected] of faults) {
        expect([path, String(body).slice(0, 9), ...shown(await post(path, body))]).toEqual([
          path,
          String(body).slice(0, 9),
          status,
          expected,
        ]);
      }
    }
    stage.clock.advance(61_000);
    const binary = await fetch(`${stage.url}/login`, { method: "POST", body: new Uint8Array([0x22, 0xff, 0x22]) });
    expect([binary.status, await binary.json()]).toEqual([
      400,
      { detail: { type: "json_invalid", msg: expect.any(String) } },
    ]);
  });

  test("T-8.16 a body that grows past 64 kB without saying so is cut off", async () => {
    stage.clock.advance(61_000);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        sent += 8192;
        if (sent > 50_000_000) controller.close();
        else controller.enqueue(new Uint8Array(8192).fill(0x20));
      },
    });
    const response = await fetch(`${stage.url}/user`, { method: "POST", body }).catch(() => null);
    if (response) expect(response.status).toBe(413);
    expect(sent).toBeLessThan(40_000_000);
    expect((await post("/user", {})).status).toBe(400);
  });

  test("T-8.13 keys that every object has change nothing", async () => {
    const answer = await post("/user", '{"__proto__":{"username":"polluted","password":"secret123"},"constructor":1}');
    expect(answer.status).toBe(400);
    expect(({} as { username?: string }).username).toBeUndefined();
  });
});
