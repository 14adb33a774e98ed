import * as v from "valibot";
import { readBody } from "../../http/body.ts";
import type { RouteContext } from "../../http/routes.ts";
import { errors, type Field } from "./errors.ts";
import { UserId } from "./messages.ts";

/** Largest body of a REST call (C-3.10). */
const MAX_BODY_BYTES = 64 * 1024;

/** Longest ban: a hundred years. */
const MAX_SECONDS = 100 * 366 * 86_400;

/** Ids, and numbers of apartments: JSON numbers from 1 up. */
const Id = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** Users without repetition. */
const Users = v.pipe(
  v.array(UserId),
  v.transform((users) => [...new Set(users)]),
);

/** Text that Postgres can hold and a person wants to read. */
const Reason = v.pipe(
  v.string(),
  v.maxLength(500),
  v.check((text) => !text.includes("\0")),
  v.transform((text) => text.toWellFormed()),
);

/** Body of `POST /rooms` (C-3.13, C-3.16). */
export const NewRoom = v.object({ users: Users, apartment_id: v.nullish(Id, null) });

/** Body of `PUT /rooms` (C-3.24). */
export const RoomChange = v.object({
  room_id: Id,
  users_to_add: v.optional(Users, []),
  users_to_remove: v.optional(Users, []),
});

/** Body of a ban (C-3.6). */
export const NewBan = v.object({
  reason: v.nullish(Reason, null),
  seconds: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(MAX_SECONDS)), null),
});

/** Body of a kick (C-3.8). */
export const Kick = v.object({ reason: v.nullish(Reason, null) });

/** A JSON body. Throws `invalid_json`, or the error of the first field that is wrong; BodyTooLarge. */
export async function jsonBody<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return fit(schema, json(await readBody(context.req.raw, MAX_BODY_BYTES)));
}

/** A JSON body that may be left out. Throws like {@link jsonBody}. */
export async function optionalBody<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const bytes = await readBody(context.req.raw, MAX_BODY_BYTES);
  return fit(schema, bytes.byteLength === 0 ? {} : json(bytes));
}

/** A number that stands in a path or a query as plain digits. Throws the error of its field. */
export function wholeNumber(text: string, field: Field, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max)) throw errors.fault(`invalid_${field}`);
  return number;
}

/** The room a path names. Throws `invalid_id`. */
export function roomId(context: RouteContext): number {
  return wholeNumber(context.req.param("id") ?? "", "id", { min: 1 });
}

/** The user a path names. Throws `invalid_id`. */
export function userId(context: RouteContext): string {
  const parsed = v.safeParse(UserId, context.req.param("id"));
  if (!parsed.success) throw errors.fault("invalid_id");
  return parsed.output;
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw errors.fault("invalid_json", { cause });
  }
}

function fit<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, value, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const field = v.getDotPath(parsed.issues[0])?.split(".")[0];
  // Only the whole can be wrong without a field: it is no object.
  throw errors.fault(field === undefined ? "invalid_json" : `invalid_${field as Field}`);
}
