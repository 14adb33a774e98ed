import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { signToken } from "../../src/accounts/sign.ts";
import { type Claims, TokenCheckUnavailable, TokenRefused, type VerifierOptions } from "../../src/accounts/tokens.ts";
import { createVerifier } from "../../src/accounts/verifier.ts";
import { ManualClock } from "../support/clock.ts";

setDefaultTimeout(120_000);

const secret = "a-secret-that-is-long-enough-for-hs256";
const older = "an-older-secret-that-is-long-enough-too";

let clock: ManualClock;
beforeEach(() => {
  clock = new ManualClock();
});

const seconds = () => Math.floor(clock.now() / 1000);
const claims = (more: object = {}) => ({ sub: "7", exp: seconds() + 60, ...more });
const verifier = (options: Partial<VerifierOptions> = {}) =>
  createVerifier({ clock, secret, clockSkew: 0, ...options });

/** The fault a token is refused for; null when it is accepted. */
async function fault(token: string | Promise<string>, options: Partial<VerifierOptions> = {}): Promise<string | null> {
  try {
    await verifier(options).verify(await token);
    return null;
  } catch (error) {
    if (error instanceof TokenRefused) return error.fault;
    throw error;
  }
}

/** A token from any header and payload, signed with HMAC and any secret, as only an attacker would make it. */
function forged(header: object, payload: unknown, key = secret): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part(header)}.${typeof payload === "string" ? payload : part(payload)}`;
  return `${signed}.${new Bun.CryptoHasher("sha256", key).update(signed).digest("base64url")}`;
}

describe("signed tokens", () => {
  test("are the same text for the same claims", async () => {
    const token = await signToken(claims(), secret);
    expect(await signToken(claims(), secret)).toBe(token);
    expect(await signToken(claims({ n: 1 }), secret)).not.toBe(token);
    expect(JSON.parse(atob(token.split(".")[0] as string))).toEqual({ alg: "HS256", typ: "JWT" });
  });

  test("hold exactly the claims that were given", async () => {
    const given: Claims = { user_id: 7, username: "ada", exp: seconds() + 60 };
    expect(await verifier().verify(await signToken(given, secret))).toEqual(given);
  });
});

describe("a verifier with a secret", () => {
  test("tells faults apart", async () => {
    const good = await signToken(claims(), secret);
    const [header, payload, signature] = good.split(".") as [string, string, string];
    expect(await fault(good)).toBeNull();
    expect(await fault("")).toBe("missing");
    for (const text of [
      "x",
      "..",
      "a.b.c",
      good.slice(1),
      `${header}.${payload}`,
      `${good}.x`,
      `${good}=`,
      `${good}\n`,
      ` ${good}`,
      `${header}.${payload}.!`,
      " ",
    ]) {
      expect(await fault(text)).toBe("malformed");
    }
    expect(await fault(`${header}.${payload}.${signature.slice(0, -4)}AAAA`)).toBe("signature");
    expect(await fault(`${header}.${payload}.`)).toBe("signature");
    expect(await fault(signToken(claims(), "another-secret"))).toBe("signature");
    expect(await fault(signToken(claims({ exp: seconds() - 1 }), secret))).toBe("expired");
    expect(await fault(signToken(claims({ nbf: seconds() + 10 }), secret))).toBe("claims");
  });

  test("refuses every other algorithm, none included", async () => {
    for (const alg of ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "dir"]) {
      expect(await fault(forged({ alg }, claims()))).toBe("algorithm");
    }
    expect(await fault(`${forged({ alg: "none" }, claims()).split(".").slice(0, 2).join(".")}.`)).toBe("algorithm");
    expect(await fault(forged({}, claims()))).toBe("malformed");
    expect(await fault(forged({ alg: "HS256", crit: ["b64"], b64: false }, "plain"))).toBe("malformed");
    expect(await fault(forged({ alg: "HS256", crit: ["unheard-of"] }, claims()))).toBe("malformed");
  });

  test("insists on a number in exp, and on sane types elsewhere", async () => {
    const header = { alg: "HS256" };
    for (const exp of [undefined, null, "soon", String(seconds() + 60), true, {}]) {
      expect(await fault(forged(header, { exp }))).toBe("claims");
    }
    const endless = Buffer.from('{"exp":1e999}').toString("base64url");
    expect(await fault(forged(header, endless))).toBe("claims");
    for (const sub of [7.5, true, null, {}, ["7"]]) {
      expect(await fault(forged(header, claims({ sub })))).toBe("claims");
    }
    expect(await fault(forged(header, claims({ nbf: "now" })))).toBe("claims");
    for (const payload of [null, 7, "text", [], true]) {
      expect(await fault(forged(header, Buffer.from(JSON.stringify(payload)).toString("base64url")))).toBe("malformed");
    }
  });

  test("V-2.3 F-2.2 takes a subject that is a number as it is", async () => {
    const header = { alg: "HS256", typ: "JWT" };
    expect((await verifier().verify(forged(header, claims({ sub: 7 })))).sub).toBe(7);
  });

  test("refuses a text longer than 16 KB before it looks at it", async () => {
    const room = 16_384 - (await signToken(claims({ pad: "" }), secret)).length;
    const fits = await signToken(claims({ pad: "x".repeat(Math.floor((room * 3) / 4) - 2) }), secret);
    expect(fits.length).toBeLessThanOrEqual(16_384);
    expect(await fault(fits)).toBeNull();
    expect(await fault(signToken(claims({ pad: "x".repeat(room) }), secret))).toBe("malformed");
    expect(await fault("x".repeat(10_000_000))).toBe("malformed");
  });

  test("goes by the injected clock, to the second, with the skew it is given", async () => {
    const token = await signToken({ exp: seconds() + 60 }, secret);
    const early = await signToken(claims({ nbf: seconds() + 5 }), secret);
    expect(await fault(early, { clockSkew: 4_000 })).toBe("claims");
    expect(await fault(early, { clockSkew: 5_000 })).toBeNull();
    clock.advance(59_000);
    expect(await fault(token)).toBeNull();
    clock.advance(1_000);
    expect(await fault(token)).toBe("expired");
    expect(await fault(token, { clockSkew: 5_000 })).toBeNull();
    clock.advance(5_000);
    expect(await fault(token, { clockSkew: 5_000 })).toBe("expired");
  });

  test("insists on issuer and audience when it is told them", async () => {
    const token = await signToken(claims({ iss: "us", aud: ["app", "web"] }), secret);
    expect(await fault(token, { issuer: "us", audience: "app" })).toBeNull();
    expect(await fault(token, { issuer: "them" })).toBe("claims");
    expect(await fault(token, { audience: "admin" })).toBe("claims");
    expect(await fault(signToken(claims(), secret), { issuer: "us" })).toBe("claims");
    expect(await fault(signToken(claims(), secret), { audience: "app" })).toBe("claims");
  });

  test("believes the previous secret until its date, and the current one throughout", async () => {
    const previous = { secret: older, until: new Date(clock.now() + 10_000) };
    const [before, now] = [await signToken(claims(), older), await signToken(claims(), secret)];
    expect(await fault(before, { previous })).toBeNull();
    expect(await fault(now, { previous })).toBeNull();
    expect(await fault(signToken(claims({ exp: seconds() - 1 }), older), { previous })).toBe("expired");
    expect(await fault(signToken(claims(), "a third one"), { previous })).toBe("signature");
    clock.advance(10_000);
    expect(await fault(before, { previous })).toBe("signature");
    expect(await fault(now, { previous })).toBeNull();
  });

  test("without any key nothing is believed", async () => {
    expect(await fault(signToken(claims(), secret), { secret: undefined })).toBe("algorithm");
    expect(await fault(signToken(claims(), ""), { secret: "" }).catch(() => "algorithm")).toBe("algorithm");
  });
});

describe("a verifier with published keys", () => {
  /** What the issuer publishes, and what happened to it. */
  let published: JWK[];
  let fetches = 0;
  let answer: () => Response | Promise<Response>;
  let issuer: Bun.Server<undefined>;
  const keys = new Map<string, { privateKey: CryptoKey; publicKey: CryptoKey; jwk: JWK }>();

  beforeAll(async () => {
    issuer = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch() {
        fetches++;
        return answer();
      },
    });
    for (const alg of ["RS256", "PS512", "ES256", "ES384", "EdDSA"]) {
      const pair = await generateKeyPair(alg, { extractable: true });
      keys.set(alg, { ...pair, jwk: { ...(await exportJWK(pair.publicKey)), kid: alg, use: "sig" } });
    }
  });
  afterAll(() => issuer.stop(true));
  beforeEach(() => {
    fetches = 0;
    published = [...keys.values()].map(({ jwk }) => jwk);
    answer = () => Response.json({ keys: published });
  });

  const options = (more: Partial<VerifierOptions> = {}) => ({ secret: undefined, jwksUrl: issuer.url.href, ...more });
  const key = (alg: string) => keys.get(alg) ?? ({} as never);
  const signed = (alg: string, kid: string | undefined = alg, more: object = {}) =>
    new SignJWT(claims(more)).setProtectedHeader({ alg, ...(kid ? { kid } : {}) }).sign(key(alg).privateKey);

  test("believes each kind of key under its own kid", async () => {
    const one = verifier(options());
    for (const alg of keys.keys()) expect(await one.verify(await signed(alg))).toEqual(claims());
    expect(fetches).toBe(1);
  });

  test("refuses a token whose kid names another's key, an unknown one, or none among several", async () => {
    const pair = await generateKeyPair("RS256");
    const stranger = (kid: string) =>
      new SignJWT(claims()).setProtectedHeader({ alg: "RS256", kid }).sign(pair.privateKey);
    expect(await fault(stranger("RS256"), options())).toBe("signature");
    expect(await fault(stranger("unknown"), options())).toBe("signature");
    expect(await fault(signed("ES256", "RS256"), options())).toBe("signature");
    expect(await fault(signed("RS256", "PS512"), options())).toBe("signature");
  });

  test("never takes a published key for a secret, nor a secret for a published key", async () => {
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", key("RS256").publicKey));
    const guesses = [JSON.stringify(key("RS256").jwk), Buffer.from(spki).toString("base64"), key("RS256").jwk.n ?? ""];
    published.push({ kty: "oct", kid: "shared", k: Buffer.from(secret).toString("base64url"), alg: "HS256" });
    for (const guess of [...guesses, secret]) {
      for (const kid of ["RS256", "shared"]) {
        expect(await fault(forged({ alg: "HS256", kid }, claims(), guess), options())).toBe("algorithm");
        const both = fault(forged({ alg: "HS256", kid }, claims(), guess), options({ secret: older }));
        expect(await both).toBe("signature");
      }
    }
    expect(await fault(forged({ alg: "none", kid: "RS256" }, claims()), options())).toBe("algorithm");
    expect(fetches).toBe(0);
  });

  test("serves secret and published keys side by side", async () => {
    const both = verifier(options({ secret }));
    expect(await both.verify(await signToken(claims(), secret))).toEqual(claims());
    expect(fetches).toBe(0);
    expect(await both.verify(await signed("EdDSA"))).toEqual(claims());
  });

  test("an unknown kid triggers one new fetch, at most one a cooldown", async () => {
    const es256 = published.filter(({ kid }) => kid !== "ES256");
    const all = published;
    published = es256;
    const one = verifier(options({ jwksCooldown: 30_000 }));
    await one.verify(await signed("RS256"));
    expect(fetches).toBe(1);
    published = all;
    await expect(one.verify(await signed("ES256"))).rejects.toThrow("signature");
    expect(fetches).toBe(1);
    clock.advance(30_000);
    await Promise.all(Array.from({ length: 10 }, async () => one.verify(await signed("ES256"))));
    expect(fetches).toBe(2);
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(one.verify(await signed("RS256", `guess ${attempt}`))).rejects.toThrow("signature");
    }
    expect(fetches).toBe(2);
  });

  test("keys in hand serve on while the issuer is away", async () => {
    const one = verifier(options());
    await one.verify(await signed("RS256"));
    answer = () => new Response("down", { status: 503 });
    clock.advance(3_600_000);
    expect(await one.verify(await signed("RS256"))).toEqual(claims());
    await expect(one.verify(await signed("RS256", "unknown"))).rejects.toThrow("signature");
  });

  test("a withdrawn key is refused once the keys in hand have grown old", async () => {
    const one = verifier(options());
    await one.verify(await signed("RS256"));
    published = published.filter(({ kid }) => kid !== "RS256");
    clock.advance(9 * 60_000);
    await one.verify(await signed("RS256"));
    clock.advance(60_001);
    // This one finds them old and has them fetched, without waiting for that.
    await one.verify(await signed("RS256"));
    while (fetches < 2) await new Promise(setImmediate);
    for (let refused = false; !refused; ) {
      refused = await one.verify(await signed("RS256")).then(
        () => false,
        () => true,
      );
    }
    expect(fetches).toBe(2);
  });

  test("without any keys it says that it cannot check, and finds them when the issuer is back", async () => {
    const bad: (() => Response)[] = [
      () => new Response("down", { status: 500 }),
      () => new Response("<html>"),
      () => Response.json({ keys: "none" }),
      () => Response.json([]),
    ];
    for (const response of bad) {
      answer = response;
      const one = verifier(options());
      fetches = 0;
      await expect(one.verify(await signed("RS256"))).rejects.toBeInstanceOf(TokenCheckUnavailable);
      await expect(one.verify(await signed("RS256"))).rejects.toBeInstanceOf(TokenCheckUnavailable);
      expect(fetches).toBe(1);
      answer = () => Response.json({ keys: published });
      clock.advance(1_000);
      expect(await one.verify(await signed("RS256"))).toEqual(claims());
    }
  });

  test("an issuer that cannot be reached at all is the same", async () => {
    const gone = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const jwksUrl = gone.url.href;
    await gone.stop(true);
    const one = verifier(options({ jwksUrl }));
    await expect(one.verify(await signed("RS256"))).rejects.toBeInstanceOf(TokenCheckUnavailable);
    await expect(one.verify("nonsense")).rejects.toThrow("malformed");
  });

  test("a broken key among the published ones harms no other", async () => {
    published = [{ kty: "RSA", kid: "broken", n: "!", e: "" }, { kty: "unheard-of", kid: "new" }, ...published];
    const one = verifier(options());
    expect(await one.verify(await signed("RS256"))).toEqual(claims());
    await expect(one.verify(await signed("RS256", "broken"))).rejects.toThrow("signature");
  });
});
