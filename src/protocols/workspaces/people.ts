import { and, count, eq, inArray } from "drizzle-orm";
import { type Account, AccountExists, type Accounts } from "../../accounts/accounts.ts";
import { accounts } from "../../accounts/tables.ts";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { errors } from "./errors.ts";
import { files, users, workspaceMembers } from "./tables.ts";
import { type ConfidentialPerson, confidentialColumns, type Person, personColumns } from "./views.ts";

/** What may change of a profile; absent fields stay. */
export interface ProfileChanges {
  readonly name?: string | undefined;
  readonly lang?: "en" | "ru" | undefined;
  readonly avatarFileId?: string | null | undefined;
}

export type AppSettings = Record<string, unknown>;

/** The people of this protocol: accounts of the gateway with a profile here. */
export class People {
  readonly #orm: Orm;
  readonly #accounts: Accounts;
  readonly #clock: Clock;

  constructor(parts: { database: Database; accounts: Accounts; clock: Clock }) {
    this.#orm = parts.database.orm;
    this.#accounts = parts.accounts;
    this.#clock = parts.clock;
  }

  /** Makes an account; throws `email_signed_up` when the address is taken. The profile is for `introduce` to add. */
  async register(person: { name: string; email: string; password: string }): Promise<Account> {
    try {
      return await this.#accounts.create(person);
    } catch (error) {
      if (error instanceof AccountExists) throw errors.fault("email_signed_up", { cause: error });
      throw error;
    }
  }

  /** An account that belongs to a guest: nobody can log in to it. */
  registerGuest(name: string): Promise<Account> {
    return this.#accounts.create({ username: `guest-${crypto.randomUUID()}`, name, password: crypto.randomUUID() });
  }

  /** Gives an account its profile here, if it has none yet. */
  async introduce(
    accountId: string,
    profile: Partial<Pick<typeof users.$inferInsert, "lang" | "isEmailVerified" | "isGuest" | "hasPassword">> = {},
    orm: Orm = this.#orm,
  ): Promise<void> {
    const now = new Date(this.#clock.now());
    await orm
      .insert(users)
      .values({ id: accountId, ...profile, createdAt: now, updatedAt: now })
      .onConflictDoNothing();
  }

  async find(id: string, orm: Orm = this.#orm): Promise<Person | undefined> {
    return (await this.findAll([id], orm))[0];
  }

  async findAll(ids: readonly string[], orm: Orm = this.#orm): Promise<Person[]> {
    if (ids.length === 0) return [];
    return orm
      .select(personColumns)
      .from(users)
      .innerJoin(accounts, eq(accounts.id, users.id))
      .where(inArray(users.id, [...ids]));
  }

  /** Throws `not_found`. */
  async confidential(id: string): Promise<ConfidentialPerson> {
    const [found] = await this.#orm
      .select(confidentialColumns)
      .from(users)
      .innerJoin(accounts, eq(accounts.id, users.id))
      .where(eq(users.id, id));
    if (!found) throw errors.fault("not_found");
    return found;
  }

  /** The workspaces somebody is a member of. */
  async workspacesOf(id: string, orm: Orm = this.#orm): Promise<string[]> {
    const rows = await orm
      .select({ id: workspaceMembers.workspaceId })
      .from(workspaceMembers)
      .where(eq(workspaceMembers.userId, id));
    return rows.map((row) => row.id);
  }

  /** How much somebody may see of somebody else: those who share a workspace see each other, guests no e-mail (W-3.3). */
  async seenBy(viewerId: string, id: string): Promise<"not" | "without e-mail" | "with e-mail"> {
    const theirs = await this.workspacesOf(id);
    if (theirs.length === 0) return "not";
    const shared = await this.#orm
      .select({ role: workspaceMembers.role })
      .from(workspaceMembers)
      .where(and(eq(workspaceMembers.userId, viewerId), inArray(workspaceMembers.workspaceId, theirs)));
    if (shared.length === 0) return "not";
    return shared.some(({ role }) => role !== "guest") ? "with e-mail" : "without e-mail";
  }

  /** Changes a profile; an avatar was checked before. */
  async update(id: string, { name, lang, avatarFileId }: ProfileChanges): Promise<void> {
    if (name !== undefined) await this.#accounts.update(id, { name });
    await this.#orm
      .update(users)
      .set({ lang, avatarFileId, updatedAt: new Date(this.#clock.now()) })
      .where(eq(users.id, id));
  }

  /** Throws `file_not_found` or `file_not_yours`. */
  async checkAvatar(userId: string, fileId: string): Promise<void> {
    const [file] = await this.#orm.select().from(files).where(eq(files.id, fileId));
    if (!file) throw errors.fault("file_not_found");
    if (file.ownerId !== userId) throw errors.fault("file_not_yours");
    if (!file.mime.startsWith("image/")) throw errors.fault("file_not_avatar");
  }

  /** An address that waits for its verification (W-4.21). Throws `email_in_use`. */
  async awaitEmail(id: string, email: string): Promise<void> {
    const owner = await this.#accounts.byEmail(email);
    if (owner && owner.id !== id) throw errors.fault("email_in_use");
    await this.#orm.update(users).set({ pendingEmail: email }).where(eq(users.id, id));
  }

  /** The address that a verification of this account would be for: the one that waits for it, else its own. */
  async emailToVerify(id: string): Promise<string | null> {
    const [row] = await this.#orm
      .select({ pending: users.pendingEmail, own: accounts.email })
      .from(users)
      .innerJoin(accounts, eq(accounts.id, users.id))
      .where(eq(users.id, id));
    return row?.pending ?? row?.own ?? null;
  }

  /**
   * An address was shown to be the person's own; one that waited for this takes effect (W-4.19). False when it is not
   * his any more, or somebody else's by now.
   */
  async verifyEmail(id: string, email: string): Promise<boolean> {
    if ((await this.emailToVerify(id)) !== email) return false;
    try {
      await this.#accounts.update(id, { email });
    } catch (error) {
      if (error instanceof AccountExists) return false;
      throw error;
    }
    await this.#orm
      .update(users)
      .set({ pendingEmail: null, isEmailVerified: true, updatedAt: new Date(this.#clock.now()) })
      .where(eq(users.id, id));
    return true;
  }

  /** Replaces the settings of a person by what `merge` makes of them; calls at once follow one another (W-4.22). */
  async changeAppSettings(id: string, merge: (before: AppSettings) => AppSettings): Promise<void> {
    await this.#orm.transaction(async (tx) => {
      const [row] = await tx.select({ before: users.appSettings }).from(users).where(eq(users.id, id)).for("update");
      if (!row) throw errors.fault("not_found");
      await tx
        .update(users)
        .set({ appSettings: merge(row.before), updatedAt: new Date(this.#clock.now()) })
        .where(eq(users.id, id));
    });
  }

  /** True for somebody who is admin of a workspace (W-4.24). */
  async isAdminSomewhere(id: string, orm: Orm = this.#orm): Promise<boolean> {
    const [row] = await orm
      .select({ count: count() })
      .from(workspaceMembers)
      .where(and(eq(workspaceMembers.userId, id), eq(workspaceMembers.role, "admin")));
    return (row?.count ?? 0) > 0;
  }
}
