import { eq } from "drizzle-orm";
import type { Accounts } from "../../accounts/accounts.ts";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Log } from "../../observe/log.ts";
import type { Changes } from "./changes.ts";
import type { Connections } from "./connections.ts";
import { errors } from "./errors.ts";
import type { InviteCodes } from "./invite-codes.ts";
import type { Mailer } from "./mail.ts";
import type { Notices } from "./notices.ts";
import type { OneTimeTokens } from "./one-time-tokens.ts";
import type { People } from "./people.ts";
import type { Credentials, Sessions } from "./sessions.ts";
import { users } from "./tables.ts";
import type { Views } from "./views.ts";

/** Parts of the logins. */
export interface LoginParts {
  readonly accounts: Accounts;
  readonly backplane: Backplane;
  readonly changes: Changes;
  readonly connections: Connections;
  readonly inviteCodes: InviteCodes;
  readonly log: Log;
  readonly mailer: Mailer | null;
  readonly notices: Notices;
  readonly oneTimeTokens: OneTimeTokens;
  readonly people: People;
  readonly sessions: Sessions;
  readonly views: Views;
}

/** Somebody who signs up (W-4.10). */
export interface NewUser {
  readonly name: string;
  readonly email: string;
  readonly password: string;
  readonly lang?: "en" | "ru" | undefined;
  readonly inviteCode?: string | undefined;
}

/** Failed signins of one address, and refreshes of one session, that are put up with; windows in ms (W-13.18). */
const SIGNINS = { max: 10, window: 300_000 };
const REFRESHES = { max: 30, window: 60_000 };

/** Signing up, in and out, and passwords (W-4.10 to W-4.21). */
export class Logins {
  readonly #parts: LoginParts;

  constructor(parts: LoginParts) {
    this.#parts = parts;
  }

  async signUp({ name, email, password, lang, inviteCode }: NewUser) {
    const { people, inviteCodes, changes, accounts } = this.#parts;
    const code = inviteCode === undefined ? null : await inviteCodes.find(inviteCode);
    const bound = code?.code.email ?? null;
    if (inviteCode !== undefined && (!code || (bound !== null && bound !== email.toLowerCase()))) {
      throw errors.fault("signup_code");
    }
    const { id } = await people.register({ name, email, password });
    try {
      await changes.ofUser(id, async (change) => {
        await people.introduce(id, { lang: lang ?? null, isEmailVerified: bound !== null }, change.tx);
        if (inviteCode !== undefined) await inviteCodes.redeem(change, inviteCode, id, bound);
      });
    } catch (error) {
      // No account without the workspace it was made for.
      await accounts.remove(id);
      if (errors.owns(error) && error.code === "invalid_code") throw errors.fault("signup_code", { cause: error });
      throw error;
    }
    await this.#askToVerify(id, email);
    return this.welcome(id);
  }

  /** Throws `wrong_login` after the same time for an unknown address and a wrong password (W-2.15). */
  async signIn(email: string, password: string) {
    const { accounts, people, backplane } = this.#parts;
    const who = `workspaces:signin:${email.toLowerCase()}`;
    let isWrong = false;
    try {
      // Counted beforehand, so that guesses which come all at once are counted too; what is turned away was none.
      await this.#allow(who, SIGNINS);
      // Without an @ it would be taken for a username.
      const result = await accounts.checkPassword(email.includes("@") ? email : `${email}@`, password);
      if (!("account" in result)) {
        isWrong = true;
        throw errors.fault("wrong_login");
      }
      await people.introduce(result.account.id);
      return await this.welcome(result.account.id);
    } finally {
      if (!isWrong) await backplane.tallies.count(who, SIGNINS.window, -1);
    }
  }

  /** A new session for somebody, with his own profile. */
  async welcome(userId: string) {
    const { sessions, people, views } = this.#parts;
    const credentials = await sessions.open(userId);
    return { user: views.confidential(await people.confidential(userId)), credentials };
  }

  async refresh(accessToken: string, refreshToken: string): Promise<Credentials> {
    const { sessions, connections } = this.#parts;
    const session = await sessions.ofRefreshToken(refreshToken);
    if (session !== null) await this.#allow(`workspaces:refresh:${session}`, REFRESHES);
    const result = await sessions.refresh(accessToken, refreshToken);
    if (!("refused" in result)) return result;
    if (result.revoked !== undefined) await connections.dropSession(result.revoked);
    throw errors.fault(result.refused);
  }

  async signOut(sessionId: string, userId: string): Promise<void> {
    await this.#parts.sessions.close(sessionId);
    await this.#parts.connections.dropAll(userId, sessionId);
  }

  createLink(userId: string): Promise<string> {
    return this.#parts.oneTimeTokens.issue("link", userId);
  }

  async signInByLink(code: string): Promise<Credentials> {
    const { changes, oneTimeTokens, sessions } = this.#parts;
    // One transaction: a new password ends either the link or the session that was opened by it.
    return changes.run(async ({ tx }) => {
      const redeemed = await oneTimeTokens.redeem("link", code, tx);
      if (redeemed === null) throw errors.fault("auth_link");
      return sessions.open(redeemed.userId, tx);
    });
  }

  /** Throws `wrong_password`. Every session of the user ends (W-4.15). */
  async changePassword(userId: string, oldPassword: string | undefined, password: string): Promise<void> {
    const { changes, accounts } = this.#parts;
    const hasPassword = await changes.run(async ({ tx }) => {
      const [row] = await tx.select({ has: users.hasPassword }).from(users).where(eq(users.id, userId));
      return row?.has ?? false;
    });
    if (hasPassword && !(await this.#isPassword(userId, oldPassword))) throw errors.fault("wrong_password");
    await accounts.setPassword(userId, password);
    await this.#endSessions(userId);
  }

  /**
   * Sends a letter if the address is known and there is a mail hook. Tells nobody which, not even by the time it takes
   * (W-4.16): the caller does not wait for it.
   */
  forgotPassword(email: string): void {
    const { mailer, log } = this.#parts;
    if (!mailer) return;
    this.#sendReset(email, mailer).catch((error: unknown) => log.warn({ error }, "a reset was not made"));
  }

  async #sendReset(email: string, mailer: Mailer): Promise<void> {
    const { accounts, oneTimeTokens, people } = this.#parts;
    const account = await accounts.byEmail(email);
    if (!account || account.email === null) return;
    await people.introduce(account.id);
    mailer.reset(account.email, await oneTimeTokens.issue("reset", account.id));
  }

  /** Returns the code of an auth link (W-4.17). */
  async resetPassword(token: string, password: string): Promise<string> {
    const { oneTimeTokens, accounts } = this.#parts;
    const redeemed = await oneTimeTokens.redeem("reset", token);
    if (redeemed === null) throw errors.fault("reset_token");
    await accounts.setPassword(redeemed.userId, password);
    await this.#endSessions(redeemed.userId);
    return this.createLink(redeemed.userId);
  }

  /** W-4.19 */
  async verify(token: string) {
    const { oneTimeTokens, people, notices, views } = this.#parts;
    const { userId, email } = (await oneTimeTokens.redeem("verification", token)) ?? {};
    if (!userId || !email || !(await people.verifyEmail(userId, email))) throw errors.fault("verification_code");
    const person = await people.find(userId);
    if (person) notices.userUpdated(await people.workspacesOf(userId), views.user(person));
    return this.welcome(userId);
  }

  /** A new address takes effect once its owner says so (W-4.21). */
  async changeEmail(userId: string, email: string): Promise<void> {
    await this.#parts.people.awaitEmail(userId, email);
    await this.#askToVerify(userId, email);
  }

  /** Also ends what could open one: links and resets that are on their way, to whomever. */
  async #endSessions(userId: string): Promise<void> {
    const { changes, sessions, notices, connections, oneTimeTokens, people } = this.#parts;
    await changes.run(async ({ tx, after }) => {
      await oneTimeTokens.withdraw(userId, (await people.find(userId, tx))?.email ?? null, tx);
      await sessions.closeAll(userId, tx);
      await tx.update(users).set({ hasPassword: true }).where(eq(users.id, userId));
      after(() => notices.passwordChanged(userId));
    });
    await connections.dropAll(userId);
  }

  async #isPassword(userId: string, password: string | undefined): Promise<boolean> {
    const { accounts } = this.#parts;
    const account = await accounts.byId(userId);
    const login = account?.email ?? account?.username;
    if (!login || password === undefined) return false;
    return "account" in (await accounts.checkPassword(login, password));
  }

  async #askToVerify(userId: string, email: string): Promise<void> {
    const { mailer, oneTimeTokens } = this.#parts;
    if (!mailer) return;
    mailer.verification(email, await oneTimeTokens.issue("verification", userId, email));
  }

  /** Counts one more. Throws `too_many_requests`. */
  async #allow(key: string, { max, window }: { max: number; window: number }): Promise<void> {
    const { count, left } = await this.#parts.backplane.tallies.count(key, window);
    if (count <= max) return;
    throw errors.fault("too_many_requests", { retryAfter: Math.max(1, Math.ceil(left / 1000)) });
  }
}
