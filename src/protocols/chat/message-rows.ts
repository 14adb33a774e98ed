import { sql } from "drizzle-orm";
import { DatabaseUnavailable, type Orm } from "../../database/database.ts";
import { messages, rooms } from "./tables.ts";

/** A message that is to be stored. `createdAt` is in epoch milliseconds. */
export interface Draft {
  readonly roomId: number;
  readonly senderId: string;
  readonly tempId: string;
  readonly message: string;
  readonly createdAt: number;
}

/** A draft that became a message, and who was in the room then. */
export interface Stored {
  readonly id: number;
  readonly createdAt: number;
  readonly participants: string[];
}

/** A message that stands under the key of a draft, if there is one, and who is in the room. */
export interface Found {
  readonly id: number;
  readonly message: string | null;
  readonly createdAt: number;
  readonly participants: string[];
}

/** What a draft met when it was written. */
export type Written = { readonly stored: Stored } | { readonly found: Found };

/**
 * The one statement of a hot message. It locks the rows of the rooms, in order so that no two nodes wait for each other,
 * and takes ids only after that: what commits later in a room has higher ids. Rows that had to be waited for are read as
 * they are then, so nobody who has just been removed is taken for a participant.
 */
export async function insert(orm: Orm, drafts: readonly Draft[]): Promise<Written[]> {
  const rows = await orm.execute<{ turn: number; id: unknown; participants: string }>(sql`
    with ${batch(drafts)}, room as materialized (
      select id, participants from ${rooms} where id in (select room_id from batch) order by id for no key update
    ), stored as (
      insert into ${messages} (room_id, sender_id, temp_id, message, created_at)
      select room_id, sender_id, temp_id, message, created_at
      from batch join room on room.id = batch.room_id and batch.sender_id = any(room.participants)
      order by turn
      on conflict on constraint messages_send do nothing
      returning room_id, sender_id, temp_id, id
    )
    select turn, stored.id, array_to_string(room.participants, ' ') as participants
    from stored join batch using (room_id, sender_id, temp_id) join room on room.id = room_id
    order by turn`);
  const written: Written[] = [];
  const ids = new Set<number>();
  for (const row of rows) {
    const id = Number(row.id);
    // A second draft of the same key came in the same statement.
    if (ids.has(id)) continue;
    ids.add(id);
    const participants = row.participants.split(" ");
    written[row.turn] = { stored: { id, createdAt: drafts[row.turn]!.createdAt, participants } };
  }
  const others = drafts.flatMap((draft, turn) => (written[turn] ? [] : [{ draft, turn }]));
  if (others.length === 0) return written;
  try {
    const found = await find(
      orm,
      others.map(({ draft }) => draft),
    );
    for (const [index, { turn }] of others.entries()) written[turn] = { found: found[index]! };
  } catch (cause) {
    // The messages are stored by now, so nobody may take them for unsent.
    throw new DatabaseUnavailable("what was written could not be read", { cause });
  }
  return written;
}

/** Looks the keys of drafts up; one result a draft, in the same order. */
export async function find(orm: Orm, drafts: readonly Draft[]): Promise<Found[]> {
  const rows = await orm.execute<{ id: unknown; message: string | null; created: unknown; participants: string }>(sql`
    with ${batch(drafts.map((draft) => ({ ...draft, message: "" })))}
    select earlier.id, earlier.message, extract(epoch from earlier.created_at) * 1000 as created,
      coalesce(array_to_string(room.participants, ' '), '') as participants
    from batch
    left join ${messages} earlier using (room_id, sender_id, temp_id)
    left join ${rooms} room on room.id = batch.room_id
    order by turn`);
  return rows.map(({ id, message, created, participants }) => ({
    id: Number(id),
    message,
    createdAt: Math.round(Number(created)),
    participants: participants.split(" "),
  }));
}

/** The drafts as a table. One JSON text, whatever their number, so that the statement is prepared once. */
function batch(drafts: readonly Draft[]) {
  const rows = drafts.map((draft, turn) => ({
    turn,
    room_id: draft.roomId,
    sender_id: draft.senderId,
    temp_id: storable(draft.tempId),
    message: draft.message,
    created_at: new Date(draft.createdAt),
  }));
  return sql`batch as materialized (
    select * from json_to_recordset(${JSON.stringify(rows)}::text::json)
      as batch(turn int, room_id bigint, sender_id uuid, temp_id text, message text, created_at timestamptz)
  )`;
}

/** A temp id as Postgres can hold it: it is the client's own affair, and may hold U+0000 and lone surrogates. */
const storable = (tempId: string): string => JSON.stringify(tempId).slice(1, -1);
