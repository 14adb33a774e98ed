import { and, eq, inArray } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import { entitlements, units } from "../tables.ts";

/** What a user may do with a unit, and the unit's vid. */
export interface Rights {
  readonly view: boolean;
  readonly command: boolean;
  readonly message: boolean;
  readonly vid: number;
}

/** The units of a user by uid. Disabled units are left out. */
export type UnitRights = ReadonlyMap<number, Rights>;

/** Reads who may do what (F-2.13); one statement for any number of users. */
export async function rightsOf(database: Database, users: readonly number[]): Promise<Map<number, UnitRights>> {
  const result = new Map<number, Map<number, Rights>>(users.map((user) => [user, new Map()]));
  if (users.length === 0) return result;
  const rows = await database.orm
    .select({
      user: entitlements.user,
      uid: entitlements.uid,
      view: entitlements.view,
      command: entitlements.command,
      message: entitlements.message,
      vid: units.vid,
    })
    .from(entitlements)
    .innerJoin(units, eq(units.uid, entitlements.uid))
    .where(and(inArray(entitlements.user, [...users]), eq(units.disabled, false)));
  for (const { user, uid, ...rights } of rows) result.get(user)?.set(uid, rights);
  return result;
}
