import * as v from "valibot";
import { readBody } from "../../../http/body.ts";
import type { RouteContext } from "../../../http/routes.ts";
import { errors, InvalidInput } from "../errors.ts";
import { isCleanText, isSane, Uuid } from "../messages.ts";

/** Largest body of a REST call (W-4.1). */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_SOCKET_ID = 64;

/** The body of a call that fits its schema (W-4.1, W-4.2, W-12.10, W-12.11). No body counts as `{}`. */
export async function bodyOf<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const bytes = await readBody(context.req.raw, MAX_BODY_BYTES);
  if (bytes.byteLength > 0 && !isJson(context.req.header("content-type"))) throw errors.fault("unsupported_media");
  const value = bytes.byteLength === 0 ? {} : parsed(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value) || !isSane(value)) {
    throw new InvalidInput("payload", []);
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw new InvalidInput("payload", keysOf(result.issues));
  return result.output;
}

/** A uuid in the path (W-4.2). */
export function idOf(context: RouteContext, name: string): string {
  const value = context.req.param(name);
  if (!v.is(Uuid, value)) throw new InvalidInput("params", [name]);
  return value;
}

/** A code in the path: any clean text. */
export function codeOf(context: RouteContext, name: string): string {
  const value = context.req.param(name) ?? "";
  if (value === "" || value.length > 256 || !isCleanText(value)) throw new InvalidInput("params", [name]);
  return value;
}

/** A uuid in the query (W-4.2); undefined when it is not there. */
export function queryIdOf(context: RouteContext, name: string): string | undefined {
  const value = queryOf(context, name);
  if (value !== undefined && !v.is(Uuid, value)) throw new InvalidInput("query", [name]);
  return value;
}

/** One value of the query; undefined when it is not there. */
export function queryOf(context: RouteContext, name: string): string | undefined {
  const values = context.req.queries(name) ?? [];
  if (values.length > 1 || (values[0] !== undefined && !isCleanText(values[0])))
    throw new InvalidInput("query", [name]);
  return values[0];
}

/** `true` or `false` in the query; false when it is not there. */
export function flagOf(context: RouteContext, name: string): boolean {
  const value = queryOf(context, name) ?? "false";
  if (value !== "true" && value !== "false") throw new InvalidInput("query", [name]);
  return value === "true";
}

/** The socket id in the query, which has to be there once (W-12.12). */
export function socketIdOf(context: RouteContext): string {
  const value = queryOf(context, "socketId");
  if (value === undefined || value === "" || value.length > MAX_SOCKET_ID)
    throw new InvalidInput("query", ["socketId"]);
  return value;
}

function isJson(type: string | undefined): boolean {
  return type !== undefined && /^application\/(?:[\w.+-]+\+)?json(?:\s*;|\s*$)/i.test(type);
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new InvalidInput("payload", []);
  }
}

function keysOf(issues: readonly v.BaseIssue<unknown>[]): string[] {
  return [...new Set(issues.map((issue) => v.getDotPath(issue) ?? "").filter((path) => path !== ""))];
}
