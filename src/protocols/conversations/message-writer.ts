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
/** Milliseconds a message waits for company when nothing is being written. */
const MAX_WAIT = 1;
/** Messages that may wait; beyond it senders are told to try again. */
const MAX_QUEUED = 20_000;

/** A room while its row is held. Times are epoch milliseconds. */
interface HeldRoom extends Record<string, unknown> {
  readonly id: string;
  readonly blocked: boolean;
  /** Newest moment in use: of its messages, and of deletions, which a new message must not fall under. */
  readonly newest: number | null;
}

/** How the messages of a transaction change a room. */
interface RoomChange {
  readonly id: string;
  readonly last_id: string;
  readonly last_at: string;
  readonly to_buyer: number;
  readonly to_seller: number;
}

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
      maxWait: MAX_WAIT,
      maxQueued: MAX_QUEUED,
    });
  }

  #writeAll(drafts: readonly Draft[]): Promise<readonly Written[]> {
    return this.#orm.transaction(async (tx) => {
      const rooms = await holdRooms(tx, new Set(drafts.map(({ room }) => room.id)));
      const now = this.#clock.now();
      const known = await this.#knownMessages(tx, drafts, now);
      const fresh: MessageNotice[] = [];
      const results = drafts.map((draft): Written => {
        const room = rooms.get(draft.room.id);
        if (!room) return { refused: "ROOM_NOT_FOUND" };
        if (room.blocked) return { refused: "BLOCKED" };
        const earlier = draft.clientMessageId && known.get(keyOf(draft));
        if (earlier) return { message: earlier, duplicate: true };
        const createdAt = Math.max(now, (room.newest ?? 0) + 1);
        rooms.set(room.id, { ...room, newest: createdAt });
        const message = messageOf(draft, createdAt);
        if (draft.clientMessageId) known.set(keyOf(draft), message);
        fresh.push(message);
        return { message, duplicate: false };
      });
      if (fresh.length > 0) await insert(tx, fresh);
      return results;
    });
  }

  /**
   * Stored messages that drafts may repeat. Looked up after the rooms are held, so that of two equal drafts on two nodes
   * the later one finds the earlier one.
   */
  async #knownMessages(tx: Orm, drafts: readonly Draft[], now: number): Promise<Map<string, MessageNotice>> {
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

/** Holds the rows of rooms, always in the same order, so that two nodes never wait for each other. */
async function holdRooms(tx: Orm, ids: ReadonlySet<string>): Promise<Map<string, HeldRoom>> {
  const rows = await tx.execute<HeldRoom>(sql`
    select id, blocked_by is not null as blocked,
      (extract(epoch from greatest(last_created_at, buyer_deleted_at, seller_deleted_at)) * 1000)::float8 as newest
    from conversations.rooms
    where id in (select json_array_elements_text(${JSON.stringify([...ids])}::text::json))
    order by id for update`);
  return new Map(rows.map((room) => [room.id, room]));
}

/** Writes messages with their events and what they change in their rooms, in one statement. */
async function insert(tx: Orm, fresh: readonly MessageNotice[]): Promise<void> {
  await tx.execute(sql`
    with incoming as (
      select * from json_to_recordset(${JSON.stringify(fresh)}::text::json)
        as m(_id text, room_id text, "from" text, "to" text, type text, content text, client_message_id text,
          created_at text)
    ), stored as (
      insert into conversations.messages
        (id, room_id, sender, receiver, type, content, client_message_id, created_at, updated_at)
      select _id, room_id, "from", "to", type, content, client_message_id,
        created_at::timestamptz, created_at::timestamptz
      from incoming
    ), told as (
      insert into conversations.outbox (id, type, room_id, payload, created_at)
      select gen_random_uuid(), 'message.created', room_id, json_build_object(
        '_id', _id, 'room_id', room_id, 'from', "from", 'to', "to", 'type', type, 'content', content,
        'is_seen', false, 'created_at', created_at, 'updated_at', created_at, '__v', 0,
        'client_message_id', client_message_id), created_at::timestamptz
      from incoming order by created_at
    )
    update conversations.rooms set
      last_created_at = change.last_at, updated_at = change.last_at,
      buyer_last_message_id = change.last_id, seller_last_message_id = change.last_id,
      buyer_unseen = buyer_unseen + change.to_buyer, seller_unseen = seller_unseen + change.to_seller
    from json_to_recordset(${JSON.stringify(changesOf(fresh))}::text::json)
      as change(id text, last_id text, last_at timestamptz, to_buyer int, to_seller int)
    where rooms.id = change.id`);
}

function changesOf(fresh: readonly MessageNotice[]): RoomChange[] {
  const changes = new Map<string, RoomChange>();
  for (const { _id, room_id, to, created_at } of fresh) {
    const before = changes.get(room_id);
    const toBuyer = room_id.startsWith(`${to}.`) ? 1 : 0;
    changes.set(room_id, {
      id: room_id,
      last_id: _id,
      last_at: created_at,
      to_buyer: (before?.to_buyer ?? 0) + toBuyer,
      to_seller: (before?.to_seller ?? 0) + 1 - toBuyer,
    });
  }
  return [...changes.values()];
}

function messageOf(
  { room, sender, receiver, type, content, clientMessageId }: Draft,
  createdAt: number,
): MessageNotice {
  return {
    // Rising, so that neighbours in time are neighbours in the index.
    _id: Bun.randomUUIDv7(),
    room_id: room.id,
    from: sender,
    to: receiver,
    type,
    content,
    client_message_id: clientMessageId,
    created_at: new Date(createdAt).toISOString(),
  };
}

/** What must be equal for a message to be the same one. */
const keyOf = ({ room, sender, clientMessageId, type, content }: Draft) =>
  JSON.stringify([room.id, sender, clientMessageId, type, content]);
