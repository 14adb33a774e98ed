import { sql } from "drizzle-orm";
import type { Orm } from "../../../database/database.ts";
import { unitState } from "../tables.ts";

/** A known level: value, `_id` of the record it came with (null: a direct answer), and when. */
export type Level = readonly [level: number, hid: string | null, tmx: string];
export type Levels = Record<string, Level>;

/** What is known of a unit. Held under its row's lock while it is changed. */
export interface UnitState {
  readonly uid: number;
  /** Time of the newest record. */
  tmx: number | null;
  recordId: string | null;
  /** The newest record as JSON; only there when it was asked for. */
  record: string | null;
  io: Levels;
  /** A newer eco block as JSON; null leaves the stored one. */
  eco: string | null;
  bpp: number | null;
  changed: boolean;
}

/**
 * Locks the states of units and reads them. In order of uid, so that nodes that store reports of the same units wait for
 * each other and not in a circle.
 */
export async function lockStates(
  tx: Pick<Orm, "select">,
  uids: readonly number[],
  { withRecord }: { withRecord: boolean },
): Promise<Map<number, UnitState>> {
  const rows = await tx
    .select({
      uid: unitState.uid,
      tmx: unitState.tmx,
      recordId: unitState.recordId,
      record: withRecord ? sql<string | null>`${unitState.record}::text` : sql<null>`null`,
      io: unitState.io,
      bpp: unitState.bpp,
    })
    .from(unitState)
    // One parameter: to build a statement of hundreds costs more than to run it.
    .where(sql`${unitState.uid} = any(string_to_array(${uids.join()}, ',')::bigint[])`)
    .orderBy(unitState.uid)
    .for("update");
  return new Map(
    rows.map((row) => [
      row.uid,
      { ...row, tmx: row.tmx?.getTime() ?? null, io: { ...(row.io as Levels) }, eco: null, changed: false },
    ]),
  );
}

/** Writes the changed ones back, in one statement. */
export async function writeStates(tx: Pick<Orm, "execute">, states: Iterable<UnitState>): Promise<void> {
  const rows: string[] = [];
  for (const state of states) {
    if (!state.changed) continue;
    const { uid, tmx, recordId, io, bpp, eco, record } = state;
    const plain = JSON.stringify({ uid, tmx, id: recordId, io, bpp });
    rows.push(`${plain.slice(0, -1)},"record":${record ?? "null"},"eco":${eco ?? "null"}}`);
  }
  if (rows.length === 0) return;
  await tx.execute(sql`
    update fleet.unit_state state set
      tmx = coalesce(to_timestamp(new.tmx / 1000.0), state.tmx), record_id = coalesce(new.id, state.record_id),
      record = coalesce(new.record, state.record), io = new.io, eco = coalesce(new.eco, state.eco), bpp = new.bpp
    from json_to_recordset(${`[${rows.join()}]`}::text::json)
      as new(uid bigint, tmx bigint, id text, record json, io json, eco json, bpp smallint)
    where state.uid = new.uid`);
}
