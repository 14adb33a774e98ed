import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { signToken } from "../../../src/accounts/sign.ts";
import { startProxy } from "../../support/proxy.ts";
import { Socket } from "./socket.ts";
import { eventually, type Stage, Stages, type TestUser } from "./stage.ts";

const JWT_SECRET = "a secret that signs JWTs for the fleet";
const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  const env = { FLEET_JWT_SECRET: JWT_SECRET, FLEET_MAX_SOCKETS_PER_USER: "3", FLEET_AUTH_FAILURES_PER_MINUTE: "1000" };
  stage = await stages.start({ env });
});
afterAll(() => stages.stop());

const refusal = '{"params":{"type":"auth","success":false}}';
const auth = (user_id: number, SESSID: string) => ({ type: "auth", query: { user_id, SESSID } });
let reports = 0;
/** Reports for a unit, each time later than before. */
const report = async (where: Stage, unit: { unique_id: string; key: string }) => {
  const { unique_id: id, key } = unit;
  return where.osmand({ id, key, lat: "1", lon: "2", timestamp: String(where.clock.now() + ++reports) });
};

/** Sends an `auth` and gives the answer and the close code, if there is one. */
async function attempt(query: object, where = stage): Promise<[string, number]> {
  const socket = await where.socket();
  socket.send({ type: "auth", query });
  return [await socket.text(), (await socket.closed).code];
}

describe("paths and origins", () => {
  test("F-1.1 F-1.2 F-1.8 the client socket, with and without a last slash, and at / without a token", async () => {
    const user = await stage.user();
    for (const path of ["/", "/fleet/ws", "/fleet/ws/", "/fleet/ws?token=x"]) {
      const watcher = await stage.watcher(user, { path });
      watcher.close();
      await watcher.closed;
    }
    const other = new Socket(`${stage.url}/?token=x`);
    await expect(other.opened()).rejects.toThrow();
    await using off = await stages.start({ env: { FLEET_ROOT: "false" } });
    await expect(new Socket(`${off.url}/`).opened()).rejects.toThrow();
  });

  test("F-1.9 F-7.12 an origin that is not allowed is accepted and closed with 4507", async () => {
    await using strict = await stages.start({ env: { FLEET_ORIGINS: "https://app.example" } });
    for (const path of ["/fleet/ws", "/fleet/device"]) {
      const stranger = await strict.socket(path, { origin: "https://evil.example" });
      expect((await stranger.closed).code).toBe(4507);
    }
    const user = await strict.user();
    const socket = await strict.socket("/fleet/ws", { origin: "https://app.example" });
    socket.send(auth(user.user_id, await strict.sessid(user)));
    expect(await socket.text()).toContain("true");
  });
});

describe("SESSIDs", () => {
  test("F-2.4 F-3.13 F-3.17 a free one is bound, one's own prolonged, another's refused, none is made", async () => {
    const [alice, bob] = [await stage.user(), await stage.user()];
    const SESSID = `${alice.login}${"A".repeat(26)}`.slice(0, 26);
    const { body, status } = await stage.rest("websocketAuth", alice, { SESSID });
    expect(status).toBe(200);
    expect(body).toEqual({
      error: false,
      code: 0,
      message: "",
      data: { user_id: alice.user_id, SESSID, expires_at: expect.any(String) },
    } as never);
    expect((await stage.rest("websocketAuth", alice, { SESSID })).body.error).toBe(false);
    expect((await stage.rest("websocketAuth", bob, { SESSID })).body).toEqual({
      error: true,
      code: 403,
      message: "Forbidden",
      data: [] as never,
    });
    const made = await stage.sessid(bob);
    expect(made).toMatch(/^[A-Za-z0-9]{26}$/);
    for (const bad of ["short", `${SESSID}A`, `${SESSID.slice(1)}-`, 7]) {
      expect((await stage.rest("websocketAuth", bob, { SESSID: bad })).body.message).toBe("Invalid parameter: SESSID");
    }
  });

  test("F-2.5 F-2.6 F-4.1 F-4.5 F-7.8 only the right user with a valid SESSID gets in", async () => {
    const [alice, bob] = [await stage.user(), await stage.user()];
    const SESSID = await stage.sessid(alice);
    await stage.watcher(alice, { sessid: SESSID });
    const queries = [
      { user_id: bob.user_id, SESSID },
      { user_id: alice.user_id, SESSID: "B".repeat(26) },
      { user_id: alice.user_id, SESSID: SESSID.slice(1) },
      { user_id: -1, SESSID },
      { user_id: alice.user_id },
    ];
    await using calm = await stages.start();
    for (const query of queries) expect(await attempt(query, calm)).toEqual([refusal, 4401]);
    const text = await calm.socket();
    text.send(auth(String(alice.user_id) as never, SESSID));
    expect(await text.text()).toContain("true");
  });

  test("F-2.7 without auth in time the socket is closed with 4408", async () => {
    await using timed = await stages.start({ env: { FLEET_AUTH_TIMEOUT_S: "5" } });
    const socket = await timed.socket();
    await timed.pass(4);
    expect(await socket.rest()).toEqual([]);
    expect(socket.ws.readyState).toBe(WebSocket.OPEN);
    await timed.pass(1);
    expect((await socket.closed).code).toBe(4408);
  });

  test("F-2.8 before auth nothing is carried out, and the socket stays", async () => {
    const user = await stage.user(await stage.unit());
    const socket = await stage.socket();
    socket.send({ type: "api", query: { id: "a", uid: 1, cmd: "getio" } });
    expect(await socket.text()).toBe(refusal);
    socket.send(auth(user.user_id, await stage.sessid(user)));
    expect(await socket.text()).toContain("true");
  });

  test("F-4.2 what is sent after auth waits for its answer", async () => {
    const unit = await stage.unit();
    const user = await stage.user(unit);
    const SESSID = await stage.sessid(user);
    const socket = await stage.socket();
    socket.send(auth(user.user_id, SESSID));
    socket.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getio" } });
    socket.send(auth(user.user_id, SESSID));
    const types = [await socket.next(), await socket.next(), await socket.next()].map(({ params }) => params.type);
    expect([types[0], types.slice(1).sort()]).toEqual(["auth", ["auth", "cmd-status"]]);
    expect(socket.texts.some((text) => text.includes('"success":false'))).toBe(false);
  });

  test("F-2.9 a second auth replaces user and units", async () => {
    const [one, two] = [await stage.unit(), await stage.unit()];
    const [alice, bob] = [await stage.user(one), await stage.user(two)];
    const socket = await stage.watcher(alice);
    socket.send(auth(bob.user_id, await stage.sessid(bob)));
    expect(await socket.text()).toContain("true");
    await report(stage, one);
    await report(stage, two);
    expect((await socket.rest()).map(({ uid }) => uid)).toEqual([two.uid]);
    socket.send(auth(bob.user_id, "C".repeat(26)));
    expect([await socket.text(), (await socket.closed).code]).toEqual([refusal, 4401]);
  });

  test("F-2.10 F-7.4 an expired SESSID closes its sockets with 4005; prolonged in time it does not", async () => {
    await using timed = await stages.start({ env: { FLEET_SESSION_TTL_S: "20" } });
    const [alice, bob] = [await timed.user(), await timed.user()];
    const SESSID = await timed.sessid(bob);
    const [lost, kept] = [await timed.watcher(alice), await timed.watcher(bob, { sessid: SESSID })];
    await timed.pass(12);
    await timed.rest("websocketAuth", bob, { SESSID });
    await timed.pass(7);
    expect([await lost.rest(), lost.ws.readyState]).toEqual([[], WebSocket.OPEN]);
    await timed.pass(1);
    expect((await lost.closed).code).toBe(4005);
    expect([await kept.rest(), kept.ws.readyState]).toEqual([[], WebSocket.OPEN]);
    expect(await attempt({ user_id: alice.user_id, SESSID: "D".repeat(26) }, timed)).toEqual([refusal, 4401]);
  });

  test("F-2.11 F-3.27 revoking, disabling and deleting close live sockets with 4401", async () => {
    const users = [await stage.user(), await stage.user(), await stage.user()] as const;
    const sockets = await Promise.all(users.map((user) => stage.watcher(user)));
    await stage.admin("DELETE", `/users/${users[0].user_id}/sessions`);
    await stage.admin("PATCH", `/users/${users[1].user_id}`, { disabled: true });
    await stage.admin("DELETE", `/users/${users[2].user_id}`);
    for (const socket of sockets) expect((await socket.closed).code).toBe(4401);
    expect((await stage.rest("websocketAuth", users[1])).status).toBe(401);
  });

  test("F-2.12 an address that fails too often is not listened to", async () => {
    await using wary = await stages.start({
      env: { FLEET_AUTH_FAILURES_PER_MINUTE: "2", FLEET_REST_PER_SECOND: "10" },
    });
    const user = await wary.user();
    const SESSID = await wary.sessid(user);
    const wrong: TestUser = { ...user, basic: `Basic ${btoa(`${user.login}:wrong`)}` };
    expect((await wary.rest("vehiclesForUser", wrong)).status).toBe(401);
    expect(await attempt({ user_id: user.user_id, SESSID: "E".repeat(26) }, wary)).toEqual([refusal, 4401]);
    const late = await wary.rest("vehiclesForUser", user);
    expect([late.status, late.body]).toEqual([
      200,
      { error: true, code: 429, message: "wait 100ms between requests", data: [] as never },
    ]);
    expect(await attempt({ user_id: user.user_id, SESSID }, wary)).toEqual([refusal, 4429]);
  });

  test("F-7.7 one socket too many is told and closed with 4013", async () => {
    const user = await stage.user();
    for (let i = 0; i < 3; i++) await stage.watcher(user);
    expect(await attempt({ user_id: user.user_id, SESSID: await stage.sessid(user) })).toEqual([refusal, 4013]);
  });

  test("F-7.7 so is one more than the node takes", async () => {
    await using small = await stages.start({ env: { MAX_CONNECTIONS: "1" } });
    await small.watcher(await small.user());
    const socket = await small.socket();
    expect([await socket.text(), (await socket.closed).code]).toEqual([refusal, 4013]);
  });
});

describe("entitlements", () => {
  test("F-5.1 F-2.13 a user sees the units given to him with `view`, and no others", async () => {
    const [mine, dark, other] = [await stage.unit(), await stage.unit(), await stage.unit()];
    const user = await stage.user(mine);
    await stage.entitle(user.user_id, [{ uid: dark.uid, rights: ["command"] }], "POST");
    const watcher = await stage.watcher(user);
    for (const unit of [other, dark, mine]) expect((await report(stage, unit)).status).toBe(200);
    expect((await watcher.rest()).map(({ uid }) => uid)).toEqual([mine.uid]);
    const { body } = await stage.rest("vehiclesForUser", user);
    expect((body.data as { mid: number }[]).map(({ mid }) => mid)).toEqual([mine.uid]);
  });

  test("F-2.13 F-3.23 F-12.1 what is given and taken reaches live sockets; a disabled or deleted unit is gone", async () => {
    const units = [await stage.unit(), await stage.unit(), await stage.unit()] as const;
    const user = await stage.user(units[0], units[1]);
    const watcher = await stage.watcher(user);
    await stage.entitle(user.user_id, [{ uid: units[2].uid }], "POST");
    await eventually(async () => (await report(stage, units[2])) && (await watcher.rest()).length > 0);
    await stage.admin("DELETE", `/users/${user.user_id}/units/${units[0].uid}`);
    await eventually(async () => (await report(stage, units[0])) && (await watcher.rest()).length === 0);
    expect((await report(stage, units[1])).status).toBe(200);
    expect((await watcher.next()).uid).toBe(units[1].uid);
    const tracker = await stage.device(units[1]);
    await stage.admin("PATCH", `/units/${units[1].uid}`, { disabled: true });
    expect((await tracker.closed).code).toBe(4401);
    expect((await report(stage, units[1])).status).toBe(400);
    await stage.admin("DELETE", `/units/${units[2].uid}`);
    expect((await report(stage, units[2])).status).toBe(400);
    expect((await stage.rest("vehiclesForUser", user)).body.data).toEqual([] as never);
  });
});

describe("F-2.2 F-2.3 who calls the REST", () => {
  test("F-2.1 a disabled account fails everywhere as a wrong one does", async () => {
    await using at = await stages.start({
      env: { FLEET_JWT_SECRET: JWT_SECRET, FLEET_AUTH_FAILURES_PER_MINUTE: "1000" },
    });
    const user = await at.user();
    const sub = String(user.user_id);
    const { token } = (await at.admin("POST", `/users/${sub}/tokens`)).body.data as { token: string };
    const jwt = await signToken({ sub, exp: Math.floor(Date.now() / 1000) + 3_600 }, JWT_SECRET);
    const SESSID = await at.sessid(user);
    const ways = [user.basic, `Bearer ${token}`, `Bearer ${jwt}`];
    const statuses = () =>
      Promise.all(ways.map(async (basic) => (await at.rest("vehiclesForUser", { ...user, basic })).status));
    expect(await statuses()).toEqual([200, 200, 200]);
    await at.admin("PATCH", `/users/${sub}`, { disabled: true });
    expect(await statuses()).toEqual([401, 401, 401]);
    expect(await attempt({ user_id: user.user_id, SESSID }, at)).toEqual([refusal, 4401]);
    await at.admin("PATCH", `/users/${sub}`, { disabled: false });
    expect(await statuses()).toEqual([200, 200, 200]);
  });

  test("F-9.3 JWTs by published keys, with the claim that FLEET_JWT_USER_CLAIM names", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const keys = [{ ...(await exportJWK(publicKey)), kid: "one" }];
    using issuer = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys }) });
    const env = { FLEET_JWKS_URL: issuer.url.href, FLEET_JWT_USER_CLAIM: "driver" };
    await using published = await stages.start({ env: { ...env, FLEET_AUTH_FAILURES_PER_MINUTE: "1000" } });
    const user = await published.user();
    const call = async (claims: object, key: CryptoKey = privateKey, kid = "one", at = published) => {
      const token = await new SignJWT({ ...claims }).setProtectedHeader({ alg: "ES256", kid }).sign(key);
      return (await at.rest("vehiclesForUser", { ...user, basic: `Bearer ${token}` })).status;
    };
    const exp = Math.floor(Date.now() / 1000) + 3_600;
    const driver = user.user_id;
    expect([await call({ driver, exp }), await call({ driver: String(driver), exp })]).toEqual([200, 200]);
    const stranger = await generateKeyPair("ES256");
    expect([
      await call({ driver, exp: exp - 7_200 }),
      await call({ sub: String(driver), exp }),
      await call({ driver: "someone", exp }),
      await call({ driver, exp }, stranger.privateKey),
      await call({ driver, exp }, privateKey, "two"),
    ]).toEqual([401, 401, 401, 401, 401]);
    const away = await startProxy({ host: "127.0.0.1", port: Number(issuer.url.port) });
    away.cut();
    try {
      await using blind = await stages.start({ env: { ...env, FLEET_JWKS_URL: `http://127.0.0.1:${away.port}/` } });
      expect(await call({ driver, exp }, privateKey, "one", blind)).toBe(503);
    } finally {
      await away.close();
    }
    await using off = await stages.start();
    expect(await call({ driver, exp }, privateKey, "one", off)).toBe(401);
  });

  test("F-2.2 a password that was being checked while it was changed is not believed afterwards", async () => {
    const user = await stage.user();
    const early = Array.from({ length: 6 }, () => stage.rest("vehiclesForUser", user));
    await stage.admin("PATCH", `/users/${user.user_id}`, { password: "another" });
    await Promise.all(early);
    expect((await stage.rest("vehiclesForUser", user)).status).toBe(401);
  });

  test("Basic credentials are UTF-8, or Latin-1 as `btoa` makes them", async () => {
    const user = await stage.user();
    const password = "pä:ß€";
    await stage.admin("PATCH", `/users/${user.user_id}`, { password });
    const as = async (bytes: Uint8Array) =>
      (await stage.rest("vehiclesForUser", { ...user, basic: `Basic ${Buffer.from(bytes).toString("base64")}` }))
        .status;
    expect(await as(Buffer.from(`${user.login}:${password}`, "utf8"))).toBe(200);
    await stage.admin("PATCH", `/users/${user.user_id}`, { password: "pä:ß" });
    expect(await as(Buffer.from(`${user.login}:pä:ß`, "latin1"))).toBe(200);
    expect(await as(Buffer.from(`${user.login}:pä`, "latin1"))).toBe(401);
  });

  test("F-3.26 Basic, JWT and API token; anything else is 401 with a challenge", async () => {
    const user = await stage.user();
    const exp = Math.floor(Date.now() / 1000) + 3_600;
    const { body } = await stage.admin("POST", `/users/${user.user_id}/tokens`);
    const { id, token } = body.data as { id: string; token: string };
    const call = async (authorization: string) =>
      (await stage.rest("vehiclesForUser", { ...user, basic: authorization })).status;
    const jwt = (claims: object, secret = JWT_SECRET) => signToken({ exp, ...claims }, secret);
    expect(await call(`Bearer ${await jwt({ sub: String(user.user_id) })}`)).toBe(200);
    expect(await call(`Bearer ${token}`)).toBe(200);
    expect(await call(user.basic)).toBe(200);
    await stage.admin("DELETE", `/users/${user.user_id}/tokens/${id}`);
    expect((await stage.admin("DELETE", `/users/${user.user_id}/tokens/${id}`)).status).toBe(404);
    const wrong = [
      ...["", "Basic", "Basic !!!", `Basic ${btoa("nobody:x")}`, `Bearer ${token}`, "Bearer a.b.c", "Digest x"],
      `Bearer ${await jwt({ sub: String(user.user_id) }, `${JWT_SECRET}!`)}`,
      `Bearer ${await jwt({ sub: String(user.user_id), exp: exp - 7_200 })}`,
      `Bearer ${await jwt({ sub: "2000000000" })}`,
    ];
    await using patient = await stages.start({
      env: { FLEET_JWT_SECRET: JWT_SECRET, FLEET_AUTH_FAILURES_PER_MINUTE: "1000" },
    });
    for (const authorization of wrong) {
      const answer = await patient.rest("vehiclesForUser", { ...user, basic: authorization });
      expect([authorization, answer.status]).toEqual([authorization, 401]);
      expect(answer.headers.get("www-authenticate")).toBe('Basic realm="fleet"');
      expect(answer.body).toEqual({ error: true, code: 401, message: "Unauthorized", data: [] as never });
    }
  });
});
