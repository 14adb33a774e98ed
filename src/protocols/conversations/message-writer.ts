import { sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { gather } from "../../database/gather.ts";
import type { MessageNotice } from "./messages.ts";
import type { RoomName } from "./room-name.ts";

/** A message before it is stored. */
export interface Draft {
  readonly room: RoomName;
  readonly sender: string;
  readonly receiver: string;
  readonly type: string;
  readonly content: string;
  readonly clientMessageId: string | null;
}

/** What became of a draft: a new message, one that was stored before (V-4.17), or nothing. */
export type Written =
  | { readonly message: MessageNotice; readonly duplicate: boolean }
  | { readonly refused: "ROOM_NOT_FOUND" | "BLOCKED" };

/** Messages of one transaction at most; more make everybody in it wait longer than they save. */
const MAX_ROWS = 500;
/** Messages that may wait; beyond it senders are told to try again. */
const MAX_QUEUED = 20_000;

/**
 * Stores messages, many in one transaction, each with its outbox row and the counters of its room (V-4.13 to V-4.18).
 * A result means that it is committed. Throws DatabaseUnavailable.
 */
export class MessageWriter {
  /** Stores one message. */
  readonly write: (draft: Draft) => Promise<Written>;
  readonly #orm: Orm;
  readonly #clock: Clock;
  /** Milliseconds. */
  readonly #dedupeWindow: number;

  constructor(parts: { database: Database; clock: Clock }, options: { dedupeWindow: number }) {
    this.#orm = parts.database.orm;
    this.#clock = parts.clock;
    this.#dedupeWindow = options.dedupeWindow;
    this.write = gather<Draft, Written>({
      write: (drafts) => this.#writeAll(drafts),
      maxRows: MAX_ROWS,
      maxQueued: MAX_QUEUED,
    });
  }

  async #writeAll(drafts: readonly Draft[]): Promise<readonly Written[]> {
    // One statement is a transaction; only names need to be looked up between holding the rooms and writing.
    if (drafts.every(({ clientMessageId }) => !clientMessageId)) return store(this.#orm, drafts, this.#clock.now());
    return this.#orm.transaction(async (tx) => {
      const blocked = await holdRooms(tx, new Set(drafts.map(({ room }) => room.id)));
      const now = this.#clock.now();
      const known = await this.#knownMessages(tx, drafts, now);
      /** Drafts to be stored, by what makes them the same. */
      const fresh = new Map<unknown, Draft>();
      for (const draft of drafts) {
        const key = identityOf(draft);
        if (!known.has(key) && !fresh.has(key)) fresh.set(key, draft);
      }
      const written = await store(tx, [...fresh.values()], now);
      const stored = new Map([...fresh.keys()].map((key, index) => [key, written[index]!]));
      return drafts.map((draft): Written => {
        const key = identityOf(draft);
        if (blocked.get(draft.room.id)) return { refused: "BLOCKED" };
        const earlier = known.get(key);
        if (earlier) return { message: earlier, duplicate: true };
        const result = stored.get(key)!;
        return "message" in result ? { ...result, duplicate: fresh.get(key) !== draft } : result;
      });
    });
  }

  /**
   * Stored messages that drafts may repeat. Looked up after the rooms are held, so that of two equal drafts on two nodes
   * the later one finds the earlier one.
   */
  async #knownMessages(tx: Orm, drafts: readonly Draft[], now: number): Promise<Map<unknown, MessageNotice>> {
    const named = drafts.filter(({ clientMessageId }) => clientMessageId);
    if (named.length === 0) return new Map();
    const wanted = named.map(({ room, sender, clientMessageId }) => ({
      room_id: room.id,
      sender,
      client_message_id: clientMessageId,
    }));
    const since = new Date(now - this.#dedupeWindow).toISOString();
    const rows = await tx.execute<Omit<MessageNotice, "created_at"> & { created_at: number }>(sql`
      select m.id as _id, m.room_id, m.sender as "from", m.receiver as "to", m.type, m.content, m.client_message_id,
        (extract(epoch from m.created_at) * 1000)::float8 as created_at
      from json_to_recordset(${JSON.stringify(wanted)}::text::json)
        as d(room_id text, sender text, client_message_id text)
      join conversations.messages m using (room_id, sender, client_message_id)
      where m.created_at > ${since}::text::timestamptz
      order by m.created_at desc`);
    return new Map(
      rows.map((row) => {
        const message = { ...row, created_at: new Date(row.created_at).toISOString() };
        const { room_id, from, client_message_id, type, content } = message;
        return [JSON.stringify([room_id, from, client_message_id, type, content]), message] as const;
      }),
    );
  }
}

/** Holds the rows of rooms, always in the same order, so that two nodes never wait for each other; which are blocked. */
async function holdRooms(tx: Orm, ids: ReadonlySet<string>): Promise<Map<string, boolean>> {
  const rows = await tx.execute<{ id: string; blocked: boolean }>(sql`
    select id, blocked_by is not null as blocked from conversations.rooms
    where id in (select json_array_elements_text(${JSON.stringify([...ids])}::text::json))
    order by id for update`);
  return new Map(rows.map(({ id, blocked }) => [id, blocked]));
}

/**
 * Writes messages, their events and what they change in their rooms, in one statement. A message's moment is now, or else
 * just after the newest in use in its room: of messages, and of deletions, which it must not fall under (V-4.14).
 */
async function store(orm: Orm, drafts: readonly Draft[], now: number): Promise<Written[]> {
  if (drafts.length === 0) return [];
  const messages = drafts.map((draft, place) => ({ place, ...messageOf(draft) }));
  const rows = await orm.execute<{ blocked: boolean | null; created_at: string | null }>(sql`
    with draft as (
      select * from json_to_recordset(${JSON.stringify(messages)}::text::json)
        as m(place int, _id text, room_id text, "from" text, "to" text, type text, content text, client_message_id text)
    ), held as (
      select id as room_id, buyer, blocked_by is not null as blocked, greatest(
        ${new Date(now).toISOString()}::text::timestamptz,
        greatest(last_created_at, buyer_deleted_at, seller_deleted_at) + interval '1 ms') as earliest
      from conversations.rooms where id in (select room_id from draft)
      order by id for update
    ), fresh as (
      select *, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at from (
        select draft.*, buyer,
          earliest + (row_number() over (partition by room_id order by place) - 1) * interval '1 ms' as at
        from draft join held using (room_id) where not blocked
      ) as timed
    ), stored as (
      insert into conversations.messages
        (id, room_id, sender, receiver, type, content, client_message_id, created_at, updated_at)
      select _id, room_id, "from", "to", type, content, client_message_id, at, at from fresh
    ), told as (
      insert into conversations.outbox (id, type, room_id, payload, created_at)
      select gen_random_uuid(), 'message.created', room_id, json_build_object(
        '_id', _id, 'room_id', room_id, 'from', "from", 'to', "to", 'type', type, 'content', content,
        'is_seen', false, 'created_at', created_at, 'updated_at', created_at, '__v', 0,
        'client_message_id', client_message_id), at
      from fresh order by place
    ), changed as (
      update conversations.rooms set
        last_created_at = change.at, updated_at = change.at,
        buyer_last_message_id = change.last_id, seller_last_message_id = change.last_id,
        buyer_unseen = buyer_unseen + change.to_buyer, seller_unseen = seller_unseen + change.to_seller
      from (
        select room_id, max(at) as at, (array_agg(_id order by at desc))[1] as last_id,
          (count(*) filter (where "to" = buyer))::int as to_buyer,
          (count(*) filter (where "to" <> buyer))::int as to_seller
        from fresh group by room_id
      ) as change
      where rooms.id = change.room_id
    )
    select blocked, created_at from draft left join held using (room_id) left join fresh using (place) order by place`);
  return messages.map(({ place: _place, ...message }, index): Written => {
    const { blocked, created_at } = rows[index]!;
    if (created_at !== null) return { message: { ...message, created_at }, duplicate: false };
    return { refused: blocked ? "BLOCKED" : "ROOM_NOT_FOUND" };
  });
}

function messageOf(draft: Draft): Omit<MessageNotice, "created_at"> {
  const { room, sender, receiver, type, content, clientMessageId } = draft;
  return {
    // Rising, so that neighbours in time are neighbours in the index.
    _id: Bun.randomUUIDv7(),
    room_id: room.id,
    from: sender,
    to: receiver,
    type,
    content,
    client_message_id: clientMessageId,
  };
}

/** What is equal for the same message sent again; without a name of its own a draft is like no other. */
function identityOf(draft: Draft): unknown {
  const { room, sender, clientMessageId, type, content } = draft;
  return clientMessageId ? JSON.stringify([room.id, sender, clientMessageId, type, content]) : draft;
}
