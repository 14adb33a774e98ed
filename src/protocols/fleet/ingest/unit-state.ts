import { sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Eco } from "../record.ts";
import { unitState } from "../tables.ts";

/** A known level: value, `_id` of the record it came with (null: a direct answer), and when. */
export type Level = readonly [level: number, hid: string | null, tmx: string];
export type Levels = Record<string, Level>;

/** What is known of a unit. */
export interface UnitState {
  readonly uid: number;
  /** Grows with each commit that concerns the unit: what was judged by an older one has to be judged again. */
  readonly version: number;
  /** Time of the newest record. */
  tmx: number | null;
  recordId: string | null;
  /** The newest record as JSON. */
  record: string | null;
  io: Levels;
  /** A newer eco block with its time; null leaves the stored one. */
  eco: Eco | null;
  bpp: number | null;
}

/** Units whose state is remembered, one to two kilobytes each. */
const MAX_REMEMBERED = 20_000;

/**
 * The states of units that report through this node, from memory as a rule. What is remembered may be behind the store,
 * because other nodes store reports too: whoever builds on it makes its commit depend on the version.
 */
export class UnitStates {
  readonly #database: Database;
  /** The one that was used last is the last. */
  readonly #known = new Map<number, UnitState>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** The states of units; those that are not there are left out. */
  async read(uids: Iterable<number>): Promise<Map<number, UnitState>> {
    const states = new Map<number, UnitState>();
    const missing: number[] = [];
    for (const uid of uids) {
      const known = this.#known.get(uid);
      if (known) states.set(uid, known);
      else missing.push(uid);
    }
    if (missing.length > 0) for (const state of await this.#stored(missing)) states.set(state.uid, state);
    return states;
  }

  /** What a unit's state is after a commit. */
  remember(state: UnitState): void {
    this.#known.delete(state.uid);
    this.#known.set(state.uid, state);
    if (this.#known.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  forget(uid: number): void {
    this.#known.delete(uid);
  }

  async #stored(uids: readonly number[]): Promise<UnitState[]> {
    const rows = await this.#database.orm
      .select({
        uid: unitState.uid,
        version: unitState.version,
        tmx: unitState.tmx,
        recordId: unitState.recordId,
        record: sql<string | null>`${unitState.record}::text`,
        io: unitState.io,
        bpp: unitState.bpp,
      })
      .from(unitState)
      // One parameter: to build a statement of hundreds costs more than to run it.
      .where(sql`${unitState.uid} = any(${`{${uids}}`}::text::bigint[])`);
    return rows.map((row) => ({ ...row, tmx: row.tmx?.getTime() ?? null, io: row.io as Levels, eco: null }));
  }
}
