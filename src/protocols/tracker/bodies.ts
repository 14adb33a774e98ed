import * as v from "valibot";
import { readBody } from "../../http/body.ts";
import type { RouteContext } from "../../http/routes.ts";

/** Largest body of a REST call (T-8.16). */
const MAX_BODY_BYTES = 64 * 1024;

/** One thing wrong with a body (T-3.13). */
export interface BodyFault {
  readonly type:
    | "missing"
    | "string_type"
    | "string_too_short"
    | "string_too_long"
    | "string_pattern_mismatch"
    | "json_invalid"
    | "value_error";
  readonly msg: string;
}

/** A body that is not what the route takes. */
export class InvalidBody extends Error {
  override readonly name = "InvalidBody";
  readonly faults: readonly BodyFault[];

  constructor(faults: readonly BodyFault[]) {
    super(faults.map((fault) => fault.type).join(", "));
    this.faults = faults;
  }
}

/** A JSON object. Throws {@link InvalidBody} or BodyTooLarge. */
export async function jsonBody<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const text = await textBody(context, "json_invalid");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidBody([{ type: "json_invalid", msg: "Body is not JSON" }]);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidBody([{ type: "value_error", msg: "Body must be an object" }]);
  }
  return fit(schema, value);
}

/**
 * The fields of a form, urlencoded or, where its type says so, multipart, as the original takes both; of a repeated one
 * the last counts. Throws {@link InvalidBody} or BodyTooLarge.
 */
export async function formBody<Schema extends v.GenericSchema>(
  context: RouteContext,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const text = await textBody(context, "value_error");
  const type = context.req.header("content-type") ?? "";
  const isMultipart = /^multipart\/form-data\b/i.test(type);
  return fit(schema, Object.fromEntries(isMultipart ? await parts(text, type) : new URLSearchParams(text)));
}

/** The parts of a multipart form, whose content type names what stands between them. */
async function parts(text: string, type: string): Promise<Iterable<readonly [string, unknown]>> {
  try {
    return await new Response(text, { headers: { "content-type": type } }).formData();
  } catch {
    throw new InvalidBody([{ type: "value_error", msg: "Body is not a form" }]);
  }
}

async function textBody(context: RouteContext, notText: "json_invalid" | "value_error"): Promise<string> {
  const bytes = await readBody(context.req.raw, MAX_BODY_BYTES);
  if (bytes.byteLength === 0) throw new InvalidBody([{ type: "missing", msg: "Body required" }]);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InvalidBody([{ type: notText, msg: "Body is not UTF-8" }]);
  }
}

/** Reports the first fault of each field, so that a name that is too short is not called ill-formed as well. */
function fit<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortPipeEarly: true });
  if (result.success) return result.output;
  throw new InvalidBody(result.issues.map(fault));
}

/** An issue in the contract's words; never repeats what was sent. */
function fault(issue: v.BaseIssue<unknown>): BodyFault {
  const field = v.getDotPath(issue) ?? "body";
  if (issue.received === "undefined") return { type: "missing", msg: `${field} is required` };
  switch (issue.type) {
    case "string":
      return { type: "string_type", msg: `${field} must be a string` };
    case "min_length":
      return { type: "string_too_short", msg: `${field} is too short` };
    case "max_length":
      return { type: "string_too_long", msg: `${field} is too long` };
    case "regex":
      return { type: "string_pattern_mismatch", msg: `${field} has characters that are not allowed` };
    default:
      return { type: "value_error", msg: `${field} is not valid` };
  }
}
