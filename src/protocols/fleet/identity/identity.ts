import { isUtf8 } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { eq } from "drizzle-orm";
import * as v from "valibot";
import type { Account, Accounts } from "../../../accounts/accounts.ts";
import { TokenRefused, type Verifier } from "../../../accounts/tokens.ts";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { hashOf } from "../secrets.ts";
import { apiTokens } from "../tables.ts";

/** Milliseconds a password that was right is believed without hashing it again: clients send it with every request. */
const BELIEF = 30_000;
const MAX_BELIEFS = 10_000;

/** A user_id in a claim: a number or its text. */
const UserClaim = v.union([
  v.pipe(v.number(), v.safeInteger()),
  v.pipe(v.string(), v.regex(/^\d{1,10}$/), v.transform(Number)),
]);

/** Who calls the REST (F-2.2). Everything here gives null for "nobody", and rejects when that cannot be told now. */
export class Identity {
  readonly #parts: {
    readonly accounts: Accounts;
    readonly database: Database;
    readonly clock: Clock;
    readonly verifier: Verifier | null;
  };
  readonly #userClaim: string;
  /** Account ids by a keyed hash of login and password, and until when. */
  readonly #believed = new Map<string, { readonly account: string; readonly until: number }>();
  readonly #pepper = randomBytes(32);
  /** Counts the times all was forgotten: a password that was checked before must not be believed after. */
  #era = 0;

  constructor(
    parts: { accounts: Accounts; database: Database; clock: Clock; verifier: Verifier | null },
    userClaim: string,
  ) {
    this.#parts = parts;
    this.#userClaim = userClaim;
  }

  /** The active account behind an `Authorization` header. */
  async of(header: string): Promise<Account | null> {
    const [, scheme = "", credentials = ""] = /^(\w+)\s+(\S+)\s*$/.exec(header) ?? [];
    const account =
      scheme.toLowerCase() === "basic"
        ? await this.#byPassword(credentials)
        : scheme.toLowerCase() === "bearer"
          ? await this.#byToken(credentials)
          : null;
    return account?.disabled ? null : account;
  }

  /** Forgets which passwords were right: one may have been changed. */
  forget(): void {
    this.#era++;
    this.#believed.clear();
  }

  async #byPassword(credentials: string): Promise<Account | null> {
    const text = textOf(Buffer.from(credentials, "base64"));
    const colon = text.indexOf(":");
    if (colon < 1) return null;
    const { accounts, clock } = this.#parts;
    const name = createHmac("sha256", this.#pepper).update(text).digest("base64");
    const believed = this.#believed.get(name);
    if (believed && believed.until > clock.elapsed()) return accounts.byId(believed.account);
    const era = this.#era;
    const check = await accounts.checkPassword(text.slice(0, colon), text.slice(colon + 1));
    if (!("account" in check)) return null;
    if (era !== this.#era) return check.account;
    if (this.#believed.size >= MAX_BELIEFS) this.#believed.clear();
    this.#believed.set(name, { account: check.account.id, until: clock.elapsed() + BELIEF });
    return check.account;
  }

  async #byToken(token: string): Promise<Account | null> {
    if (token.split(".").length === 3) return this.#byJwt(token);
    const { database, accounts } = this.#parts;
    const [row] = await database.orm
      .select({ user: apiTokens.user })
      .from(apiTokens)
      .where(eq(apiTokens.hash, hashOf(token)));
    return row ? accounts.byNumber(row.user) : null;
  }

  async #byJwt(token: string): Promise<Account | null> {
    const { verifier, accounts } = this.#parts;
    if (!verifier) return null;
    try {
      const claims = await verifier.verify(token);
      const user = v.safeParse(UserClaim, claims[this.#userClaim]);
      return user.success ? accounts.byNumber(user.output) : null;
    } catch (error) {
      if (error instanceof TokenRefused) return null;
      throw error;
    }
  }
}

/** Browsers' own credentials are UTF-8; scripts that make them with `btoa` write Latin-1. */
function textOf(bytes: Buffer): string {
  return isUtf8(bytes) ? bytes.toString("utf8") : bytes.toString("latin1");
}
