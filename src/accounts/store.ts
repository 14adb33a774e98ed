import { asc, eq, getTableColumns, gt, type SQL, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Clock } from "../clock.ts";
import type { Database, Orm } from "../database/database.ts";
import { isUniqueViolation } from "../database/errors.ts";
import {
  type Account,
  type AccountChanges,
  AccountExists,
  type Accounts,
  type NewAccount,
  type PasswordCheck,
} from "./accounts.ts";
import { Passwords } from "./passwords.ts";
import { SessionStore } from "./sessions.ts";
import { accounts, sessions } from "./tables.ts";
import { isUuid } from "./uuid.ts";

/** The accounts in a database that has been migrated. */
export function createAccounts(database: Database, deps: { readonly clock: Clock }): Accounts {
  return new AccountStore(database.orm, deps.clock);
}

/** Everything of an account but its e-mail key and its password hash. */
const { emailKey: _emailKey, passwordHash: _passwordHash, ...visible } = getTableColumns(accounts);

/** The type of the number column ends here. */
const maxNumber = 2 ** 31 - 1;

class AccountStore implements Accounts {
  readonly sessions: SessionStore;
  readonly #orm: Orm;
  readonly #clock: Clock;
  readonly #passwords = new Passwords();

  constructor(orm: Orm, clock: Clock) {
    this.#orm = orm;
    this.#clock = clock;
    this.sessions = new SessionStore(orm, clock);
  }

  async create({ password, username, email, name, number, disabled }: NewAccount): Promise<Account> {
    if (username === undefined && email === undefined) throw new TypeError("an account needs a username or an e-mail");
    const row = {
      id: crypto.randomUUID(),
      ...logins({ username, email }),
      name: name ?? null,
      disabled: disabled ?? false,
      passwordHash: await this.#passwords.hash(password),
      createdAt: new Date(this.#clock.now()),
    };
    return refuseTaken(() => (number === undefined ? this.#insertNumbered(row) : this.#insertAs(number, row)));
  }

  byId(id: string): Promise<Account | null> {
    return isUuid(id) ? this.#find(eq(accounts.id, id)) : Promise.resolve(null);
  }

  byNumber(number: number): Promise<Account | null> {
    const possible = Number.isInteger(number) && number >= 1 && number <= maxNumber;
    return possible ? this.#find(eq(accounts.number, number)) : Promise.resolve(null);
  }

  byUsername(username: string): Promise<Account | null> {
    return this.#find(byLogin(accounts.username, username));
  }

  byEmail(email: string): Promise<Account | null> {
    return this.#find(byLogin(accounts.emailKey, email));
  }

  list({ after = 0, limit }: { after?: number; limit: number }): Promise<Account[]> {
    return this.#orm
      .select(visible)
      .from(accounts)
      .where(gt(accounts.number, after))
      .orderBy(asc(accounts.number))
      .limit(limit);
  }

  async update(id: string, { username, email, name, disabled }: AccountChanges): Promise<Account | null> {
    if (!isUuid(id)) return null;
    const changes = { ...logins({ username, email }), name, disabled };
    if (Object.values(changes).every((value) => value === undefined)) return this.byId(id);
    return refuseTaken(() =>
      this.#orm.transaction(async (tx) => {
        const [changed] = await tx.update(accounts).set(changes).where(eq(accounts.id, id)).returning(visible);
        if (changed?.disabled) await tx.delete(sessions).where(eq(sessions.accountId, id));
        return changed ?? null;
      }),
    );
  }

  async remove(id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const removed = await this.#orm.delete(accounts).where(eq(accounts.id, id)).returning({ id: accounts.id });
    return removed.length > 0;
  }

  async checkPassword(login: string, password: string): Promise<PasswordCheck> {
    const key = login.includes("@") ? accounts.emailKey : accounts.username;
    const [row] = await this.#orm
      .select({ ...visible, passwordHash: accounts.passwordHash })
      .from(accounts)
      .where(byLogin(key, login));
    const matches = await this.#passwords.matches(password, row?.passwordHash);
    if (!row) return { failed: "unknown" };
    if (!matches || row.disabled) return { failed: "wrong" };
    const { passwordHash: _, ...account } = row;
    return { account };
  }

  async setPassword(id: string, password: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const passwordHash = await this.#passwords.hash(password);
    const changed = await this.#orm
      .update(accounts)
      .set({ passwordHash })
      .where(eq(accounts.id, id))
      .returning({ id: accounts.id });
    return changed.length > 0;
  }

  async #find(condition: SQL): Promise<Account | null> {
    const [account] = await this.#orm.select(visible).from(accounts).where(condition);
    return account ?? null;
  }

  /** Inserts under the next number; one that was given away by hand is skipped. */
  async #insertNumbered(row: Omit<typeof accounts.$inferInsert, "number">): Promise<Account> {
    for (;;) {
      try {
        const [account] = await this.#orm.insert(accounts).values(row).returning(visible);
        return account as Account;
      } catch (error) {
        if (!isUniqueViolation(error, "accounts_number_unique")) throw error;
      }
    }
  }

  /** Inserts under a given number, and lets the store's own numbers go on above it. */
  #insertAs(number: number, row: typeof accounts.$inferInsert): Promise<Account> {
    return this.#orm.transaction(async (tx) => {
      const [account] = await tx
        .insert(accounts)
        .values({ ...row, number })
        .returning(visible);
      await tx.execute(sql`select setval('accounts.accounts_number_seq', greatest(last_value, ${number}))
        from accounts.accounts_number_seq`);
      return account as Account;
    });
  }
}

/** The columns of a username and an e-mail address; undefined ones stay out of the statement. */
function logins({ username, email }: Pick<AccountChanges, "username" | "email">) {
  return {
    username: username?.toLowerCase() ?? username,
    email,
    emailKey: email?.toLowerCase() ?? email,
  };
}

/** Rows whose username or e-mail key is this text in any case. Postgres takes no NUL in a text, so none has one. */
function byLogin(key: PgColumn, login: string): SQL {
  return login.includes("\0") ? sql`false` : eq(key, login.toLowerCase());
}

async function refuseTaken<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error))
      throw new AccountExists("the username, e-mail address or number is taken", { cause: error });
    throw error;
  }
}
