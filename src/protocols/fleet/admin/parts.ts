import * as v from "valibot";
import type { Accounts } from "../../../accounts/accounts.ts";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { RouteContext } from "../../../http/routes.ts";
import type { Audit } from "../commands/audit.ts";
import { invalid, Refusal } from "../errors.ts";
import { parametersOf } from "../rest/bodies.ts";
import { fit } from "../rest/requests.ts";
import { envelope } from "../rest/rest.ts";
import type { FleetSettings } from "../settings.ts";
import { isSoundText } from "../sound.ts";
import type { Revision } from "../units/revision.ts";

/** What administration works with. */
export interface AdminParts {
  readonly settings: FleetSettings;
  readonly database: Database;
  readonly accounts: Accounts;
  readonly revision: Revision;
  readonly audit: Audit;
  readonly clock: Clock;
  /** A unit is no more, or closed: its links on all nodes end. */
  readonly ended: (uid: number) => void;
}

/** Text of an admin. */
export const text = (max: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(max), v.check(isSoundText));

/** A body that fits a schema. Throws Refusal. */
export async function bodyOf<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
  { settings }: AdminParts,
): Promise<v.InferOutput<Schema>> {
  return fit(schema, await parametersOf(context, settings.maxBodyBytes));
}

/** A number in the path. Throws Refusal `not_found`. */
export function numberIn(context: RouteContext, name: string): number {
  const number = Number(context.req.param(name));
  if (!Number.isSafeInteger(number) || number < 1) throw new Refusal("not_found");
  return number;
}

/** `limit` and `cursor` of a list. */
export function pageOf({ req }: RouteContext): { readonly limit: number; readonly after: number } {
  const limit = Number(req.query("limit") ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500) throw invalid("limit");
  const after = Number(req.query("cursor") ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) throw invalid("cursor");
  return { limit, after };
}

/** An answer; a full page names the cursor of the next. */
export function answer(data: unknown, options: { status?: number; cursor?: number | undefined } = {}): Response {
  const { status = 200, cursor } = options;
  const body = { ...envelope(data), ...(cursor === undefined ? {} : { cursor: String(cursor) }) };
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}
