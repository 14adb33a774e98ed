import { eq } from "drizzle-orm";
import type { Accounts } from "../../accounts/accounts.ts";
import { accounts as accountTable } from "../../accounts/tables.ts";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Changes } from "./changes.ts";
import type { Connections } from "./connections.ts";
import type { Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { InviteCodes } from "./invite-codes.ts";
import { letters, type Mailer } from "./mail.ts";
import type { Notices } from "./notices.ts";
import type { OneTimeTokens } from "./one-time-tokens.ts";
import type { People } from "./people.ts";
import type { Credentials, Sessions } from "./sessions.ts";
import type { Statuses } from "./status.ts";
import { connections as connectionTable, users } from "./tables.ts";
import type { Views } from "./views.ts";

/** Parts of the logins. */
export interface LoginParts {
  readonly accounts: Accounts;
  readonly backplane: Backplane;
  readonly changes: Changes;
  readonly connections: Connections;
  readonly departures: Departures;
  readonly inviteCodes: InviteCodes;
  readonly mailer: Mailer | null;
  readonly notices: Notices;
  readonly oneTimeTokens: OneTimeTokens;
  readonly people: People;
  readonly sessions: Sessions;
  readonly statuses: Statuses;
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

/** Signing up, in and out, passwords, and the end of an account (W-4.10 to W-4.24). */
export class Logins {
  readonly #parts: LoginParts;
  /** Base of the links in letters. */
  readonly #linkBase: string;

  constructor(parts: LoginParts, options: { linkBase: string }) {
    this.#parts = parts;
    this.#linkBase = options.linkBase;
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
    const { accounts, people } = this.#parts;
    const who = `workspaces:signin:${email.toLowerCase()}`;
    await this.#allow(who, SIGNINS, 0);
    // Without an @ it would be taken for a username.
    const result = await accounts.checkPassword(email.includes("@") ? email : `${email}@`, password);
    if (!("account" in result)) {
      await this.#parts.backplane.tallies.count(who, SIGNINS.window);
      throw errors.fault("wrong_login");
    }
    await people.introduce(result.account.id);
    return this.welcome(result.account.id);
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
    if (session !== null) await this.#allow(`workspaces:refresh:${session}`, REFRESHES, 1);
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
    const userId = await this.#parts.oneTimeTokens.redeem("link", code);
    if (userId === null) throw errors.fault("auth_link");
    return this.#parts.sessions.open(userId);
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

  /** Sends a letter if the address is known and there is a mail hook; tells nobody which (W-4.16). */
  async forgotPassword(email: string): Promise<void> {
    const { accounts, mailer, oneTimeTokens, people } = this.#parts;
    const account = await accounts.byEmail(email);
    if (!account || !mailer || account.email === null) return;
    await people.introduce(account.id);
    const token = await oneTimeTokens.issue("reset", account.id);
    void mailer.send(letters.reset(account.email, this.#linkBase, token));
  }

  /** Returns the code of an auth link (W-4.17). */
  async resetPassword(token: string, password: string): Promise<string> {
    const { oneTimeTokens, accounts } = this.#parts;
    const userId = await oneTimeTokens.redeem("reset", token);
    if (userId === null) throw errors.fault("reset_token");
    await accounts.setPassword(userId, password);
    await this.#endSessions(userId);
    return this.createLink(userId);
  }

  /** W-4.19 */
  async verify(token: string) {
    const { oneTimeTokens, people, notices, views } = this.#parts;
    const userId = await oneTimeTokens.redeem("verification", token);
    if (userId === null) throw errors.fault("verification_code");
    await people.verifyEmail(userId);
    const person = await people.find(userId);
    if (person) notices.userUpdated(await people.workspacesOf(userId), views.user(person));
    return this.welcome(userId);
  }

  /** A new address takes effect once its owner says so (W-4.21). */
  async changeEmail(userId: string, email: string): Promise<void> {
    await this.#parts.people.awaitEmail(userId, email);
    await this.#askToVerify(userId, email);
  }

  /** W-4.24. Throws `still_admin`. */
  async deleteAccount(userId: string): Promise<void> {
    const { changes, statuses, departures, people, notices } = this.#parts;
    changes.mustReachOthers();
    if (await people.isAdminSomewhere(userId)) throw errors.fault("still_admin");
    await changes.ofUser(userId, async (change) => {
      const user = await statuses.lock(change, userId);
      if (!user) return;
      const sockets = await change.tx
        .select({ id: connectionTable.id })
        .from(connectionTable)
        .where(eq(connectionTable.userId, userId));
      for (const id of await people.workspacesOf(userId, change.tx)) await departures.leaveWorkspace(change, user, id);
      await change.tx.delete(accountTable).where(eq(accountTable.id, userId));
      change.after(() => notices.close(sockets.map(({ id }) => id)));
    });
  }

  async #endSessions(userId: string): Promise<void> {
    const { changes, sessions, notices, connections } = this.#parts;
    await changes.run(async ({ tx, after }) => {
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
    const token = await oneTimeTokens.issue("verification", userId);
    void mailer.send(letters.verification(email, this.#linkBase, token));
  }

  /** Throws `too_many_requests`. `by` 0 only looks. */
  async #allow(key: string, { max, window }: { max: number; window: number }, by: number): Promise<void> {
    const { count, left } = await this.#parts.backplane.tallies.count(key, window, by);
    if (by === 0 ? count < max : count <= max) return;
    throw errors.fault("too_many_requests", { retryAfter: Math.max(1, Math.ceil(left / 1000)) });
  }
}
