import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import { isUniqueViolation } from "../../../database/errors.ts";
import { hashOf, newSecret } from "../secrets.ts";
import { records, unitState, units } from "../tables.ts";
import type { Revision } from "./revision.ts";

export type Unit = typeof units.$inferSelect;

/** Units that are remembered, those that are not there included. */
const MAX_REMEMBERED = 100_000;

/**
 * Finds units for the doors, from memory as a rule: each node forgets what it knew whenever something was changed
 * anywhere. Disabled units are not found (F-12.1).
 */
export class Directory {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #revision: Revision;
  readonly #known = new Map<string, Unit | null>();
  /** Counts the times everything was forgotten: what was read before must not be remembered after. */
  #era = 0;

  constructor(parts: { database: Database; clock: Clock; revision: Revision }) {
    this.#database = parts.database;
    this.#clock = parts.clock;
    this.#revision = parts.revision;
    this.#revision.onChange(() => this.#forget());
  }

  byUniqueId(uniqueId: string): Promise<Unit | null> {
    return this.#find(`id ${uniqueId}`, eq(units.uniqueId, uniqueId));
  }

  byUid(uid: number): Promise<Unit | null> {
    return this.#find(`uid ${uid}`, eq(units.uid, uid));
  }

  /** Gives a unit without one its unique_id; null when it has one by now, or the id is taken. */
  async bind(uid: number, uniqueId: string): Promise<Unit | null> {
    return this.#change(async (tx) => {
      const free = and(eq(units.uid, uid), isNull(units.uniqueId), eq(units.disabled, false));
      return (await tx.update(units).set({ uniqueId }).where(free).returning())[0];
    });
  }

  /** Remembers by which number Traccar knows the unit (F-12.7). */
  async noteTraccarId(uid: number, traccarId: number): Promise<void> {
    await this.#change(async (tx) => {
      return (await tx.update(units).set({ traccarId }).where(eq(units.uid, uid)).returning())[0];
    });
  }

  /**
   * Makes a unit of something that reports (FLEET_AUTO_REGISTER). `open` leaves it without a key; otherwise it gets keys
   * that nobody knows, so that no other door opens to it before an administrator says so. Null when another node was
   * quicker but the unit is disabled.
   */
  async register(uniqueId: string, { vid, open }: { vid?: number | undefined; open: boolean }): Promise<Unit | null> {
    const key = open ? null : hashOf(newSecret());
    try {
      return await this.#revision.change((tx) =>
        insertUnit(tx, { uniqueId, vid, key, pndKey: key }, this.#clock.now()),
      );
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      this.#forget();
      return this.byUniqueId(uniqueId);
    }
  }

  async #change(work: (tx: Parameters<Parameters<Revision["change"]>[0]>[0]) => Promise<Unit | undefined>) {
    try {
      return (await this.#revision.change(work)) ?? null;
    } catch (error) {
      if (isUniqueViolation(error, "units_unique_id_unique")) return null;
      throw error;
    }
  }

  async #find(name: string, condition: SQL): Promise<Unit | null> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const era = this.#era;
    const [unit = null] = await this.#database.orm
      .select()
      .from(units)
      .where(and(condition, eq(units.disabled, false)));
    if (era === this.#era) {
      if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
      this.#known.set(name, unit);
    }
    return unit;
  }

  #forget(): void {
    this.#era++;
    this.#known.clear();
  }
}

/** What a new unit may be given; uid defaults to the next free number, vid to uid (F-3.22). */
export type NewUnit = Partial<Omit<Unit, "vid" | "uid" | "createdAt">> & {
  readonly vid?: number | undefined;
  readonly uid?: number | undefined;
};

/** Under a number that was used before there may be a history: what stands in it is not new (F-6.4). */
const newestRecordOf = (uid: number): SQL<Date | null> =>
  sql`(select max(${records.tmx}) from ${records} where ${records.uid} = ${uid} and not ${records.mission})`;

/** Inserts a unit with its state. Throws a unique violation when uid or unique_id is taken. */
export async function insertUnit(
  tx: Pick<Database["orm"], "insert" | "transaction">,
  { vid, uid, ...given }: NewUnit,
  now: number,
): Promise<Unit> {
  for (;;) {
    try {
      return await tx.transaction(async (inner) => {
        const row = { ...given, vid: vid ?? 0, createdAt: new Date(now), ...(uid === undefined ? {} : { uid }) };
        const [made] = await inner.insert(units).values(row).returning();
        let unit = made as Unit;
        if (vid === undefined) {
          const own = eq(units.uid, unit.uid);
          unit = (await inner.update(units).set({ vid: unit.uid }).where(own).returning())[0] as Unit;
        }
        await inner.insert(unitState).values({ uid: unit.uid, tmx: newestRecordOf(unit.uid) });
        return unit;
      });
    } catch (error) {
      // The next number was given away by hand: the one after it is tried.
      if (uid !== undefined || !isUniqueViolation(error, "units_pkey")) throw error;
    }
  }
}
