import { randomUUID } from "node:crypto";
import type { Fault } from "../../errors.ts";
import type { RouteContext } from "../../http/routes.ts";
import { type ErrorCode, publicFault } from "./errors.ts";

/** The envelope of a successful call. */
export function envelope(data: unknown): Response {
  return Response.json({ error_message: null, data });
}

/** The body of an error; both of its keys are read by some client (C-11.3). */
export function errorAnswer(fault: Fault<ErrorCode>): Response {
  const { text, status } = fault.row;
  const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
  return Response.json({ error_message: text, message: text, data: null }, { status, headers });
}

/** The answer to a call that failed. */
export function failure(error: unknown, context: RouteContext): Response {
  return withRequestId(errorAnswer(publicFault(error)), context);
}

/** Names the request: as its caller did, or by a name of ours (C-1.8). */
export function withRequestId(response: Response, context: RouteContext): Response {
  const given = context.req.header("x-request-id") ?? "";
  response.headers.set("x-request-id", /^[A-Za-z0-9-]{1,64}$/.test(given) ? given : randomUUID());
  return response;
}
