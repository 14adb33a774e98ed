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
  /** A disabled account is kept but cannot log in, and has no sessions. */
  readonly disabled: boolean;
  readonly createdAt: Date;
}

/** What a new account is made of; a username or an e-mail address must be there. */
export interface NewAccount {
  readonly username?: string;
  readonly email?: string;
  readonly name?: string;
  readonly password: string;
  /** Normally left to the store, which takes the next one. */
  readonly number?: number;
  readonly disabled?: boolean;
}

/** What may change of an account; absent fields stay, null empties one. */
export interface AccountChanges {
  readonly username?: string | null;
  readonly email?: string | null;
  readonly name?: string | null;
  readonly disabled?: boolean;
}

/** The username, e-mail address or number is taken. */
export class AccountExists extends Error {
  override readonly name = "AccountExists";

  /** By name: under `bun --hot` this class is made anew while the store that throws it lives on. */
  static override [Symbol.hasInstance](value: unknown): value is AccountExists {
    return value instanceof Error && value.name === "AccountExists";
  }
}

/** More passwords wait to be hashed than this node will take on; the caller may come back. */
export class PasswordsBusy extends Error {
  override readonly name = "PasswordsBusy";

  /** By name: under `bun --hot` this class is made anew while the store that throws it lives on. */
  static override [Symbol.hasInstance](value: unknown): value is PasswordsBusy {
    return value instanceof Error && value.name === "PasswordsBusy";
  }
}

/** Result of a password check. Both failures take as long as a success; a disabled account answers as a wrong password. */
export type PasswordCheck = { readonly account: Account } | { readonly failed: "unknown" | "wrong" };

/** The one table of local users, shared by every protocol that has logins of its own. */
export interface Accounts {
  /**
   * Throws {@link AccountExists} (of two simultaneous calls for one name exactly one succeeds) and {@link PasswordsBusy}.
   */
  create(account: NewAccount): Promise<Account>;
  byId(id: string): Promise<Account | null>;
  byNumber(number: number): Promise<Account | null>;
  byUsername(username: string): Promise<Account | null>;
  byEmail(email: string): Promise<Account | null>;
  /** Accounts by rising number, those above `after`. */
  list(options: { after?: number; limit: number }): Promise<Account[]>;
  /** Changes an account; null if there is none. Disabling closes its sessions. Throws {@link AccountExists}. */
  update(id: string, changes: AccountChanges): Promise<Account | null>;
  /** Removes an account and its sessions; false if there is none. */
  remove(id: string): Promise<boolean>;
  /** Checks a password by username (text without an `@`) or e-mail address. Throws {@link PasswordsBusy}. */
  checkPassword(login: string, password: string): Promise<PasswordCheck>;
  /** False if there is no such account. Throws {@link PasswordsBusy}. */
  setPassword(id: string, password: string): Promise<boolean>;
  readonly sessions: Sessions;
}

/** A login, from which a chain of refresh tokens descends. */
export interface Session {
  readonly id: string;
  readonly accountId: string;
  /** Generation of the refresh token that the caller is to hand out; the first one is 1. */
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
  /** Removes what has expired; returns how many. */
  purgeExpired(): Promise<number>;
}
