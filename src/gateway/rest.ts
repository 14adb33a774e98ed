import { Hono } from "hono";
import { corsHeaders, preflight } from "../http/cors.ts";
import { servesHost } from "../http/hosts.ts";
import type { ClientInfo, Method, RestSurface, Route, RouteContext } from "../http/routes.ts";
import type { Log } from "../observe/log.ts";

/** The REST surface of one protocol and the log its unknown errors go to. */
export interface RestMount {
  readonly surface: RestSurface;
  readonly log: Log;
}

/** What tells "no protocol takes this path" from a 404 of a protocol. */
const NOT_TAKEN = "x-not-taken";

/**
 * One Hono app for the routes of all protocols: both spellings of each path, 405 with `allow` on a known path, CORS and
 * preflight by the policy of the protocol that owns the path, errors in that protocol's shape.
 */
export function restApp(mounts: readonly RestMount[], pick: (surface: RestSurface) => readonly Route[]) {
  const app = new Hono<{ Bindings: ClientInfo }>({ strict: false });
  const paths = new Map<string, { mount: RestMount; methods: Set<Method | "HEAD"> }>();
  for (const mount of mounts) {
    for (const route of pick(mount.surface)) {
      const methods = route.method === "GET" && !route.unsafe ? (["GET", "HEAD"] as const) : [route.method];
      // Hono gives HEAD to the handlers of GET.
      app.on(route.method, route.path, (context, next) =>
        servesHost(mount.surface.hosts, context.req.raw) && !(route.unsafe && context.req.method === "HEAD")
          ? answer(mount, route, context)
          : notHere(next),
      );
      const known = paths.get(route.path);
      paths.set(route.path, {
        mount: known?.mount ?? mount,
        methods: new Set([...(known?.methods ?? []), ...methods]),
      });
    }
  }
  for (const [path, { mount, methods }] of paths) {
    const { cors, hosts } = mount.surface;
    if (cors) {
      app.options(path, (context, next) =>
        servesHost(hosts, context.req.raw) ? preflight(cors, context.req.raw) : notHere(next),
      );
    }
    app.all(path, (context, next) =>
      servesHost(hosts, context.req.raw) ? wrongMethod(mount, methods, context) : notHere(next),
    );
  }
  for (const mount of mounts) {
    const { unknown } = mount.surface;
    if (!unknown) continue;
    for (const prefix of unknown.under) {
      app.all(`${prefix}/*`, (context) => withCors(mount, context, unknown.answer(context)));
    }
  }
  app.notFound(() => new Response(null, { status: 404, headers: { [NOT_TAKEN]: "1" } }));
  return app;
}

/** The request is for another host: perhaps another protocol takes it. */
async function notHere(next: () => Promise<void>): Promise<undefined> {
  await next();
}

/** What a path gets that no protocol takes. Clients of several kinds come by: some read `error`, some `message`. */
export const notFound = () =>
  Response.json({ statusCode: 404, error: "Not found", message: "Not found" }, { status: 404 });

/** True for the answer of {@link restApp} to a path that no protocol takes. */
export function notTaken(response: Response): boolean {
  return response.headers.has(NOT_TAKEN);
}

async function answer(mount: RestMount, route: Route, context: RouteContext): Promise<Response> {
  let response: Response;
  try {
    response = await route.handler(context);
  } catch (error) {
    response = mount.surface.onError(error, context);
    // What a client did wrong, or that it hung up in the middle, is its own affair.
    if (response.status >= 500 && !context.req.raw.signal.aborted) {
      mount.log.error({ method: route.method, route: route.path, error }, "request failed");
    }
  }
  // Hono takes the body away, and then its length would be said to be none (RFC 9110, 8.6).
  if (context.req.method === "HEAD" && response.body !== null) {
    response.headers.set("content-length", String((await response.blob()).size));
  }
  return withCors(mount, context, response);
}

function wrongMethod(mount: RestMount, methods: ReadonlySet<Method | "HEAD">, context: RouteContext): Response {
  const response = mount.surface.onWrongMethod(context);
  response.headers.set("allow", [...methods, ...(mount.surface.cors ? ["OPTIONS"] : [])].join(", "));
  return withCors(mount, context, response);
}

function withCors(mount: RestMount, context: RouteContext, response: Response): Response {
  if (mount.surface.cors) {
    const headers = corsHeaders(mount.surface.cors, context.req.header("origin") ?? null);
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  }
  return response;
}
