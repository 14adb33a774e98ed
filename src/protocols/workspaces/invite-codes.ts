import { randomInt } from "node:crypto";
import { and, desc, eq, gt, isNull, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Change } from "./changes.ts";
import { errors } from "./errors.ts";
import { hashOf, type Seal } from "./seal.ts";
import { channelMembers, inviteCodes, workspaces } from "./tables.ts";
import type { WorkspaceRow } from "./views.ts";

type CodeRow = typeof inviteCodes.$inferSelect;

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH = 12;
/** Milliseconds a code lives. */
const LIFE = 86_400_000;

/** Codes that lead into a workspace, and tokens that lead a guest into one channel (W-4.37 to W-4.42, W-4.59 to W-4.61). */
export class InviteCodes {
  readonly #orm: Orm;
  readonly #clock: Clock;
  readonly #seal: Seal;
  readonly #arrivals: Arrivals;
  readonly #maxUses: number;

  constructor(
    parts: { database: Database; clock: Clock; seal: Seal; arrivals: Arrivals },
    options: { maxUses: number },
  ) {
    this.#orm = parts.database.orm;
    this.#clock = parts.clock;
    this.#seal = parts.seal;
    this.#arrivals = parts.arrivals;
    this.#maxUses = options.maxUses;
  }

  /** A code for whoever has it, or with `email` for the owner of that address alone, once (W-4.37, W-4.39). */
  async createForWorkspace(tx: Orm, workspaceId: string, createdBy: string, email?: string): Promise<string> {
    const kind =
      email === undefined
        ? { kind: "workspace" as const, maxUses: this.#maxUses }
        : { kind: "email" as const, maxUses: 1, email: email.toLowerCase() };
    const { code } = await this.#create(tx, { workspaceId, createdBy, ...kind });
    return code;
  }

  /** The codes of a workspace, newest first; of one person, or all. Tokens of its channels are not among them (W-13.4). */
  async list(workspaceId: string, createdBy?: string) {
    const rows = await this.#orm
      .select()
      .from(inviteCodes)
      .where(
        and(
          eq(inviteCodes.workspaceId, workspaceId),
          isNull(inviteCodes.channelId),
          this.#isGood(),
          createdBy === undefined ? undefined : eq(inviteCodes.createdBy, createdBy),
        ),
      )
      .orderBy(desc(inviteCodes.createdAt));
    return rows.map((row) => this.#view(row));
  }

  /** A code that leads into a workspace now, with the workspace; null for all others. */
  async find(code: string): Promise<{ code: CodeRow; workspace: WorkspaceRow } | null> {
    const [found] = await this.#orm
      .select({ code: inviteCodes, workspace: workspaces })
      .from(inviteCodes)
      .innerJoin(workspaces, eq(workspaces.id, inviteCodes.workspaceId))
      .where(and(eq(inviteCodes.codeHash, hashOf(code)), this.#isGood()));
    return found && found.code.kind !== "channel" ? found : null;
  }

  /** A code that leads into a workspace, good or not. Throws `not_found`. */
  async byId(id: string): Promise<CodeRow> {
    const row = await this.#row(id);
    if (!row || row.channelId !== null) throw errors.fault("not_found");
    return row;
  }

  /** A token that leads into a channel, good or not. Throws `not_found`. */
  async tokenById(id: string): Promise<CodeRow & { readonly channelId: string }> {
    const row = await this.#row(id);
    if (!row?.channelId) throw errors.fault("not_found");
    return { ...row, channelId: row.channelId };
  }

  /**
   * Joins somebody to the workspace of a code (W-4.41). Nothing is counted and nobody told when he is a member already.
   * Throws `invalid_code`, also for a code that is bound to an address other than `verifiedEmail`.
   */
  async redeem(change: Change, text: string, userId: string, verifiedEmail: string | null): Promise<WorkspaceRow> {
    const { tx } = change;
    const [code] = await tx
      .select()
      .from(inviteCodes)
      .where(and(eq(inviteCodes.codeHash, hashOf(text)), this.#isGood()))
      .for("update");
    const bound = code?.email ?? null;
    if (!code || code.kind === "channel" || (bound !== null && bound !== verifiedEmail?.toLowerCase())) {
      throw errors.fault("invalid_code");
    }
    const [workspace] = await tx.select().from(workspaces).where(eq(workspaces.id, code.workspaceId));
    if (!workspace) throw errors.fault("invalid_code");
    if (await this.#arrivals.joinWorkspace(change, userId, workspace, "user", code.id))
      await this.#countUse(tx, code.id);
    return workspace;
  }

  /** The guest token of a channel that is good now, made if there is none. The channel is held. */
  async makeForChannel(tx: Orm, channel: { id: string; workspaceId: string }, createdBy: string) {
    const active = await this.forChannel(channel.id, tx);
    if (active) return active;
    const { id: channelId, workspaceId } = channel;
    const values = { workspaceId, channelId, createdBy, kind: "channel" as const, maxUses: this.#maxUses };
    return this.#channelView((await this.#create(tx, values)).row);
  }

  /** The guest token of a channel that is good now. */
  async forChannel(channelId: string, orm: Orm = this.#orm) {
    const [row] = await orm
      .select()
      .from(inviteCodes)
      .where(and(eq(inviteCodes.channelId, channelId), eq(inviteCodes.kind, "channel"), this.#isGood()))
      .orderBy(desc(inviteCodes.createdAt))
      .limit(1);
    return row ? this.#channelView(row) : null;
  }

  /** Lets a new guest into the channel of a token (W-4.60). Throws `guest_code`. */
  async redeemAsGuest(change: Change, token: string, userId: string): Promise<void> {
    const { tx } = change;
    const [code] = await tx
      .select()
      .from(inviteCodes)
      .where(and(eq(inviteCodes.codeHash, hashOf(token)), eq(inviteCodes.kind, "channel"), this.#isGood()))
      .for("update");
    if (!code?.channelId) throw errors.fault("guest_code");
    const { channelId } = code;
    const [workspace] = await tx.select().from(workspaces).where(eq(workspaces.id, code.workspaceId));
    if (!workspace) throw errors.fault("guest_code");
    await this.#arrivals.joinWorkspace(change, userId, workspace, "guest", code.id);
    await tx
      .insert(channelMembers)
      .values({ channelId, userId, role: "user", inviteId: code.id, joinedAt: new Date(this.#clock.now()) });
    await this.#countUse(tx, code.id);
  }

  /** A guest token that is good now. Throws `guest_code`. */
  async checkGuestToken(token: string): Promise<void> {
    const [row] = await this.#orm
      .select({ id: inviteCodes.id })
      .from(inviteCodes)
      .where(and(eq(inviteCodes.codeHash, hashOf(token)), eq(inviteCodes.kind, "channel"), this.#isGood()));
    if (!row) throw errors.fault("guest_code");
  }

  async disable(id: string): Promise<void> {
    await this.#disable(eq(inviteCodes.id, id));
  }

  /** Ends all guest tokens of a channel; returns their ids, of those that had ended before as well. */
  async disableForChannel(channelId: string): Promise<string[]> {
    const ofChannel = eq(inviteCodes.channelId, channelId);
    await this.#disable(ofChannel);
    const rows = await this.#orm.select({ id: inviteCodes.id }).from(inviteCodes).where(ofChannel);
    return rows.map(({ id }) => id);
  }

  async #row(id: string): Promise<CodeRow | undefined> {
    const [row] = await this.#orm.select().from(inviteCodes).where(eq(inviteCodes.id, id));
    return row;
  }

  async #disable(which: ReturnType<typeof eq>): Promise<void> {
    await this.#orm
      .update(inviteCodes)
      .set({ disabled: true, updatedAt: new Date(this.#clock.now()) })
      .where(which);
  }

  async #create(
    orm: Orm,
    values: Pick<
      typeof inviteCodes.$inferInsert,
      "kind" | "workspaceId" | "channelId" | "createdBy" | "maxUses" | "email"
    >,
  ): Promise<{ row: CodeRow; code: string }> {
    const code = Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join("");
    const now = this.#clock.now();
    const [row] = await orm
      .insert(inviteCodes)
      .values({
        ...values,
        id: crypto.randomUUID(),
        codeHash: hashOf(code),
        codeSealed: this.#seal.seal(code),
        expiredAt: new Date(now + LIFE),
        createdAt: new Date(now),
        updatedAt: new Date(now),
      })
      .returning();
    return { row: row as CodeRow, code };
  }

  async #countUse(tx: Orm, id: string): Promise<void> {
    await tx
      .update(inviteCodes)
      .set({ uses: sql`${inviteCodes.uses} + 1`, updatedAt: new Date(this.#clock.now()) })
      .where(eq(inviteCodes.id, id));
  }

  #isGood() {
    return and(
      eq(inviteCodes.disabled, false),
      gt(inviteCodes.expiredAt, new Date(this.#clock.now())),
      sql`(${inviteCodes.maxUses} is null or ${inviteCodes.uses} < ${inviteCodes.maxUses})`,
    );
  }

  /** WorkspaceInvite of W-3.22 */
  #view(row: CodeRow) {
    const { id, workspaceId, createdBy, codeSealed } = row;
    return {
      id,
      workspaceId,
      createdBy,
      createdAt: row.createdAt.toISOString(),
      updatedAt: row.updatedAt.toISOString(),
      expiredAt: row.expiredAt.toISOString(),
      code: this.#seal.open(codeSealed),
    };
  }

  /** ChannelInvite of W-3.22 */
  #channelView({ id, codeSealed, expiredAt, channelId, workspaceId }: CodeRow) {
    return { id, token: this.#seal.open(codeSealed), expiredAt: expiredAt.toISOString(), channelId, workspaceId };
  }
}
