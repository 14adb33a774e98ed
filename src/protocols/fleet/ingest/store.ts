import { sql } from "drizzle-orm";
import type { Database, Orm } from "../../../database/database.ts";
import {
  type Entries,
  type EventRow,
  framesOf,
  nothing,
  Reading,
  type RecordRow,
  type Rules,
  recordKey,
} from "./entries.ts";
import type { Report } from "./report.ts";
import { lockStates, type UnitState, writeStates } from "./unit-state.ts";

type Tx = Pick<Orm, "select" | "execute">;

/** A report after its commit. */
export interface Committed {
  /** False when its unit is gone. */
  readonly known: boolean;
  readonly entries: Entries;
  /** What its watchers are to be told, in order. */
  readonly frames: readonly string[];
  readonly newEvents: number;
}

/**
 * Stores reports in one transaction, all or none, in the order given. The rows of the units' states are locked first, so
 * the reports of a unit have one order over all nodes and each is judged by what came before it.
 */
export function storeReports(database: Database, reports: readonly Report[], rules: Rules): Promise<Committed[]> {
  return database.orm.transaction(async (tx) => {
    const uids = [...new Set(reports.map(({ uid }) => uid))].sort((a, b) => a - b);
    const withRecord = reports.some(({ records, events, item, mission }) => {
      return item ?? mission ?? (events?.length && !records?.length);
    });
    const states = await lockStates(tx, uids, { withRecord });
    const doubles = await storedBefore(tx, reports, states);
    const newItems = await newDriverItems(tx, reports);
    const readings = new Map([...states].map(([uid, state]) => [uid, new Reading(state, doubles, rules)]));
    const all = reports.map((report) => {
      const reading = readings.get(report.uid);
      if (!reading) return null;
      if (report.mission) return reading.mission(report, report.mission);
      if (!report.item) return reading.report(report);
      return newItems.has(report) ? reading.item(report, report.item) : { ...nothing, doubles: 1 };
    });
    await insertRecords(
      tx,
      all.flatMap((entries) => entries?.records ?? []),
    );
    const fresh = await insertEvents(
      tx,
      all.flatMap((entries) => entries?.events ?? []),
    );
    await writeStates(tx, states.values());
    return all.map((entries, index) => {
      if (!entries) return { known: false, entries: nothing, frames: [], newEvents: 0 };
      const newEvents = entries.events.filter(({ id }) => fresh.has(id)).length;
      return { known: true, entries, newEvents, frames: framesOf(reports[index]!.uid, entries, (id) => fresh.has(id)) };
    });
  });
}

/**
 * Ids of those records that are there already. Only one that is not newer than the newest of its unit can be, and mission
 * records, which do not count as newest.
 */
async function storedBefore(
  tx: Tx,
  reports: readonly Report[],
  states: ReadonlyMap<number, UnitState>,
): Promise<Map<string, string>> {
  const asked: { uid: number; tmx: number; part: string }[] = [];
  for (const { uid, records = [], mission } of reports) {
    const newest = states.get(uid)?.tmx ?? Number.NEGATIVE_INFINITY;
    for (const { tmx, part } of records) if (tmx <= newest) asked.push({ uid, tmx, part });
    if (mission) {
      const { id, guid, tmx } = mission;
      asked.push({ uid, tmx, part: guid === null ? `service ${id}` : `service ${id} ${guid}` });
    }
  }
  if (asked.length === 0) return new Map();
  const rows = await tx.execute<{ uid: string; tmx: string; part: string; id: string }>(sql`
    select asked.uid, asked.tmx, asked.part, records.id
    from json_to_recordset(${JSON.stringify(asked)}::text::json) as asked(uid bigint, tmx bigint, part text)
    join fleet.records on records.uid = asked.uid and records.tmx = to_timestamp(asked.tmx / 1000.0)::timestamptz(3)
      and records.part = asked.part`);
  return new Map(rows.map(({ uid, tmx, part, id }) => [recordKey(Number(uid), Number(tmx), part), id]));
}

/** The reports whose driver item nobody has sent before. */
async function newDriverItems(tx: Tx, reports: readonly Report[]): Promise<Set<Report>> {
  const byName = new Map<string, Report>();
  for (const report of reports) {
    const name = report.item && `${report.uid} ${report.item.guid}`;
    if (name !== undefined && !byName.has(name)) byName.set(name, report);
  }
  if (byName.size === 0) return new Set();
  const rows = [...byName.values()].map(({ uid, rmx, item }) => ({ uid, guid: item?.guid, rmx }));
  const inserted = await tx.execute<{ uid: string; guid: string }>(sql`
    insert into fleet.driver_items (uid, guid, rmx)
    select uid, guid, to_timestamp(rmx / 1000.0)
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as r(uid bigint, guid text, rmx bigint)
    order by uid, guid on conflict do nothing returning uid, guid`);
  return new Set(inserted.map(({ uid, guid }) => byName.get(`${uid} ${guid}`)!));
}

/** Bodies travel as they are, so that no JSON is read or written twice. */
async function insertRecords(tx: Tx, rows: readonly RecordRow[]): Promise<void> {
  if (rows.length === 0) return;
  const json = rows.map(({ body, ...plain }) => `${JSON.stringify(plain).slice(0, -1)},"body":${body}}`);
  await tx.execute(sql`
    insert into fleet.records (uid, tmx, part, id, rmx, mission, body)
    select uid, to_timestamp(tmx / 1000.0), part, id, to_timestamp(rmx / 1000.0), mission, body
    from json_to_recordset(${`[${json.join()}]`}::text::json)
      as r(uid bigint, tmx bigint, part text, id text, rmx bigint, mission boolean, body json)`);
}

/** Inserts those that are not there yet and returns their ids. */
async function insertEvents(tx: Tx, rows: readonly EventRow[]): Promise<Set<string>> {
  if (rows.length === 0) return new Set();
  const json = rows.map(({ body, frame: _, ...plain }) => `${JSON.stringify(plain).slice(0, -1)},"body":${body}}`);
  const inserted = await tx.execute<{ id: string }>(sql`
    insert into fleet.events (uid, tmx, part, id, rmx, eid, body)
    select uid, to_timestamp(tmx / 1000.0), part, id, to_timestamp(rmx / 1000.0), eid, body
    from json_to_recordset(${`[${json.join()}]`}::text::json)
      as r(uid bigint, tmx bigint, part text, id text, rmx bigint, eid integer, body json)
    on conflict do nothing returning id`);
  return new Set(inserted.map(({ id }) => id));
}
