import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { signToken } from "../../../src/accounts/sign.ts";
import { joined, moved, NO_ROOM } from "./client.ts";
import { RawPolling, RawSocket } from "./raw.ts";
import { SECRET, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

const rejection = (type: string, msg: string) => [
  expect.stringMatching(/^40\{"sid":"[^"]+"\}$/),
  `42["error",{"details":{"type":"${type}","msg":"${msg}"}}]`,
  "41",
];
const INVALID = rejection("invalid_credentials", "Invalid credentials");
const ADMITTED = [expect.stringMatching(/^40\{"sid":"[^"]+"\}$/)];

/** What a WebSocket session gets after its open packet: up to its end, or up to the answer of a first event. */
async function outcome(
  at: Stage,
  options: { headers?: Record<string, string>; query?: string; connect?: string },
): Promise<string[]> {
  const raw = await RawSocket.open(at.url, options);
  await raw.next();
  raw.send(`40${options.connect ?? ""}`);
  const packets: string[] = [];
  for (let packet = await raw.next(); packet !== null; packet = await raw.next()) {
    if (packet === "431[]") break;
    packets.push(packet);
    if (packet.startsWith("40")) raw.send('421["leave_room",""]');
  }
  raw.close();
  return packets;
}

describe("where the token comes from", () => {
  test("T-2.1 T-2.2 the Authorization header of the opening request, Bearer optional in any case", async () => {
    const { token } = await stage.person();
    for (const authorization of [`Bearer ${token}`, `bearer ${token}`, `BEARER  ${token}`, token]) {
      expect(await outcome(stage, { headers: { authorization } })).toEqual(ADMITTED);
    }
    // Only the opening request counts: later ones may say what they like.
    const polling = await RawPolling.open(stage.url, { token });
    polling.headers.authorization = "Bearer forged";
    await polling.send("40");
    expect(await polling.take(1)).toEqual(ADMITTED);
    const late = await RawPolling.open(stage.url);
    late.headers.authorization = `Bearer ${token}`;
    await late.send("40");
    expect(await late.take(3)).toEqual(INVALID);
  });

  test("T-2.3 auth.token of the CONNECT packet on EIO4", async () => {
    const { token } = await stage.person();
    expect(await outcome(stage, { connect: JSON.stringify({ token }) })).toEqual(ADMITTED);
    expect(await outcome(stage, { connect: JSON.stringify({ token: `Bearer ${token}` }) })).toEqual(ADMITTED);
    expect(await outcome(stage, { connect: JSON.stringify({ token: 7 }) })).toEqual(INVALID);
  });

  test("T-2.4 the header first, then auth.token", async () => {
    const [first, second] = [await stage.person(), await stage.person()];
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const auth = { token: second.token };
    expect(await outcome(stage, { headers: bearer("forged"), connect: JSON.stringify(auth) })).toEqual(ADMITTED);
    expect(await outcome(stage, { headers: bearer("forged"), connect: '{"token":"forged"}' })).toEqual(INVALID);
    const pin = await stage.pin();
    const client = await stage.client({ person: first, headers: bearer(first.token), auth });
    client.emit("join_room", pin);
    expect(await client.next()).toEqual(joined(first, pin));
  });

  test("T-2.5 another scheme counts as absent", async () => {
    const { token } = await stage.person();
    expect(await outcome(stage, { headers: { authorization: "Basic dXNlcjpwYXNz" } })).toEqual(INVALID);
    const both = { headers: { authorization: `Basic ${token}` }, connect: JSON.stringify({ token }) };
    expect(await outcome(stage, both)).toEqual(ADMITTED);
    expect(await outcome(stage, { headers: { authorization: `Basic ${token}` } })).toEqual(INVALID);
  });

  test("T-2.6 query and cookies are ignored", async () => {
    const { token } = await stage.person();
    const query = `&token=${token}&access_token=${token}&authorization=Bearer%20${token}`;
    expect(await outcome(stage, { query })).toEqual(INVALID);
    expect(await outcome(stage, { headers: { cookie: `access_token=${token}` } })).toEqual(INVALID);
    // On EIO3 there is no CONNECT payload at all.
    const raw = await RawSocket.open(stage.url, { revision: 3, query });
    expect((await raw.rest()).slice(1)).toEqual(["40", INVALID[1] as string, "41"]);
  });

  test("T-2.7 an auth payload of any shape fails nothing", async () => {
    const { token } = await stage.person();
    const deep = `${'{"a":'.repeat(200)}1${"}".repeat(200)}`;
    for (const connect of [
      '{"a":1}',
      "[]",
      '[{"token":1}]',
      '"x"',
      "7",
      "null",
      deep,
      '{"token":{"a":[]}}',
      '{"v":[2]}',
    ]) {
      const [packets] = [await outcome(stage, { headers: { authorization: `Bearer ${token}` }, connect })];
      expect([connect, packets]).toEqual([connect, ADMITTED]);
    }
  });

  test("T-2.8 REST wants Bearer, and the cookie only where it is switched on", async () => {
    const { token } = await stage.person();
    const status = async (at: Stage, headers: Record<string, string>) =>
      (await at.call("GET", "/track/generate-pin", undefined, headers)).status;
    expect(await status(stage, { authorization: token })).toBe(401);
    expect(await status(stage, { authorization: `Basic ${token}` })).toBe(401);
    expect(await status(stage, {})).toBe(401);
    expect(await status(stage, { cookie: `access_token=${token}` })).toBe(401);
    expect(await status(stage, { authorization: `Bearer ${token}` })).toBe(200);

    const cookies = await stages.start({ env: { TRACKER_COOKIE_TOKEN: "on" } });
    const cookie = `a=b; access_token=${(await cookies.person()).token}`;
    expect(await status(cookies, { cookie })).toBe(200);
    expect(await status(cookies, { cookie, authorization: "Bearer forged" })).toBe(401);
    expect(await status(cookies, { cookie: "access_token=forged" })).toBe(401);
  });
});

describe("which tokens verify", () => {
  const soon = () => Math.floor(Date.now() / 1000) + 600;
  const verdict = async (at: Stage, token: string) =>
    (await at.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${token}` })).status;
  const claims = () => ({ user_id: Math.ceil(Math.random() * 1e9), username: "Somebody", exp: soon() });

  test("T-2.9 the secret, and the previous one until its date", async () => {
    const previous = "the secret that was in use before";
    const token = await signToken(claims(), previous);
    expect(await verdict(stage, token)).toBe(401);
    const env = (until: Date) => ({
      TRACKER_JWT_SECRET_PREVIOUS: previous,
      TRACKER_JWT_SECRET_PREVIOUS_UNTIL: until.toISOString(),
    });
    const rotating = await stages.start({ env: env(new Date(Date.now() + 3_600_000)) });
    expect(await verdict(rotating, token)).toBe(200);
    expect(await verdict(rotating, await signToken(claims(), SECRET))).toBe(200);
    const over = await stages.start({ env: env(new Date(Date.now() - 1000)) });
    expect(await verdict(over, token)).toBe(401);
    const other = await new SignJWT(claims())
      .setProtectedHeader({ alg: "HS512" })
      .sign(new TextEncoder().encode(SECRET));
    expect(await verdict(stage, other)).toBe(401);
  });

  test("T-2.10 T-2.11 published keys by kid, and no HS256 with a published key", async () => {
    const algorithms = ["RS256", "PS384", "ES256", "EdDSA"];
    const pairs = await Promise.all(algorithms.map((alg) => generateKeyPair(alg, { extractable: true })));
    const keys = await Promise.all(
      pairs.map(async ({ publicKey }, i) => ({ ...(await exportJWK(publicKey)), kid: `k${i}` })),
    );
    let fetches = 0;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch() {
        fetches++;
        return Response.json({ keys });
      },
    });
    try {
      const published = await stages.start({ env: { TRACKER_JWKS_URL: `${server.url.origin}/jwks` } });
      const sign = (alg: string, key: CryptoKey, kid: string) =>
        new SignJWT(claims()).setProtectedHeader({ alg, kid }).sign(key);
      for (const [i, alg] of algorithms.entries()) {
        expect([alg, await verdict(published, await sign(alg, pairs[i]!.privateKey, `k${i}`))]).toEqual([alg, 200]);
      }
      expect(await verdict(published, await sign("RS256", pairs[0]!.privateKey, "k1"))).toBe(401);
      const before = fetches;
      const stranger = await generateKeyPair("RS256");
      for (let i = 0; i < 5; i++) {
        expect(await verdict(published, await sign("RS256", stranger.privateKey, `unknown${i}`))).toBe(401);
      }
      expect(fetches - before).toBeLessThanOrEqual(1);
      const confused = new TextEncoder().encode(JSON.stringify(keys[0]));
      const forged = await new SignJWT(claims()).setProtectedHeader({ alg: "HS256", kid: "k0" }).sign(confused);
      expect(await verdict(published, forged)).toBe(401);
    } finally {
      await server.stop(true);
    }
  });

  test("T-2.11 alg none fails", async () => {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    expect(await verdict(stage, `${part({ alg: "none" })}.${part(claims())}.`)).toBe(401);
  });

  test("T-2.12 required claims", async () => {
    const good = claims();
    const verdictOf = async (changes: Record<string, unknown>) => {
      const all: Record<string, unknown> = { ...good, ...changes };
      for (const [name, value] of Object.entries(all)) if (value === undefined) delete all[name];
      return await verdict(stage, await signToken(all as never, SECRET));
    };
    expect(await verdictOf({})).toBe(200);
    expect(await verdictOf({ user_id: "an-issuer|7" })).toBe(200);
    expect(await verdictOf({ user_id: "x".repeat(64), username: "y".repeat(64) })).toBe(200);
    for (const user_id of [undefined, 0, -1, 1.5, "", "x".repeat(65), null, true, [7], { a: 1 }]) {
      expect([user_id, await verdictOf({ user_id })]).toEqual([user_id, 401]);
    }
    for (const username of [undefined, "", "y".repeat(65), 7, null]) {
      expect([username, await verdictOf({ username })]).toEqual([username, 401]);
    }
    for (const exp of [undefined, "9999999999", null, Math.floor(Date.now() / 1000) - 60]) {
      expect([exp, await verdictOf({ exp })]).toEqual([exp, 401]);
    }
  });

  test("T-2.12 exp may be past by the clock skew", async () => {
    const timed = await stages.startTimed();
    const exp = timed.clock.now() / 1000 + 10;
    const { token } = await timed.person({ exp });
    timed.clock.advance(14_000);
    expect(await verdict(timed, token)).toBe(200);
    timed.clock.advance(2_000);
    expect(await verdict(timed, token)).toBe(401);
  });

  test("T-2.13 nbf, iss and aud", async () => {
    const strict = await stages.start({ env: { TRACKER_JWT_ISSUER: "us", TRACKER_JWT_AUDIENCE: "app" } });
    const of = async (at: Stage, more: Record<string, unknown>) =>
      verdict(at, await signToken({ ...claims(), ...more } as never, SECRET));
    expect(await of(stage, { nbf: soon() })).toBe(401);
    expect(await of(stage, { nbf: soon() - 700 })).toBe(200);
    expect(await of(stage, { iss: "them", aud: "other", role: ["x"] })).toBe(200);
    expect(await of(strict, { iss: "us", aud: "app" })).toBe(200);
    expect(await of(strict, { iss: "them", aud: "app" })).toBe(401);
    expect(await of(strict, { iss: "us" })).toBe(401);
  });

  test("T-2.14 usernames are lower-cased and stay with the socket", async () => {
    const person = await stage.person({ username: "MiXeD" });
    const client = await stage.client({ person });
    const pin = await stage.pin();
    client.emit("join_room", pin);
    expect(await client.next()).toEqual(joined({ ...person, username: "mixed" }, pin));
    const renamed = await stage.person({ user_id: person.user_id, username: "renamed" });
    expect(await client.ask("renew_token", renamed.token)).toEqual([{ ok: true }]);
    client.emit("join_room", pin);
    expect(await client.next()).toEqual(joined({ ...person, username: "mixed" }, pin));
  });

  test("T-2.15 with TRACKER_USER_CHECK the account must exist", async () => {
    const checked = await stages.start({ env: { TRACKER_USER_CHECK: "on" } });
    const username = `Real${Math.ceil(Math.random() * 1e9)}`;
    const { body } = await checked.call("POST", "/user", { username, password: "secret123" });
    const user_id = Number(body.user_id);
    const signed = async (claims: Record<string, unknown>) => (await checked.person(claims)).token;
    expect(await verdict(checked, await signed({ user_id, username }))).toBe(200);
    const notFound = { details: { type: "user_not_found", msg: "User not found" } };
    for (const claims of [
      { user_id, username: "another" },
      { user_id: user_id + 1e6, username },
      { user_id: "x", username },
    ]) {
      const headers = { authorization: `Bearer ${await signed(claims)}` };
      const answer = await checked.call("GET", "/track/generate-pin", undefined, headers);
      expect([answer.status, answer.body as unknown]).toEqual([404, notFound]);
      expect(await outcome(checked, { headers })).toEqual(rejection("user_not_found", "User not found"));
    }
    expect(await outcome(checked, { headers: { authorization: await signed({ user_id, username }) } })).toEqual(
      ADMITTED,
    );
  });
});

describe("refusal", () => {
  test("T-2.20 T-2.21 T-7.1 exactly three packets, on both revisions and transports", async () => {
    const raw = await RawSocket.open(stage.url, { token: "forged" });
    await raw.next();
    raw.send("40");
    expect(await raw.rest()).toEqual(INVALID as string[]);

    const old = await RawSocket.open(stage.url, { token: "forged", revision: 3 });
    expect((await old.rest()).slice(1)).toEqual(["40", INVALID[1] as string, "41"]);

    const polling = await RawPolling.open(stage.url, { token: "forged" });
    expect(await polling.send("40")).toBe(200);
    expect(await polling.take(3)).toEqual(INVALID as string[]);

    const oldPolling = await RawPolling.open(stage.url, { token: "forged", revision: 3 });
    expect(await oldPolling.take(3)).toEqual(["40", INVALID[1] as string, "41"]);
  });

  for (const generation of [4, 2] as const) {
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]] as const) {
      test(`T-2.20 generation ${generation} by ${transports.join("+")} sees connect, error, disconnect`, async () => {
        const headers = { authorization: "Bearer forged" };
        const client = await stage.client({ generation, transports, headers, patient: true });
        expect([await client.next(), await client.next(), (await client.next()).slice(0, 2)]).toEqual([
          ["connect"],
          ["error", { details: { type: "invalid_credentials", msg: "Invalid credentials" } }],
          ["disconnect", "io server disconnect"],
        ]);
      });
    }
  }

  test("T-2.20 too many sockets of one user", async () => {
    const few = await stages.start({ env: { TRACKER_MAX_SOCKETS_PER_USER: "2" } });
    const person = await few.person();
    const headers = { authorization: `Bearer ${person.token}` };
    const first = await few.client({ person });
    await few.client({ person });
    expect(await outcome(few, { headers })).toEqual(rejection("too_many_connections", "Too many connections"));
    expect(await outcome(few, { headers: { authorization: (await few.person()).token } })).toEqual(ADMITTED);
    first.close();
    // The place is free when the server has seen the end.
    for (;;) {
      const packets = await outcome(few, { headers });
      if (packets.length === 1) break;
    }
  });

  test("T-2.22 a polling session stays until its packets are taken, five seconds at most", async () => {
    const timed = await stages.startTimed();
    const slow = await RawPolling.open(timed.url, { token: "forged" });
    await slow.send("40");
    timed.clock.advance(4_000);
    expect(await slow.take(3)).toEqual(INVALID as string[]);

    const never = await RawPolling.open(timed.url, { token: "forged" });
    await never.send("40");
    timed.clock.advance(6_000);
    expect(["1", undefined]).toContain((await never.poll())?.[0]);
    expect(await never.poll()).toBeNull();
  });

  test("T-2.23 a refused socket does nothing and is noticed by nobody", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const raw = await RawSocket.open(stage.url, { token: "forged" });
    await raw.next();
    raw.send("40", `421["join_room","${pin}"]`, `422["move",{"lat":1,"long":2,"roomId":"${pin}"}]`);
    expect(await raw.rest()).toEqual(INVALID as string[]);
    expect(await watcher.rest()).toEqual([]);
  });

  test("T-2.24 auth.v 2 gets one CONNECT_ERROR instead", async () => {
    const expected =
      '44{"message":"Invalid credentials","data":{"details":{"type":"invalid_credentials","msg":"Invalid credentials"}}}';
    const raw = await RawSocket.open(stage.url);
    await raw.next();
    raw.send('40{"v":2,"token":"forged"}');
    expect(await raw.next()).toBe(expected);
    raw.close();
    const client = await stage.client({ auth: { v: 2, token: "forged" }, headers: {}, patient: true });
    const [event, error] = await client.next();
    expect(event).toBe("connect_error");
    expect(error).toMatchObject({
      message: "Invalid credentials",
      data: { details: { type: "invalid_credentials", msg: "Invalid credentials" } },
    });
    for (const connect of ['{"v":"2"}', '{"v":3}', '{"v":[2]}']) {
      expect(await outcome(stage, { connect })).toEqual(INVALID);
    }
  });

  test("T-2.25 T-7.8 no check possible: transport close on the socket, 503 on REST", async () => {
    const dead = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(null, { status: 500 }) });
    try {
      const blind = await stages.start({ env: { TRACKER_JWKS_URL: `${dead.url.origin}/jwks` } });
      const { privateKey } = await generateKeyPair("ES256");
      const token = await new SignJWT({ user_id: 7, username: "seven", exp: Math.floor(Date.now() / 1000) + 600 })
        .setProtectedHeader({ alg: "ES256", kid: "k" })
        .sign(privateKey);
      const headers = { authorization: `Bearer ${token}` };
      const answer = await blind.call("GET", "/track/generate-pin", undefined, headers);
      expect([answer.status, answer.body as unknown]).toEqual([
        503,
        { details: { type: "service_unavailable", msg: "Service unavailable" } },
      ]);
      expect(await outcome(blind, { headers })).toEqual([]);
      const client = await blind.client({ generation: 2, headers, patient: true, transports: ["polling"] });
      expect((await client.until("disconnect")) as string).not.toBe("io server disconnect");
    } finally {
      await dead.stop(true);
    }
  });
});

describe("the token's end", () => {
  test("T-2.26 T-7.2 a live socket outlives its token by the grace, then error and 41", async () => {
    const timed = await stages.startTimed({ TRACKER_TOKEN_GRACE: "60" });
    const person = await timed.person({ exp: timed.clock.now() / 1000 + 100 });
    const pin = await timed.pin();
    const raw = await RawSocket.open(timed.url, { token: person.token });
    await raw.connect();
    raw.send(`421["join_room","${pin}"]`);
    expect(await raw.next()).toBe(`42${JSON.stringify(joined(person, pin))}`);
    expect(await raw.next()).toBe("431[]");
    for (let i = 0; i < 15; i++) {
      timed.clock.advance(10_000);
      raw.send(`422["move",{"lat":1,"long":2,"roomId":"${pin}"}]`);
      expect(await raw.next()).toBe(`42${JSON.stringify(moved(1, 2))}`);
      expect(await raw.next()).toBe("432[]");
    }
    await timed.pass(12_000);
    expect(await raw.rest()).toEqual(INVALID.slice(1) as string[]);
  });

  test("T-2.26 T-11.7 with the defaults no room joined while the token was valid is cut short", async () => {
    const timed = await stages.startTimed();
    const person = await timed.person({ exp: timed.clock.now() / 1000 + 2 });
    const pin = await timed.pin();
    const client = await timed.member(pin, { person });
    await timed.pass(1_799_000);
    client.move(pin, 1, 2);
    expect(await client.next()).toEqual(moved(1, 2));
    await timed.pass(2_000);
    expect(await client.next()).toEqual(NO_ROOM);
    await timed.pass(2_000);
    expect((await client.until("error")) as object).toMatchObject({ details: { type: "invalid_credentials" } });
    expect((await client.next()).slice(0, 2)).toEqual(["disconnect", "io server disconnect"]);
  });

  test("T-2.27 renew_token moves the end", async () => {
    const timed = await stages.startTimed({ TRACKER_TOKEN_GRACE: "10" });
    const now = timed.clock.now() / 1000;
    const person = await timed.person({ exp: now + 30 });
    const renewed = await timed.person({ user_id: person.user_id, exp: now + 300 });
    const stranger = await timed.person();
    const raw = await RawSocket.open(timed.url, { token: person.token });
    await raw.connect();
    const invalid = (type: string, msg: string) => `[{"ok":false,"error":{"type":"${type}","msg":"${msg}"}}]`;
    const ask = async (argument: unknown) => {
      raw.send(`425${JSON.stringify(["renew_token", argument])}`);
      return await raw.next();
    };
    const refused = `435${invalid("invalid_credentials", "Invalid credentials")}`;
    expect(await ask(stranger.token)).toBe(refused);
    expect(await ask("forged")).toBe(refused);
    expect(await ask("")).toBe(refused);
    expect(await ask({ token: renewed.token })).toBe(`435${invalid("invalid_data", "Invalid data")}`);
    expect(await ask(`Bearer ${renewed.token}`)).toBe('435[{"ok":true}]');
    for (let i = 0; i < 6; i++) {
      timed.clock.advance(10_000);
      expect(await ask("forged")).toBe(refused);
    }
    raw.close();
  });
});
