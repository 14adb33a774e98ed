import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { signToken } from "../../../src/accounts/sign.ts";
import { freePort } from "../../support/free-port.ts";
import { ends, received } from "./client.ts";
import { failed, outcome, type Person, SECRET, type Stage, Stages, type TimedStage, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

const inAnHour = () => Math.floor(Date.now() / 1000) + 3_600;
const good = () => ({ sub: randomUUID(), exp: inAnHour(), role: "authenticated", aud: "authenticated" });
const sign = (claims: { exp: number; [claim: string]: unknown }, secret = SECRET) => signToken(claims, secret);

/** What socket and REST say to a token: null where it is taken. */
async function verdicts(token: string, at: Stage = stage): Promise<[close: number | null, error: string | null]> {
  const socket = await socketVerdict(at, `/chat/ws?token=${token}`);
  const { body } = await at.call("GET", "/chat/rooms", { headers: { authorization: `Bearer ${token}` } });
  return [socket, Array.isArray(body) ? null : (body as { error_message: string }).error_message];
}

async function socketVerdict(
  at: Stage,
  path: string,
  options: { headers?: Record<string, string>; protocols?: string[] } = {},
): Promise<number | null> {
  const client = await at.knock(path, options).opened();
  // Whoever is let in hears nothing but the answer to this.
  client.send(0, "?");
  const first = await client.next();
  client.close();
  return first.type === "Disconnection" ? (first.data.code as number) : null;
}

const INVALID = [4002, "invalid token"] as const;
const MISSING = [4001, "missing token"] as const;
const TAKEN = [null, null] as const;

describe("section 2: where the token comes from", () => {
  test("C-2.1 C-2.2 the first parameter `token`, else the Authorization header", async () => {
    const { token } = await stage.person();
    expect(await socketVerdict(stage, `/chat/ws?token=${token}&token=forged`)).toBe(null);
    expect(await socketVerdict(stage, `/chat/ws?token=forged&token=${token}`)).toBe(4002);
    const headers = { authorization: `bearer ${token}` };
    expect(await socketVerdict(stage, "/chat/ws", { headers })).toBe(null);
    expect(await socketVerdict(stage, "/?token=", { headers })).toBe(null);
    expect(await socketVerdict(stage, "/chat/ws?token=forged", { headers })).toBe(4002);
  });

  test("C-10.2 the subprotocol of a browser, which is told patchbay.chat", async () => {
    const { token } = await stage.person();
    const protocols = ["patchbay.chat", `token.${token}`];
    const client = await stage.knock("/chat/ws", { protocols }).opened();
    expect(client.socket.protocol).toBe("patchbay.chat");
    expect(await socketVerdict(stage, "/chat/ws", { protocols })).toBe(null);
    expect(await socketVerdict(stage, "/chat/ws", { protocols: ["patchbay.chat", "token.forged"] })).toBe(4002);
  });

  test("C-2.3 REST: Bearer in any case, else the header `token`", async () => {
    const { token } = await stage.person();
    const status = async (headers: Record<string, string>) => (await stage.call("GET", "/rooms", { headers })).status;
    for (const authorization of [`Bearer ${token}`, `bearer ${token}`, `BEARER   ${token}`]) {
      expect(await status({ authorization })).toBe(200);
    }
    expect(await status({ token })).toBe(200);
    expect(await status({ token, authorization: "Bearer forged" })).toBe(401);
    expect(await status({ token: "forged", authorization: `Bearer ${token}` })).toBe(200);
  });
});

describe("section 2: which tokens are taken", () => {
  test("the table: nothing, nonsense, a wrong signature, and the text null", async () => {
    expect(await verdicts("")).toEqual([...MISSING]);
    const strange = await sign(good(), "another secret of somebody else");
    for (const token of ["null", "forged", "a.b.c", strange, `${strange}x`, "x".repeat(5_000)]) {
      expect([token, ...(await verdicts(token))]).toEqual([token, ...INVALID]);
    }
    expect((await stage.call("GET", "/rooms")).status).toBe(401);
  });

  test("C-2.4 the previous secret until its end, and published keys by kid", async () => {
    const older = "an older secret that was in use before";
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const key = { ...(await exportJWK(publicKey)), kid: "one" };
    const issuer = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [key] }) });
    const until = (ms: number) => ({
      CHAT_JWT_SECRET_PREVIOUS: older,
      CHAT_JWT_SECRET_PREVIOUS_UNTIL: new Date(Date.now() + ms).toISOString(),
    });
    const both = await stages.start({ env: { ...until(3_600_000), CHAT_JWKS_URL: issuer.url.href } });
    const late = await stages.start({ env: until(-1_000) });
    const published = (kid: string) => new SignJWT(good()).setProtectedHeader({ alg: "ES256", kid }).sign(privateKey);
    expect(await verdicts(await sign(good(), older), both)).toEqual([...TAKEN]);
    expect(await verdicts(await published("one"), both)).toEqual([...TAKEN]);
    expect(await verdicts(await published("two"), both)).toEqual([...INVALID]);
    expect(await verdicts(await sign(good(), older), late)).toEqual([...INVALID]);
    await issuer.stop(true);
  });

  test("C-2.5 neither `alg: none` nor HS256 with a published key", async () => {
    const { publicKey } = await generateKeyPair("RS256", { extractable: true });
    const key = { ...(await exportJWK(publicKey)), kid: "one" };
    const issuer = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [key] }) });
    const at = await stages.start({ env: { CHAT_JWT_SECRET: "", CHAT_JWKS_URL: issuer.url.href } });
    const pem = Buffer.from(JSON.stringify(key));
    const confused = new SignJWT(good()).setProtectedHeader({ alg: "HS256", kid: "one" }).sign(pem);
    expect(await verdicts(await confused, at)).toEqual([...INVALID]);
    expect(await verdicts(new UnsecuredJWT(good()).encode(), at)).toEqual([...INVALID]);
    expect(await verdicts(new UnsecuredJWT(good()).encode())).toEqual([...INVALID]);
    await issuer.stop(true);
  });

  test("C-2.6 C-2.7 what sub, exp, role and aud must be", async () => {
    const { sub, exp } = good();
    const taken = [
      { sub, exp },
      { ...good(), aud: ["other", "authenticated"] },
      { ...good(), extra: { deep: [1] } },
    ];
    for (const claims of taken) expect([claims, ...(await verdicts(await sign(claims)))]).toEqual([claims, ...TAKEN]);
    const { exp: _, ...endless } = good();
    const refused = [
      { exp },
      { ...good(), sub: "someone" },
      { ...good(), role: "anon" },
      { exp, role: "anon", iss: "supabase" },
      { exp, role: "service_role", iss: "supabase" },
      { ...good(), role: "service_role" },
      { ...good(), aud: "other" },
      { ...good(), aud: [] },
      { ...good(), role: null },
      endless as (typeof taken)[0],
    ];
    for (const claims of refused) {
      expect([claims, ...(await verdicts(await sign(claims)))]).toEqual([claims, ...INVALID]);
    }
  });

  test("C-2.6 CHAT_STRICT_CLAIMS and CHAT_JWT_ISSUER ask for more", async () => {
    const { sub, exp } = good();
    const strict = await stages.start({ env: { CHAT_STRICT_CLAIMS: "on", CHAT_JWT_ISSUER: "https://issuer.example" } });
    const iss = "https://issuer.example";
    expect(await verdicts(await sign({ ...good(), iss }), strict)).toEqual([...TAKEN]);
    for (const claims of [
      { sub, exp, iss },
      { sub, exp, iss, role: "authenticated" },
      good(),
      { ...good(), iss: "x" },
    ]) {
      expect(await verdicts(await sign(claims), strict)).toEqual([...INVALID]);
    }
  });

  test("C-2.6 C-2.12 an expired token, after the skew, is told so; with other faults as well it is only invalid", async () => {
    const timed = await stages.startTimed();
    const now = Math.floor(timed.clock.now() / 1000);
    expect(await verdicts(await sign({ ...good(), exp: now - 4 }), timed)).toEqual([...TAKEN]);
    expect(await verdicts(await sign({ ...good(), exp: now - 6 }), timed)).toEqual([4002, "token is expired"]);
    for (const claims of [{ exp: now - 60 }, { ...good(), role: "anon", exp: now - 60 }]) {
      expect(await verdicts(await sign(claims), timed)).toEqual([...INVALID]);
    }
  });

  test("C-2.15 the sixth expired token of a user within a minute is only invalid", async () => {
    const sub = randomUUID();
    const exp = Math.floor(Date.now() / 1000) - 60;
    const told: unknown[] = [];
    const tokens = await Promise.all(Array.from({ length: 6 }, (_, number) => sign({ sub, exp, number })));
    for (const token of [...tokens, tokens[0]!]) {
      const { body } = await stage.call("GET", "/rooms", { headers: { token } });
      told.push((body as { message: string }).message);
    }
    const expired = "token is expired";
    expect(told).toEqual([...Array(5).fill(expired), "invalid token", expired]);
  });

  test("C-2.8 ids are compared without regard to case and shown in lower case", async () => {
    const [alice, bobby] = await stage.people(2);
    const loud: Person = await stage.person({ sub: alice!.id.toUpperCase() });
    expect(loud.id).toBe(alice!.id);
    const body = { users: [bobby!.id.toUpperCase(), alice!.id], apartment_id: null };
    const made = await stage.call("POST", "/rooms", { as: loud, body });
    const { data: room } = made.body as { data: number };
    const { body: list } = await stage.call("GET", "/chat/rooms", { as: bobby! });
    expect(list).toMatchObject([{ room_id: room, participants_id: [alice!.id, bobby!.id] }]);
    const [a, b] = [await stage.client(loud), await stage.client(bobby!)];
    await a.say(room, "Hi");
    expect(await b.next()).toEqual(received(room, alice!.id, "Hi"));
  });

  test("C-2.11 C-2.13 a failure on the socket comes after the upgrade; REST uses 401 for tokens alone and never 403", async () => {
    for (const path of ["/chat/ws", "/?token=forged"]) {
      const client = await stage.knock(path).opened();
      const { end, frames } = await outcome(client);
      expect(frames).toEqual(told(end).frames);
    }
    const { status, body } = await stage.call("PUT", "/rooms", { as: await stage.person(), body: { room_id: 1 } });
    expect([status, body]).toEqual([404, failed("room not found")]);
  });

  test("a check that cannot be made: 4006 and 503", async () => {
    const jwks = `http://127.0.0.1:${await freePort()}/keys`;
    const blind = await stages.start({ env: { CHAT_JWT_SECRET: "", CHAT_JWKS_URL: jwks } });
    const { privateKey } = await generateKeyPair("ES256");
    const token = await new SignJWT(good()).setProtectedHeader({ alg: "ES256", kid: "one" }).sign(privateKey);
    expect(await verdicts(token, blind)).toEqual([4006, "service unavailable"]);
    const { status } = await blind.call("GET", "/rooms", { headers: { token } });
    expect(status).toBe(503);
  });
});

describe("section 2: the end of a token", () => {
  let timed: TimedStage;
  beforeAll(async () => {
    timed = await stages.startTimed();
  });
  const lasting = (seconds: number, claims = {}) =>
    timed.person({ exp: Math.floor(timed.clock.now() / 1000) + seconds, ...claims });

  test("C-2.14 a live socket ends with its token and the skew", async () => {
    const client = await timed.client(await lasting(60));
    await timed.pass(64_000);
    expect((await client.say(0, "?")).reason).toBe("not a participant of this room");
  });

  test("C-2.14 4002 when token and skew are over", async () => {
    const client = await timed.client(await lasting(60));
    await timed.pass(66_000);
    expect(await outcome(client)).toEqual(told(ends.badToken));
  });

  test("C-4.20 RefreshToken moves the end and is answered", async () => {
    const who = await lasting(60);
    const client = await timed.client(who);
    const { token } = await lasting(600, { sub: who.id.toUpperCase() });
    client.raw(JSON.stringify({ type: "RefreshToken", data: { token } }));
    const expires_at = new Date(Math.floor(timed.clock.now() / 1000) * 1000 + 600_000).toISOString();
    expect(await client.next()).toEqual({ type: "TokenRefreshed", data: { expires_at } });
    await timed.pass(120_000);
    expect(client.isClosed).toBe(false);
    await timed.pass(500_000);
    expect(await outcome(client)).toEqual(told(ends.badToken));
  });

  test("C-4.20 any other token ends the socket with 4002", async () => {
    const stranger = await lasting(600);
    for (const token of ["", "forged", stranger.token, (await lasting(-60)).token]) {
      const client = await timed.client(await lasting(600));
      client.raw(JSON.stringify({ type: "RefreshToken", data: { token } }));
      expect([token, await outcome(client)]).toEqual([token, { ...told(ends.badToken) }]);
    }
  });

  test("C-4.20 a token that never ends in this world is shown with the last date there is", async () => {
    const who = await lasting(60);
    const client = await timed.client(who);
    const { token } = await timed.person({ sub: who.id, exp: 1e300 });
    client.raw(JSON.stringify({ type: "RefreshToken", data: { token } }));
    expect(await client.next()).toMatchObject({ type: "TokenRefreshed" });
  });
});
