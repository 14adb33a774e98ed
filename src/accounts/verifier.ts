import { type CryptoKey, errors, type JWSHeaderParameters, type JWTPayload, jwtVerify } from "jose";
import { PublishedKeys } from "./keys.ts";
import {
  type Claims,
  TokenCheckUnavailable,
  type TokenFault,
  TokenRefused,
  type Verifier,
  type VerifierOptions,
} from "./tokens.ts";

/** Nobody's token is longer; a longer text is refused before any work. */
const maxTokenLength = 16_384;
/** Three parts of base64url without padding (RFC 7515); jose would read more spellings of one token. */
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]*$/;
const defaultCooldown = 30_000;
/** Algorithms of published keys. None of them works on a secret, so a public key can never pass for one. */
const publishedAlgorithms = [
  ...["RS256", "RS384", "RS512"],
  ...["PS256", "PS384", "PS512"],
  ...["ES256", "ES384"],
  ...["EdDSA", "Ed25519"],
];

/** Makes a verifier. A token's algorithm decides where its key is looked for: HS256 the secrets, all else the key set. */
export function createVerifier(options: VerifierOptions): Verifier {
  return new TokenVerifier(options);
}

class TokenVerifier implements Verifier {
  readonly #options: VerifierOptions;
  readonly #algorithms: string[];
  readonly #published: PublishedKeys | undefined;
  readonly #secret: Promise<CryptoKey> | undefined;
  readonly #previous: Promise<CryptoKey> | undefined;

  constructor(options: VerifierOptions) {
    const { secret, previous, jwksUrl, clock, jwksCooldown = defaultCooldown } = options;
    this.#options = options;
    if (secret) this.#secret = importSecret(secret);
    if (previous) this.#previous = importSecret(previous.secret);
    if (jwksUrl) this.#published = new PublishedKeys(jwksUrl, { clock, cooldown: jwksCooldown });
    this.#algorithms = [...(secret || previous ? ["HS256"] : []), ...(jwksUrl ? publishedAlgorithms : [])];
  }

  async verify(token: string): Promise<Claims> {
    if (token === "") throw new TokenRefused("missing");
    if (token.length > maxTokenLength || !compactForm.test(token)) throw new TokenRefused("malformed");
    try {
      return claimsOf(await this.#check(token));
    } catch (error) {
      if (error instanceof TokenRefused || error instanceof TokenCheckUnavailable) throw error;
      throw new TokenRefused(faultOf(error), { cause: error });
    }
  }

  async #check(token: string): Promise<JWTPayload> {
    const { clock, clockSkew, issuer, audience, previous } = this.#options;
    const options = {
      algorithms: this.#algorithms,
      requiredClaims: ["exp"],
      currentDate: new Date(clock.now()),
      clockTolerance: clockSkew / 1000,
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
    };
    const older = previous && clock.now() < previous.until.getTime() ? this.#previous : undefined;
    try {
      return (
        await jwtVerify(token, (header: JWSHeaderParameters) => this.#key(header, this.#secret ?? older), options)
      ).payload;
    } catch (error) {
      const isOlder = error instanceof errors.JWSSignatureVerificationFailed && this.#secret && older;
      if (!isOlder) throw error;
      return (await jwtVerify(token, await older, { ...options, algorithms: ["HS256"] })).payload;
    }
  }

  async #key(header: JWSHeaderParameters, secret: Promise<CryptoKey> | undefined): Promise<CryptoKey> {
    const key = header.alg === "HS256" ? secret : this.#published?.find(header);
    if (!key) throw new TokenRefused("algorithm");
    return key;
  }
}

function importSecret(secret: string): Promise<CryptoKey> {
  const bytes = new TextEncoder().encode(secret);
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** What jose leaves open: `exp` may be a number beyond all dates, `sub` anything. */
function claimsOf({ exp, sub, ...others }: JWTPayload): Claims {
  if (!Number.isFinite(exp)) throw new TokenRefused("claims");
  // RFC 7519 says text; issuers that count their users write the number (V-2.3, F-2.2).
  const subject: unknown = sub;
  if (subject !== undefined && typeof subject !== "string" && !Number.isSafeInteger(subject)) {
    throw new TokenRefused("claims");
  }
  return { ...others, exp: exp as number, ...(subject === undefined ? {} : { sub: subject as string | number }) };
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) return "claims";
  if (error instanceof errors.JOSEAlgNotAllowed) return "algorithm";
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return "malformed";
  if (error instanceof errors.JOSENotSupported) return "malformed";
  // A wrong signature, an unknown or unusable key: all of them mean that nobody we trust signed this.
  return "signature";
}
