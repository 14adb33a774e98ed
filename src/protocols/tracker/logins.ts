import * as v from "valibot";
import { type Account, AccountExists, type Accounts, type Session } from "../../accounts/accounts.ts";
import { signToken } from "../../accounts/sign.ts";
import { TokenRefused, type Verifier } from "../../accounts/tokens.ts";
import { createVerifier } from "../../accounts/verifier.ts";
import type { Clock } from "../../clock.ts";
import { errors } from "./errors.ts";
import { type Grant, RefreshClaims } from "./messages.ts";

/** Living logins of one account (T-3.23). */
const MAX_LOGINS = 10;
/** How long a replaced refresh token stays good after the first use of its successor (T-3.21). */
const REUSE_GRACE = 60_000;
/** Logins of this protocol among all of an account. */
const SCOPE = "tracker";

/** Secrets and lives of the tokens; times are milliseconds. */
export interface LoginOptions {
  readonly accessSecret: string;
  readonly refreshSecret: string;
  readonly accessTtl: number;
  readonly refreshTtl: number;
  readonly hideUsers: boolean;
}

/** Accounts that log in here, and the tokens they get (section 3). */
export class Logins {
  readonly #accounts: Accounts;
  readonly #clock: Clock;
  readonly #options: LoginOptions;
  readonly #refreshTokens: Verifier;

  constructor(parts: { accounts: Accounts; clock: Clock }, options: LoginOptions) {
    this.#accounts = parts.accounts;
    this.#clock = parts.clock;
    this.#options = options;
    this.#refreshTokens = createVerifier({ clock: parts.clock, secret: options.refreshSecret, clockSkew: 0 });
  }

  /** Throws `user_already_exists`; of two simultaneous calls for one name exactly one succeeds (T-3.15). */
  async register(username: string, password: string): Promise<Account> {
    try {
      return await this.#accounts.create({ username, password });
    } catch (error) {
      if (error instanceof AccountExists) throw errors.fault("user_already_exists", { cause: error });
      throw error;
    }
  }

  /** Throws `user_not_found` or `invalid_credentials`; both take as long as a success (T-3.24). */
  async check(username: string, password: string): Promise<Account> {
    const result = await this.#accounts.checkPassword(username, password);
    if ("account" in result) return result.account;
    throw errors.fault(
      result.failed === "unknown" && !this.#options.hideUsers ? "user_not_found" : "invalid_credentials",
    );
  }

  /** Opens a login with a chain of refresh tokens. */
  async open(account: Account): Promise<Grant> {
    const { refreshTtl } = this.#options;
    const session = await this.#accounts.sessions.open(account.id, SCOPE, { ttl: refreshTtl, limit: MAX_LOGINS });
    return await this.#grant(account, session);
  }

  /** Trades a refresh token for its successor (T-3.20..T-3.22). Throws `invalid_refresh_token`. */
  async refresh(token: string): Promise<Grant> {
    const { sid, gen } = await this.#readRefreshToken(token);
    const session = await this.#accounts.sessions.rotate(sid, gen, { grace: REUSE_GRACE });
    const account = session && (await this.#accounts.byId(session.accountId));
    if (!session || !account) throw errors.fault("invalid_refresh_token");
    return await this.#grant(account, session);
  }

  /** An access token (T-3.18) and the epoch second of its end. */
  async accessToken(account: Account): Promise<{ token: string; exp: number }> {
    const exp = Math.floor((this.#clock.now() + this.#options.accessTtl) / 1000);
    const token = await signToken({ ...accessClaims(account), exp }, this.#options.accessSecret);
    return { token, exp };
  }

  async #grant(account: Account, session: Session): Promise<Grant> {
    const access = await this.accessToken(account);
    // Made of nothing but the session's row: asked again for the same generation it is the same text (T-3.21), so no
    // token needs to be stored, not even hashed.
    const exp = Math.floor(session.expiresAt.getTime() / 1000);
    const claims = { sid: session.id, gen: session.generation, exp };
    const refreshToken = await signToken(claims, this.#options.refreshSecret);
    return {
      user_id: account.number,
      username: account.username ?? "",
      access_token: access.token,
      token_type: "bearer",
      access_token_expire: utc(access.exp * 1000),
      refresh_token: refreshToken,
      refresh_token_expire: utc(exp * 1000),
    };
  }

  async #readRefreshToken(token: string): Promise<v.InferOutput<typeof RefreshClaims>> {
    try {
      return v.parse(RefreshClaims, await this.#refreshTokens.verify(token));
    } catch (error) {
      if (error instanceof TokenRefused || v.isValiError(error)) {
        throw errors.fault("invalid_refresh_token", { cause: error });
      }
      throw error;
    }
  }
}

/** What an access token says of an account, beside its end. */
export function accessClaims(account: Pick<Account, "number" | "username">): { user_id: number; username: string } {
  return { user_id: account.number, username: account.username ?? "" };
}

/** A time as the existing app reads it: UTC with six decimals and no zone (T-3.17). */
export function utc(epoch: number): string {
  return new Date(epoch).toISOString().replace("Z", "000");
}
