import type { Accounts } from "../../accounts/accounts.ts";
import type { Backplane } from "../../backplane/backplane.ts";
import { BodyTooLarge } from "../../http/body.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { RestSurface, Route, RouteContext } from "../../http/routes.ts";
import { formBody, InvalidBody, jsonBody } from "./bodies.ts";
import { details, errors, publicFault } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { type Limits, quotas } from "./limits.ts";
import { type Logins, utc } from "./logins.ts";
import { Credentials, RefreshRequest } from "./messages.ts";
import { suggestName } from "./names.ts";
import type { Rooms } from "./rooms.ts";

/** What the routes work with; without `logins` there are no accounts routes. */
export interface RestParts {
  readonly identity: Identity;
  readonly rooms: Rooms;
  readonly limits: Limits;
  readonly backplane: Backplane;
  readonly accounts: Accounts;
  readonly logins: Logins | null;
  readonly cors: CorsPolicy;
  /** PINs a user may ask for in a second. */
  readonly pinRate: number;
}

/** The REST surface (section 3). */
export function rest(parts: RestParts): RestSurface {
  const { logins } = parts;
  return {
    routes: [pinRoute(parts), ...(logins ? accountRoutes(parts, logins) : [])],
    cors: parts.cors,
    onError,
    onWrongMethod: () => answer({ detail: "Method Not Allowed" }, 405),
  };
}

/** T-3.1. The token comes first, so that a stranger cannot use up somebody's rate (T-3.27). */
function pinRoute({ identity, rooms, limits, backplane, pinRate }: RestParts): Route {
  return {
    method: "GET",
    path: "/track/generate-pin",
    unsafe: true,
    async handler(context) {
      const user = await identity.ofRequest(context);
      // Limits count on while the store is away; a PIN cannot be had, which is the better answer then (T-6.10).
      if (!backplane.up) throw errors.fault("service_unavailable");
      await limits.spend("pin", user.account, { max: pinRate, window: 1000 });
      const room = await rooms.open(user.account);
      return answer({ room_id: room.pin });
    },
  };
}

function accountRoutes({ accounts, limits }: RestParts, logins: Logins): Route[] {
  /** T-3.4's order: 429, 400, 404, 401. */
  const signIn = async (context: RouteContext, read: typeof jsonBody) => {
    const { address } = context.env;
    await limits.spend("login", address, quotas.login);
    const { username, password } = await read(context, Credentials);
    const pair = `${address}:${username}`;
    await limits.check("failed-login", pair, quotas.failedLogins);
    try {
      return await logins.check(username, password);
    } catch (error) {
      if (errors.owns(error)) await limits.note("failed-login", pair, quotas.failedLogins);
      throw error;
    }
  };
  /** T-3.6: an access token alone, without a refresh chain. */
  const plainLogin = (path: string, read: typeof jsonBody): Route => ({
    method: "POST",
    path,
    async handler(context) {
      const { token } = await logins.accessToken(await signIn(context, read));
      return answer({ access_token: token, token_type: "bearer" });
    },
  });
  return [
    {
      method: "POST",
      path: "/user",
      async handler(context) {
        await limits.spend("register", context.env.address, quotas.register);
        const { username, password } = await jsonBody(context, Credentials);
        const account = await logins.register(username, password);
        const created_at = utc(account.createdAt.getTime());
        return answer({ user_id: account.number, username, password: "********", created_at }, 201);
      },
    },
    {
      method: "GET",
      path: "/user/generate",
      async handler(context) {
        await limits.spend("suggestion", context.env.address, quotas.suggestion);
        return answer({ username: await suggestName(accounts) });
      },
    },
    plainLogin("/login", jsonBody),
    plainLogin("/login/form", formBody),
    {
      method: "POST",
      path: "/login/v2",
      handler: async (context) => answer(await logins.open(await signIn(context, jsonBody))),
    },
    {
      method: "POST",
      path: "/login/v2/refresh",
      async handler(context) {
        await limits.spend("refresh", context.env.address, quotas.refresh);
        const { refresh_token } = await jsonBody(context, RefreshRequest);
        return answer(await logins.refresh(refresh_token));
      },
    },
  ];
}

/** PINs and tokens do not belong into a cache, nor do errors: a 404 or 405 may be kept unless it says so. */
function answer(body: object, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
}

/** Any error as an answer: the application's under `details`, limits, bodies and faults under `detail` (section 3). */
function onError(error: unknown): Response {
  if (error instanceof InvalidBody) {
    const [only, ...more] = error.faults;
    return answer({ detail: more.length === 0 ? only : error.faults }, 400);
  }
  if (error instanceof BodyTooLarge) return answer({ detail: "Request Entity Too Large" }, 413);
  const fault = publicFault(error);
  if (!fault) return answer({ detail: "Internal Server Error" }, 500);
  if (fault.code !== "rate_limit_exceeded") return answer({ details: details(fault) }, fault.row.status);
  return answer({ detail: details(fault) }, fault.row.status, { "retry-after": String(fault.retryAfter ?? 1) });
}
