import { createHash } from "node:crypto";
import { errors as joseErrors } from "jose";
import * as v from "valibot";
import { TokenRefused, type Verifier } from "../../accounts/tokens.ts";
import type { Tallies } from "../../backplane/backplane.ts";
import { errors } from "./errors.ts";
import { Claims } from "./messages.ts";

/** Whom a token speaks for, and until when (epoch milliseconds). */
export interface Identified {
  readonly user: string;
  readonly expires: number;
}

/** Different expired tokens of a user within a time that are told to be expired (C-2.15). */
const EXPIRED_TOKENS = 5;
const EXPIRED_WINDOW = 60_000;

/** What `role` and `aud` must be or hold where they count. */
const AUTHENTICATED = "authenticated";

/** The last moment that a JavaScript date can name. */
const END_OF_TIME = 8.64e15;

/** Scheme and token of the subprotocol a browser offers (C-10.2). */
const TOKEN_SUBPROTOCOL = /^token\./;

/**
 * Turns tokens into users (section 2). Throws `missing_token`, `invalid_token` or `token_expired`, and
 * `TokenCheckUnavailable` while the keys cannot be had.
 */
export class Identity {
  readonly #verifier: Verifier;
  readonly #tallies: Tallies;
  readonly #strict: boolean;

  /** `strict`: `role` and `aud` must be there. */
  constructor(parts: { verifier: Verifier; tallies: Tallies }, options: { strict: boolean }) {
    this.#verifier = parts.verifier;
    this.#tallies = parts.tallies;
    this.#strict = options.strict;
  }

  /** The user of a socket: parameter `token`, else the subprotocol, else the header (C-2.1, C-2.2, C-10.2). */
  ofSocket(url: URL, headers: Headers): Promise<Identified> {
    const offered = headers.get("sec-websocket-protocol")?.split(",") ?? [];
    const subprotocol = offered.map((name) => name.trim()).find((name) => TOKEN_SUBPROTOCOL.test(name));
    return this.ofToken(
      url.searchParams.get("token") || subprotocol?.replace(TOKEN_SUBPROTOCOL, "") || bearer(headers) || "",
    );
  }

  /** The user of a call: `Authorization: Bearer`, else the header `token` (C-2.3). */
  ofRequest(headers: Headers): Promise<Identified> {
    return this.ofToken(bearer(headers) ?? headers.get("token")?.trim() ?? "");
  }

  /** The user a bare token speaks for. */
  async ofToken(token: string): Promise<Identified> {
    if (token === "") throw errors.fault("missing_token");
    let refusal: TokenRefused;
    try {
      const identified = this.#identified(await this.#verifier.verify(token));
      if (identified) return identified;
      refusal = new TokenRefused("claims");
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      refusal = error;
    }
    throw errors.fault((await this.#mayRefresh(token, refusal)) ? "token_expired" : "invalid_token", {
      cause: refusal,
    });
  }

  /** Null when the claims do not do (C-2.6). */
  #identified(payload: unknown): Identified | null {
    const claims = v.safeParse(Claims, payload);
    if (!claims.success) return null;
    const { sub, exp, role, aud } = claims.output;
    const fits = (claim: unknown) => (claim === undefined ? !this.#strict : [claim].flat().includes(AUTHENTICATED));
    return fits(role) && fits(aud) ? { user: sub, expires: Math.min(exp * 1000, END_OF_TIME) } : null;
  }

  /**
   * Whether the holder of a refused token should be told that it is expired, upon which the app fetches a new one: not
   * when a new one would not do either, and not again and again, as with a client whose clock is wrong (C-2.15).
   */
  async #mayRefresh(token: string, { cause }: TokenRefused): Promise<boolean> {
    const identified = cause instanceof joseErrors.JWTExpired ? this.#identified(cause.payload) : null;
    if (!identified) return false;
    const digest = createHash("sha256").update(token).digest("base64url");
    return await this.#tallies.hold(`chat:expired:${identified.user}`, digest, EXPIRED_TOKENS, EXPIRED_WINDOW);
  }
}

/** The token of `Authorization: Bearer`; null without the header, the whole value where it has another scheme. */
function bearer(headers: Headers): string | null {
  const header = headers.get("authorization");
  return header === null ? null : header.replace(/^Bearer(\s+|$)/i, "").trim();
}
