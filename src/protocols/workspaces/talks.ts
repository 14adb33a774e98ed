import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import type { Database, Orm } from "../../database/database.ts";
import { demand, isInsider, workspaceFor } from "./access.ts";
import type { CallInvites } from "./call-invites.ts";
import type { Changes } from "./changes.ts";
import type { Channels } from "./channels.ts";
import { errors } from "./errors.ts";
import { type Notices, rooms } from "./notices.ts";
import type { People } from "./people.ts";
import type { Statuses } from "./status.ts";
import { channelMembers, channels, workspaceMembers } from "./tables.ts";
import type { ChannelRow, Person, Views } from "./views.ts";

const MAX_NAME = 100;

/** Parts of the private talks. */
export interface TalkParts {
  readonly callInvites: CallInvites;
  readonly changes: Changes;
  readonly channels: Channels;
  readonly database: Database;
  readonly notices: Notices;
  readonly people: People;
  readonly statuses: Statuses;
  readonly views: Views;
}

/** Private talks: temporary channels of a few people (W-4.51, W-6.45). */
export class Talks {
  readonly #parts: TalkParts;

  constructor(parts: TalkParts) {
    this.#parts = parts;
  }

  /** Opens a talk, or finds the one that exactly these two people have. */
  async open(userId: string, workspaceId: string, given: readonly string[]) {
    const { changes, statuses, people, views } = this.#parts;
    changes.mustReachOthers();
    const { role } = await workspaceFor(this.#parts.database.orm, workspaceId, userId);
    demand(isInsider(role));
    const others = [...new Set(given)].filter((id) => id !== userId);
    if (others.length === 0) throw errors.fault("nobody_to_talk_to");
    return changes.ofUser(userId, async (change) => {
      const { tx } = change;
      const everybody = [userId, ...others];
      // Held in one order by everybody, so that two people who call each other at once find one talk.
      for (const id of [...everybody].sort()) await statuses.lock(change, id);
      await mustBeIn(tx, workspaceId, others);
      const existing = others.length === 1 ? await talkOf(tx, workspaceId, userId, others[0] as string) : null;
      if (existing) return views.channel(existing);
      const found = await people.findAll(everybody, tx);
      const name = nameOf(everybody.flatMap((id) => found.find((person) => person.id === id) ?? []));
      const talk = { name, isPrivate: true, isTemporary: true, lifespan: 0 };
      const channel = await this.#parts.channels.insert(tx, workspaceId, everybody, talk);
      change.after(() => this.#announce(channel, everybody));
      const invitation = { action: "invite", channelId: channel.id, isResponseNeeded: true };
      for (const id of others) {
        const message = { workspaceId, channelId: channel.id, message: invitation, isResponseNeeded: true };
        await this.#parts.callInvites.put(change, userId, id, channel, message);
      }
      return views.channel(channel);
    });
  }

  #announce({ id, workspaceId }: ChannelRow, everybody: readonly string[]): void {
    const { notices } = this.#parts;
    for (const person of everybody) {
      notices.join(rooms.userIn(person, workspaceId), rooms.channel(id));
      notices.channelCreated(rooms.user(person), id, workspaceId);
    }
  }
}

/** First words of the names, the caller's first. */
export function nameOf(people: readonly Pick<Person, "name" | "username">[]): string {
  const firsts = people.map(({ name, username }) => (name ?? username ?? "").trim().split(/\s+/)[0] ?? "");
  return firsts.join(", ").slice(0, MAX_NAME);
}

async function mustBeIn(tx: Orm, workspaceId: string, userIds: readonly string[]): Promise<void> {
  const rows = await tx
    .select({ id: workspaceMembers.userId })
    .from(workspaceMembers)
    .where(and(eq(workspaceMembers.workspaceId, workspaceId), inArray(workspaceMembers.userId, [...userIds])));
  if (rows.length !== userIds.length) throw errors.fault("strangers");
}

async function talkOf(tx: Orm, workspaceId: string, one: string, other: string): Promise<ChannelRow | null> {
  const exactly = tx
    .select({ id: channelMembers.channelId })
    .from(channelMembers)
    .groupBy(channelMembers.channelId)
    .having(
      sql`count(*) filter (where ${channelMembers.role} <> 'left') = 2
        and count(*) filter (where ${channelMembers.role} <> 'left' and ${channelMembers.userId} in (${one}, ${other})) = 2`,
    )
    .where(
      inArray(
        channelMembers.channelId,
        tx.select({ id: channelMembers.channelId }).from(channelMembers).where(eq(channelMembers.userId, one)),
      ),
    );
  const [found] = await tx
    .select()
    .from(channels)
    .where(
      and(
        eq(channels.workspaceId, workspaceId),
        eq(channels.isPrivate, true),
        eq(channels.isTemporary, true),
        isNull(channels.expiredAt),
        inArray(channels.id, exactly),
      ),
    )
    .limit(1);
  return found ?? null;
}
