import { and, eq, sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Level, Levels } from "../ingest/unit-state.ts";
import type { FleetRecord } from "../record.ts";
import { entitlements, unitState, units } from "../tables.ts";

type Values = Readonly<Record<string, unknown>>;

/** The units a user may view, with what is known of each (F-3.16, F-3.20); by mid. */
export async function vehiclesOf(database: Database, user: number): Promise<object[]> {
  const rows = await database.orm
    .select({
      mid: units.uid,
      info: { plate: units.plate, brand: units.brand, model: units.model, reference: units.reference },
      record: sql<string | null>`${unitState.record}::text`,
      io: unitState.io,
      eco: unitState.eco,
    })
    .from(entitlements)
    .innerJoin(units, eq(units.uid, entitlements.uid))
    .innerJoin(unitState, eq(unitState.uid, units.uid))
    .where(and(eq(entitlements.user, user), eq(entitlements.view, true), eq(units.disabled, false)))
    .orderBy(units.uid);
  return rows.map(({ mid, info, record, io, eco }) => {
    const newest = record === null ? null : (JSON.parse(record) as FleetRecord);
    const known = (eco ?? {}) as Values;
    const data = {
      pos: newest && {
        tmx: newest.tmx,
        loc: { lat: newest.loc.lat, lon: newest.loc.lon },
        gsp: newest.gsp,
        hdg: newest.hdg,
        gkm: newest.gkm,
      },
      drs: block(known, { ds1: "ds1", ds2: "ds2", dc1: "dcl" }),
      can: block(known, { rpm: "rpm", ckm: "ckm", ehr: "ehr", tfl: "tfl" }),
      fue: block(known, { flv: "flv" }),
      tmp: block(known, { aat: "aat" }),
      tac: null,
      exd: newest?.exd ?? null,
      tlm: telemetry(io as Levels),
    };
    return { mid, info, data };
  });
}

/** Values of the newest eco block under their names here; null when none of them is known. */
function block(eco: Values, names: Readonly<Record<string, string>>): object | null {
  const values = Object.entries(names).map(([name, source]) => [name, eco[source] ?? null] as const);
  return values.every(([, value]) => value === null) ? null : { tmx: eco.tmx, ...Object.fromEntries(values) };
}

/** Levels as a `cmd-parsed` has them (F-5.14). */
function telemetry(io: Levels): object | null {
  const entries = Object.entries(io).map(([number, [tlv, hid, tmx]]: [string, Level]) => {
    return [number, { tio: Number(number), tlv, hid, tmx }] as const;
  });
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
