import { asc, eq, gt } from "drizzle-orm";
import * as v from "valibot";
import { isUniqueViolation } from "../../../database/errors.ts";
import type { Route } from "../../../http/routes.ts";
import { Refusal } from "../errors.ts";
import { Uid } from "../messages.ts";
import { hashOf, newSecret } from "../secrets.ts";
import { units } from "../tables.ts";
import { insertUnit, type Unit } from "../units/directory.ts";
import { type AdminParts, answer, bodyOf, numberIn, pageOf, text } from "./parts.ts";

const optional = <Schema extends v.GenericSchema>(schema: Schema) => v.exactOptional(v.nullable(schema));
const vid = v.pipe(v.number(), v.safeInteger());

const fields = {
  vid: v.exactOptional(vid),
  name: optional(text(255)),
  plate: optional(text(64)),
  brand: optional(text(64)),
  model: optional(text(64)),
  reference: optional(text(255)),
  key: optional(text(256)),
  pnd_key: optional(text(256)),
  osmand_speed: v.exactOptional(v.picklist(["kn", "ms", "kmh"])),
  disabled: v.exactOptional(v.boolean()),
};
const Creation = v.object({ unique_id: v.nullable(text(128)), uid: v.exactOptional(Uid), ...fields });
const Change = v.object({ unique_id: v.exactOptional(v.nullable(text(128))), ...fields });

/** Units (F-3.22, F-3.23). */
export function unitRoutes(parts: AdminParts): Route[] {
  const { database, revision, clock, ended } = parts;
  return [
    {
      method: "POST",
      path: "/units",
      async handler(context) {
        const {
          unique_id: uniqueId,
          uid,
          vid,
          key = newSecret(),
          pnd_key: pndKey = newSecret(),
          ...given
        } = await bodyOf(context, Creation, parts);
        const row = { ...columns(given), uniqueId, vid, uid, key: hashed(key), pndKey: hashed(pndKey) };
        const unit = await refuseTaken(() => revision.change((tx) => insertUnit(tx, row, clock.now())));
        return answer({ ...shown(unit), key, pnd_key: pndKey }, { status: 201 });
      },
    },
    {
      method: "GET",
      path: "/units",
      async handler(context) {
        const { limit, after } = pageOf(context);
        const rows = await database.orm
          .select()
          .from(units)
          .where(gt(units.uid, after))
          .orderBy(asc(units.uid))
          .limit(limit);
        return answer(rows.map(shown), { cursor: rows.length === limit ? rows.at(-1)?.uid : undefined });
      },
    },
    {
      method: "GET",
      path: "/units/:uid",
      async handler(context) {
        const [unit] = await database.orm
          .select()
          .from(units)
          .where(eq(units.uid, numberIn(context, "uid")));
        if (!unit) throw new Refusal("not_found");
        return answer(shown(unit));
      },
    },
    {
      method: "PATCH",
      path: "/units/:uid",
      async handler(context) {
        const uid = numberIn(context, "uid");
        const { key, pnd_key: pndKey, vid, unique_id: uniqueId, ...given } = await bodyOf(context, Change, parts);
        const changes = {
          ...columns(given),
          ...(vid === undefined ? {} : { vid }),
          ...(uniqueId === undefined ? {} : { uniqueId }),
          ...(key === undefined ? {} : { key: hashed(key) }),
          ...(pndKey === undefined ? {} : { pndKey: hashed(pndKey) }),
        };
        const own = eq(units.uid, uid);
        const [unit] = await refuseTaken(() =>
          revision.change((tx) =>
            Object.keys(changes).length === 0
              ? tx.select().from(units).where(own)
              : tx.update(units).set(changes).where(own).returning(),
          ),
        );
        if (!unit) throw new Refusal("not_found");
        if (unit.disabled) ended(uid);
        return answer(shown(unit));
      },
    },
    {
      method: "DELETE",
      path: "/units/:uid",
      async handler(context) {
        const uid = numberIn(context, "uid");
        const gone = await revision.change((tx) =>
          tx.delete(units).where(eq(units.uid, uid)).returning({ uid: units.uid }),
        );
        if (gone.length === 0) throw new Refusal("not_found");
        ended(uid);
        return answer([]);
      },
    },
  ];
}

type Given = Omit<v.InferOutput<typeof Change>, "key" | "pnd_key" | "vid" | "unique_id">;

/** Fields under the names of their columns; absent ones stay absent. */
function columns({ osmand_speed: osmandSpeed, ...same }: Given) {
  return { ...same, ...(osmandSpeed === undefined ? {} : { osmandSpeed }) };
}

const hashed = (key: string | null) => (key === null ? null : hashOf(key));

/** A unit as it is shown: without its keys. */
function shown({ uniqueId, osmandSpeed, key, pndKey, traccarId, createdAt, ...same }: Unit): object {
  return {
    ...{ ...same, unique_id: uniqueId, osmand_speed: osmandSpeed },
    ...{
      has_key: key !== null,
      has_pnd_key: pndKey !== null,
      traccar_id: traccarId,
      created_at: createdAt.toISOString(),
    },
  };
}

async function refuseTaken<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error)) throw new Refusal("exists");
    throw error;
  }
}
