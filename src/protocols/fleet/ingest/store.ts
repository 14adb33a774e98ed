import { sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import { type Commit, commitEntries } from "./commit.ts";
import { type Entries, framesOf, nothing } from "./entries.ts";
import { itemKey, type Present, Reading, type Rules, recordKey } from "./reading.ts";
import { missionPart, type Report } from "./report.ts";
import { type UnitState, UnitStates } from "./unit-state.ts";

/** A report and what became of it. */
export interface Stored {
  readonly report: Report;
  readonly committed: Committed;
}

/** A report after its commit. */
export interface Committed {
  /** False when its unit is gone. */
  readonly known: boolean;
  /** The unit's version since then; null when there was nothing to store. */
  readonly version: number | null;
  readonly entries: Entries;
  /** What its watchers are to be told, in order. */
  readonly frames: readonly string[];
  readonly newEvents: number;
}

const unknown: Committed = { known: false, version: null, entries: nothing, frames: [], newEvents: 0 };

/** Where reports become rows. */
export class ReportStore {
  readonly #database: Database;
  readonly #rules: Rules;
  readonly #states: UnitStates;

  constructor(database: Database, rules: Rules) {
    this.#database = database;
    this.#rules = rules;
    this.#states = new UnitStates(database);
  }

  /**
   * Stores reports in the order given, those of a unit together or not at all. They are judged by what is known of the
   * unit, and stored only if that still holds; where another node was quicker, they are judged again. So the reports of a
   * unit have one order over all nodes, and no lock is held while this node thinks.
   *
   * `settled` is given those that are done with as soon as they are: the store may be lost before the others are. All that
   * it is given of a unit at once has one version.
   */
  async store(reports: readonly Report[], settled: (some: readonly Stored[]) => void): Promise<Committed[]> {
    const results = new Map<Report, Committed>();
    for (let open = reports; open.length > 0; open = open.filter((report) => !results.has(report))) {
      const some = await this.#attempt(open);
      for (const { report, committed } of some) results.set(report, committed);
      settled(some);
    }
    return reports.map((report) => results.get(report)!);
  }

  /** Stores the reports of those units that no other node was quicker with. */
  async #attempt(reports: readonly Report[]): Promise<Stored[]> {
    const states = await this.#states.read(new Set(reports.map(({ uid }) => uid)));
    // Read after the states: what is stored between the two makes the state too old, and so this attempt fail.
    const present = { records: await this.#records(reports, states), items: await this.#items(reports) };
    const readings = new Map([...states].map(([uid, state]) => [uid, new Reading(state, present, this.#rules)]));
    const read = reports.map((report) => ({ report, entries: readings.get(report.uid)?.read(report) }));
    const changed = [...readings.values()].filter((reading) => reading.changed).map(({ state }) => state);
    // It holds no longer, or was wrong, whatever becomes of the commit.
    for (const { uid } of changed) this.#states.forget(uid);
    const all = read.flatMap(({ entries }) => entries ?? []);
    const commit = changed.length > 0 ? await commitEntries(this.#database, changed, all) : nothingStored;
    for (const state of changed) {
      const version = commit.versions.get(state.uid);
      if (version !== undefined) this.#states.remember({ ...state, version, eco: null });
    }
    return read.flatMap(({ report, entries }) => {
      if (!entries) return { report, committed: unknown };
      const version = commit.versions.get(report.uid) ?? null;
      const isLate = version === null && readings.get(report.uid)?.changed;
      return isLate ? [] : { report, committed: committed(report, entries, version, commit) };
    });
  }

  /**
   * Ids of those records that are there already. Only one that is not newer than the newest of its unit can be, and
   * mission records, which do not count as newest.
   */
  async #records(reports: readonly Report[], states: ReadonlyMap<number, UnitState>): Promise<Present["records"]> {
    const asked: { uid: number; tmx: number; part: string }[] = [];
    for (const { uid, records = [], mission } of reports) {
      const newest = states.get(uid)?.tmx ?? Number.NEGATIVE_INFINITY;
      for (const { tmx, part } of records) if (tmx <= newest) asked.push({ uid, tmx, part });
      if (mission) asked.push({ uid, tmx: mission.tmx, part: missionPart(mission) });
    }
    if (asked.length === 0) return new Map();
    const rows = await this.#database.orm.execute<{ uid: string; tmx: string; part: string; id: string }>(sql`
      select asked.uid, asked.tmx, asked.part, records.id
      from json_to_recordset(${JSON.stringify(asked)}::text::json) as asked(uid bigint, tmx bigint, part text)
      join fleet.records on records.uid = asked.uid and records.tmx = to_timestamp(asked.tmx / 1000.0)::timestamptz(3)
        and records.part = asked.part`);
    return new Map(rows.map(({ uid, tmx, part, id }) => [recordKey(Number(uid), Number(tmx), part), id]));
  }

  /** Those driver items that are there already. */
  async #items(reports: readonly Report[]): Promise<Present["items"]> {
    const asked = reports.flatMap(({ uid, item }) => (item ? { uid, guid: item.guid } : []));
    if (asked.length === 0) return new Set();
    const rows = await this.#database.orm.execute<{ uid: string; guid: string }>(sql`
      select uid, guid from fleet.driver_items
      join json_to_recordset(${JSON.stringify(asked)}::text::json) as asked(uid bigint, guid text) using (uid, guid)`);
    return new Set(rows.map(({ uid, guid }) => itemKey(Number(uid), guid)));
  }
}

const nothingStored: Commit = { versions: new Map(), newEvents: new Set() };

function committed({ uid }: Report, entries: Entries, version: number | null, { newEvents }: Commit): Committed {
  const isNew = (id: string) => newEvents.has(id);
  return {
    ...{ known: true, version, entries, frames: framesOf(uid, entries, isNew) },
    newEvents: entries.events.filter(({ id }) => isNew(id)).length,
  };
}
