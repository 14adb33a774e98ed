/** A local user. Protocols with text ids use `id`, those with numbers use `number`. */
export interface Account {
  /** UUID v4, lower case. */
  readonly id: string;
  /** Whole number, 1 and up, never used twice. */
  readonly number: number;
  /** Lower case; unique. Null for accounts known by e-mail only. */
  readonly username: string | null;
  /** As given; unique without regard to case. */
  readonly email: string | null;
  readonly name: string | null;
  readonly createdAt: Date;
}

/** What a new account is made of; a username or an e-mail address must be there. */
export interface NewAccount {
  readonly username?: string;
  readonly email?: string;
  readonly name?: string;
  readonly password: string;
}

/** The username or e-mail address is taken. */
export class AccountExists extends Error {
  override readonly name = "AccountExists";
}

/** Result of a password check. Both failures take as long as a success. */
export type PasswordCheck = { readonly account: Account } | { readonly failed: "unknown" | "wrong" };

/** The one table of local users, shared by every protocol that has logins of its own. */
export interface Accounts {
  /** Throws {@link AccountExists}; of two simultaneous calls for one name exactly one succeeds. */
  create(account: NewAccount): Promise<Account>;
  byId(id: string): Promise<Account | null>;
  byNumber(number: number): Promise<Account | null>;
  byUsername(username: string): Promise<Account | null>;
  byEmail(email: string): Promise<Account | null>;
  /** Checks a password by username (text without an `@`) or e-mail address. */
  checkPassword(login: string, password: string): Promise<PasswordCheck>;
  /** False if there is no such account. */
  setPassword(id: string, password: string): Promise<boolean>;
  readonly sessions: Sessions;
}

/** A login, from which a chain of refresh tokens descends. */
export interface Session {
  readonly id: string;
  readonly accountId: string;
  /** Number of refresh tokens issued so far; the newest one is of this generation. */
  readonly generation: number;
  readonly expiresAt: Date;
}

/**
 * Logins with rotating refresh tokens. The store knows generations, not tokens: a protocol derives the token of a
 * generation from session id and generation (a signed JWT is the same text every time), so a lost answer can be given
 * again and nothing secret is stored.
 */
export interface Sessions {
  /** Opens a login in `scope` (a protocol's name). Beyond `limit` living ones of the account the oldest is closed. */
  open(accountId: string, scope: string, options: { ttl: number; limit: number }): Promise<Session>;
  /**
   * Presents the refresh token of `generation`:
   * - the newest one: a successor is issued, the session with its generation is returned;
   * - a replaced one whose successor was not used yet, or first used at most `grace` ms ago: the same successor again;
   * - any other: null, and the whole session is closed (a stolen token was used).
   * Null also when the session is closed or expired. Simultaneous calls agree.
   */
  rotate(id: string, generation: number, options: { grace: number }): Promise<Session | null>;
  close(id: string): Promise<boolean>;
  /** Closes every login of the account in the scope; returns their ids. */
  closeAll(accountId: string, scope: string): Promise<string[]>;
}
