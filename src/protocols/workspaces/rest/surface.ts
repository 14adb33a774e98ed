import type { CorsPolicy } from "../../../http/cors.ts";
import { originAllowed } from "../../../http/cors.ts";
import type { RestSurface, Route } from "../../../http/routes.ts";
import { errors, InvalidInput, publicFault } from "../errors.ts";
import { BadQuestions } from "../permissions.ts";

/** Reason phrases of the statuses that are used (W-3.24). */
const PHRASES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Request Entity Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** The REST surface of these routes (section 4). */
export function surface(routes: readonly Route[], cors: CorsPolicy, hosts: readonly string[]): RestSurface {
  return {
    routes: routes.map((route) => sameOrigins(route, cors)),
    hosts,
    cors,
    onError,
    onWrongMethod: () => failure(405, errors.rows.wrong_method.text),
  };
}

/** W-1.17 */
function sameOrigins(route: Route, cors: CorsPolicy): Route {
  return {
    ...route,
    handler: (context) => {
      if (!originAllowed(cors, context.req.header("origin") ?? null)) throw errors.fault("access_denied");
      return route.handler(context);
    },
  };
}

function onError(error: unknown): Response {
  if (error instanceof InvalidInput) {
    return failure(400, error.message, { validation: { source: error.source, keys: error.keys } });
  }
  const fault = publicFault(error) ?? errors.fault("internal", { cause: error });
  const { status, text } = fault.row;
  const more = {
    ...(fault.code === "bad_token" ? { attributes: { error: text } } : {}),
    ...(error instanceof BadQuestions ? { data: error.data } : {}),
  };
  const response = failure(status, text, more);
  if (fault.retryAfter !== undefined) response.headers.set("retry-after", String(fault.retryAfter));
  return response;
}

/** W-3.24 */
function failure(statusCode: number, message: string, more: object = {}): Response {
  return Response.json({ statusCode, error: PHRASES[statusCode] ?? "Error", message, ...more }, { status: statusCode });
}
