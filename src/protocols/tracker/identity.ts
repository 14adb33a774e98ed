import { getCookie } from "hono/cookie";
import * as v from "valibot";
import type { Accounts } from "../../accounts/accounts.ts";
import { TokenCheckUnavailable, TokenRefused, type Verifier } from "../../accounts/tokens.ts";
import type { Clock } from "../../clock.ts";
import { Fault } from "../../errors.ts";
import type { RouteContext } from "../../http/routes.ts";
import type { Handshake } from "../../socketio/endpoint.ts";
import { errors } from "./errors.ts";
import { AccessClaims, AuthToken } from "./messages.ts";

/** Longest time a looked-up account is believed to exist (T-2.15). */
const LOOKUP_LIFE = 60_000;
/** Looked-up accounts kept; the oldest goes first. */
const LOOKUPS = 10_000;

/** Whom a token speaks for. */
export interface User {
  /** The `user_id` as JSON, so that the number 7 and another issuer's text "7" stay two accounts. */
  readonly account: string;
  /** Lower case (T-2.14). */
  readonly username: string;
  /** Epoch milliseconds at which the token ends. */
  readonly expires: number;
}

/**
 * Turns tokens into users (section 2). Everything here throws `invalid_credentials` or `user_not_found`, or
 * {@link TokenCheckUnavailable} / DatabaseUnavailable while the check cannot be made.
 */
export class Identity {
  readonly #verifier: Verifier;
  readonly #accounts: Accounts;
  readonly #clock: Clock;
  readonly #options: { readonly userCheck: boolean; readonly cookieToken: boolean };
  /** `user_id` and username of accounts that exist, and until when that is believed. */
  readonly #known = new Map<string, number>();

  constructor(
    verifier: Verifier,
    parts: { accounts: Accounts; clock: Clock },
    options: { userCheck: boolean; cookieToken: boolean },
  ) {
    this.#verifier = verifier;
    this.#accounts = parts.accounts;
    this.#clock = parts.clock;
    this.#options = options;
  }

  /** The user of a socket: the header first, then `auth.token`; if both fail the header's reason counts (T-2.1..T-2.7). */
  async ofSocket(handshake: Handshake): Promise<User> {
    const auth = handshake.revision === 4 ? v.safeParse(AuthToken, handshake.auth) : null;
    const candidates = [handshake.header("authorization"), auth?.success ? auth.output.token : undefined];
    let reason: unknown = null;
    for (const candidate of candidates) {
      const token = candidate === undefined ? null : looseToken(candidate);
      if (token === null) continue;
      try {
        return await this.ofToken(token);
      } catch (error) {
        // Only a token that does not verify hands on to the next one: a verified one is the identity (T-2.4).
        const unverified = error instanceof TokenCheckUnavailable || isInvalid(error);
        if (!unverified) throw error;
        reason ??= error;
      }
    }
    throw reason ?? errors.fault("invalid_credentials");
  }

  /** The user of a REST call: `Authorization: Bearer`, or the cookie where that is switched on (T-2.8). */
  async ofRequest(context: RouteContext): Promise<User> {
    const header = context.req.header("authorization") ?? "";
    const token = /^Bearer\b/i.test(header)
      ? header.slice("Bearer".length).trim()
      : this.#options.cookieToken && getCookie(context, "access_token");
    if (!token) throw errors.fault("invalid_credentials");
    return await this.ofToken(token);
  }

  /** The user a bare token speaks for. */
  async ofToken(token: string): Promise<User> {
    let claims: v.InferOutput<typeof AccessClaims>;
    try {
      claims = v.parse(AccessClaims, await this.#verifier.verify(token));
    } catch (error) {
      if (error instanceof TokenRefused || v.isValiError(error))
        throw errors.fault("invalid_credentials", { cause: error });
      throw error;
    }
    const username = claims.username.toLowerCase();
    if (this.#options.userCheck) await this.#mustExist(claims.user_id, username);
    return { account: JSON.stringify(claims.user_id), username, expires: claims.exp * 1000 };
  }

  /** T-2.15. Only found accounts are remembered, so that a new one is seen at once. */
  async #mustExist(userId: number | string, username: string): Promise<void> {
    const key = JSON.stringify([userId, username]);
    const now = this.#clock.elapsed();
    if ((this.#known.get(key) ?? 0) > now) return;
    const account = typeof userId === "number" ? await this.#accounts.byNumber(userId) : null;
    if (account?.username !== username || account.disabled) throw errors.fault("user_not_found");
    this.#known.delete(key);
    this.#known.set(key, now + LOOKUP_LIFE);
    if (this.#known.size > LOOKUPS) {
      const [oldest] = this.#known.keys();
      this.#known.delete(oldest!);
    }
  }
}

/** A token with `Bearer ` or bare; null for another scheme, which counts as absent (T-2.2, T-2.5). */
export function looseToken(text: string): string | null {
  const bearer = /^\s*Bearer\s+(\S.*)$/is.exec(text)?.[1];
  if (bearer !== undefined) return bearer.trim();
  const bare = text.trim();
  return bare === "" || /\s/.test(bare) ? null : bare;
}

const isInvalid = (error: unknown) => error instanceof Fault && error.code === "invalid_credentials";
