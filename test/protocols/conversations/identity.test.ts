import { afterAll, beforeAll, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { signToken } from "../../../src/accounts/sign.ts";
import { ManualClock } from "../../support/clock.ts";
import { SECRET, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

const now = () => Math.floor(Date.now() / 1000);
const claims = (more: Record<string, unknown> = {}) => ({ sub: "77", exp: now() + 600, ...more });

/** Whether a token is taken: by the chat of both generations, and by REST. All of them must agree. */
async function taken(at: Stage, token: string): Promise<boolean> {
  const { status } = await at.call({ id: "77", token }, "GET", "/rooms");
  const verdicts = [status === 200];
  for (const generation of [2, 4] as const) {
    const credentials = { token, user_id: "77", user_role: "SELLER" };
    const client = await at.client({ generation, credentials });
    const [event, reason] = await client.next();
    if (event !== "connect") expect(reason).toBe("Authentication Error");
    verdicts.push(event === "connect");
    client.close();
  }
  expect(new Set(verdicts).size).toBe(1);
  return verdicts[0]!;
}

test("V-2.2 V-9.2 the secret, and the previous one before its end", async () => {
  const previous = "the secret that was in use before this";
  const old = await signToken(claims(), previous);
  expect(await taken(stage, old)).toBe(false);
  const env = (until: number) => ({
    CONVERSATIONS_JWT_SECRET_PREVIOUS: previous,
    CONVERSATIONS_JWT_SECRET_PREVIOUS_UNTIL: new Date(until).toISOString(),
  });
  const rotating = await stages.start({ env: env(Date.now() + 600_000) });
  expect(await taken(rotating, old)).toBe(true);
  expect(await taken(rotating, await signToken(claims(), SECRET))).toBe(true);
  const over = await stages.start({ env: env(Date.now() - 1_000) });
  expect(await taken(over, old)).toBe(false);
  expect(await taken(over, await signToken(claims(), SECRET))).toBe(true);
});

test("V-2.2 V-9.3 published keys of every kind beside the secret; none serves as a secret", async () => {
  const algorithms = ["RS256", "ES256", "EdDSA"];
  const pairs = await Promise.all(algorithms.map((alg) => generateKeyPair(alg, { extractable: true })));
  const keys = await Promise.all(
    pairs.map(async ({ publicKey }, index) => ({ ...(await exportJWK(publicKey)), kid: `k${index}` })),
  );
  using issuer = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys }) });
  const at = await stages.start({ env: { CONVERSATIONS_JWKS_URL: `${issuer.url.origin}/jwks` } });
  const sign = (alg: string, kid: string, key: CryptoKey | Uint8Array) =>
    new SignJWT(claims()).setProtectedHeader({ alg, kid }).sign(key);
  for (const [index, alg] of algorithms.entries()) {
    expect([alg, await taken(at, await sign(alg, `k${index}`, pairs[index]!.privateKey))]).toEqual([alg, true]);
  }
  expect(await taken(at, await signToken(claims(), SECRET))).toBe(true);
  expect(await taken(at, await sign("RS256", "k1", pairs[0]!.privateKey))).toBe(false);
  const stranger = await generateKeyPair("RS256");
  for (const kid of ["k0", "unknown"])
    expect(await taken(at, await sign("RS256", kid, stranger.privateKey))).toBe(false);
  const published = new TextEncoder().encode(JSON.stringify(keys[0]));
  expect(await taken(at, await sign("HS256", "k0", published))).toBe(false);
  expect(await taken(stage, await sign("RS256", "k0", pairs[0]!.privateKey))).toBe(false);
});

test("V-2.2 exp and nbf with 30 s of leeway, V-9.3 issuer and audience where they are set", async () => {
  const clock = new ManualClock();
  const still = await stages.start({ clock });
  const then = clock.now() / 1000;
  for (const [given, verdict] of [
    [{ exp: then - 29 }, true],
    [{ exp: then - 30 }, false],
    [{ nbf: then + 30 }, true],
    [{ nbf: then + 31 }, false],
    [{ exp: undefined }, false],
  ] as const) {
    expect([given, await taken(still, await signToken(claims(given), SECRET))]).toEqual([given, verdict]);
  }
  const env = { CONVERSATIONS_JWT_ISSUER: "shop", CONVERSATIONS_JWT_AUDIENCE: "chat" };
  const at = await stages.start({ env });
  for (const [given, verdict] of [
    [{ iss: "shop", aud: "chat" }, true],
    [{ iss: "shop", aud: ["other", "chat"] }, true],
    [{ iss: "other", aud: "chat" }, false],
    [{ iss: "shop", aud: "other" }, false],
    [{}, false],
  ] as const) {
    expect([given, await taken(at, await signToken(claims(given), SECRET))]).toEqual([given, verdict]);
  }
});

test("V-2.12 V-3.18 while the keys cannot be had nobody is refused for good: 503, and sockets come back", async () => {
  const { privateKey } = await generateKeyPair("RS256");
  const token = await new SignJWT(claims()).setProtectedHeader({ alg: "RS256", kid: "k" }).sign(privateKey);
  const at = await stages.start({ env: { CONVERSATIONS_JWKS_URL: "http://127.0.0.1:1/jwks" } });
  const { status, body } = await at.call({ id: "77", token }, "GET", "/rooms");
  expect([status, body]).toEqual([503, { status: false, code: "UNAVAILABLE", message: "Try again later" }]);
  const credentials = { token, user_id: "77", user_role: "SELLER" };
  const client = await at.client({ generation: 4, credentials });
  expect(await client.until<string>("disconnect").catch(() => "")).toBe("transport close");
});
