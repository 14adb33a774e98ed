import { and, eq, gt, lte } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { channelFor, isInsider, roleIn, workspaceFor } from "./access.ts";
import type { Alarms } from "./alarms.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Change, Changes } from "./changes.ts";
import { type ErrorCode, errors } from "./errors.ts";
import type { Notices } from "./notices.ts";
import type { Statuses } from "./status.ts";
import { connections, pendingInvites } from "./tables.ts";
import type { ChannelRow } from "./views.ts";

/** What an invite says. */
export interface Message {
  readonly workspaceId: string;
  readonly channelId: string;
  readonly message: object;
  readonly isResponseNeeded: boolean;
}

/** What came of one invite of several (W-4.76). */
export interface Outcome {
  readonly userId: string;
  readonly status: "ok" | "error";
  readonly invite?: string;
}

/** Parts of the calls' invites. */
export interface CallInviteParts {
  readonly database: Database;
  readonly changes: Changes;
  readonly statuses: Statuses;
  readonly arrivals: Arrivals;
  readonly notices: Notices;
  readonly alarms: Alarms;
  readonly clock: Clock;
}

/** Most invites looked at in one sweep. */
const SWEEP = 200;

/** Invites of people into conversations, and their answers (section 9). */
export class CallInvites {
  readonly #parts: CallInviteParts;
  /** Milliseconds. */
  readonly #timeout: number;

  constructor(parts: CallInviteParts, options: { timeout: number }) {
    this.#parts = parts;
    this.#timeout = options.timeout;
  }

  /** Invites one person; returns the invite's id. Throws the faults of W-9.1 to W-9.3. */
  async send(from: string, to: string, message: Message): Promise<string> {
    const channel = await this.#check(from, message);
    if (from === to) throw errors.fault("invite_yourself");
    return this.#sendTo(from, to, channel, message);
  }

  /** Invites several people (W-4.76); doubles count once. */
  async sendAll(from: string, to: readonly string[], message: Message): Promise<Outcome[]> {
    const channel = await this.#check(from, message);
    const outcomes: Outcome[] = [];
    for (const userId of new Set(to)) outcomes.push(await this.#outcome(from, userId, channel, message));
    return outcomes;
  }

  /** Answers an invite once (W-9.8). Throws `message_not_found`. */
  async respond(userId: string, inviteId: string, response: object): Promise<void> {
    const { changes, notices, clock, alarms } = this.#parts;
    await changes.run(async ({ tx, after }) => {
      const [invite] = await tx
        .delete(pendingInvites)
        .where(
          and(
            eq(pendingInvites.id, inviteId),
            eq(pendingInvites.toUser, userId),
            gt(pendingInvites.dueAt, new Date(clock.now())),
          ),
        )
        .returning();
      if (!invite) throw errors.fault("message_not_found");
      after(() => {
        alarms.cancel("invite", inviteId);
        notices.inviteResponse(invite.fromUser, { inviteId, userId, response });
      });
    });
  }

  /** Tells the sender that nobody answered in time, once over all nodes (W-9.9, W-9.10). */
  async expire(inviteId: string): Promise<void> {
    const { changes, notices, clock } = this.#parts;
    await changes.run(async ({ tx, after }) => {
      const [invite] = await tx
        .delete(pendingInvites)
        .where(and(eq(pendingInvites.id, inviteId), lte(pendingInvites.dueAt, new Date(clock.now()))))
        .returning();
      if (!invite) return;
      const { fromUser, toUser } = invite;
      after(() => notices.inviteResponse(fromUser, { inviteId, userId: toUser, response: "no-response" }));
    });
  }

  /** Expires what no alarm has rung for. */
  async sweep(): Promise<void> {
    const overdue = await this.#orm
      .select({ id: pendingInvites.id })
      .from(pendingInvites)
      .where(lte(pendingInvites.dueAt, new Date(this.#parts.clock.now())))
      .limit(SWEEP);
    for (const { id } of overdue) await this.expire(id);
  }

  /** Adds an invite to a change (W-9.4, W-9.6, W-9.7); returns its id. The addressee is held. */
  async put(change: Change, from: string, to: string, channel: ChannelRow, message: Message): Promise<string> {
    const { notices, arrivals, alarms, clock } = this.#parts;
    const { tx } = change;
    const { channelId, workspaceId, isResponseNeeded } = message;
    await arrivals.joinChannel(change, channel, to);
    const inviteId = crypto.randomUUID();
    if (isResponseNeeded) {
      const dueAt = new Date(clock.now() + this.#timeout);
      const invite = { id: inviteId, fromUser: from, toUser: to, workspaceId, channelId, dueAt };
      const added = await tx
        .insert(pendingInvites)
        .values(invite)
        .onConflictDoNothing({ target: [pendingInvites.fromUser, pendingInvites.toUser, pendingInvites.channelId] })
        .returning({ id: pendingInvites.id });
      if (added.length === 0) return this.#pendingId(tx, from, to, channelId);
      change.after(() => alarms.set("invite", inviteId, dueAt));
    }
    change.after(() => {
      notices.invite(to, {
        inviteId,
        isResponseNeeded,
        userId: from,
        workspaceId,
        channelId,
        message: message.message,
      });
    });
    return inviteId;
  }

  /** W-9.1, W-9.2 */
  async #check(from: string, { workspaceId, channelId }: Message): Promise<ChannelRow> {
    const { role } = await workspaceFor(this.#orm, workspaceId, from);
    const { channel, relation } = await channelFor(this.#orm, channelId, from);
    if (!isInsider(role) || relation === null || channel.workspaceId !== workspaceId)
      throw errors.fault("access_denied");
    return channel;
  }

  async #outcome(from: string, userId: string, channel: ChannelRow, message: Message): Promise<Outcome> {
    if (userId === from) return { userId, status: "ok" };
    try {
      return { userId, status: "ok", invite: await this.#sendTo(from, userId, channel, message) };
    } catch (error) {
      const code: ErrorCode | null = errors.owns(error) ? error.code : null;
      if (code === "already_there") return { userId, status: "ok" };
      if (code === "user_not_found") return { userId, status: "error" };
      throw error;
    }
  }

  #sendTo(from: string, to: string, channel: ChannelRow, message: Message): Promise<string> {
    const { changes, statuses } = this.#parts;
    return changes.ofUser(to, async (change) => {
      const held = await statuses.lock(change, to);
      const role = held && (await roleIn(change.tx, channel.workspaceId, to));
      if (!role) throw errors.fault("user_not_found");
      const [inside] = await change.tx
        .select({ id: connections.id })
        .from(connections)
        .where(and(eq(connections.userId, to), eq(connections.channelId, channel.id)));
      if (inside) throw errors.fault("already_there");
      return this.put(change, from, to, channel, message);
    });
  }

  async #pendingId(tx: Orm, from: string, to: string, channelId: string): Promise<string> {
    const [row] = await tx
      .select({ id: pendingInvites.id })
      .from(pendingInvites)
      .where(
        and(eq(pendingInvites.fromUser, from), eq(pendingInvites.toUser, to), eq(pendingInvites.channelId, channelId)),
      );
    // Gone if it was cancelled at this moment; the addressee is told so, and that is all there is to say.
    return row?.id ?? crypto.randomUUID();
  }

  get #orm(): Orm {
    return this.#parts.database.orm;
  }
}
