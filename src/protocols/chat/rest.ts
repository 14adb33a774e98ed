import type { Backplane } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { RestSurface, Route, RouteContext } from "../../http/routes.ts";
import { type Administration, administrationRoutes } from "./administration.ts";
import { envelope, failure, withRequestId } from "./answers.ts";
import type { Bans } from "./bans.ts";
import type { Counters } from "./counters.ts";
import { errors } from "./errors.ts";
import type { History, Page } from "./history.ts";
import type { Identity } from "./identity.ts";
import { jsonBody, NewRoom, RoomChange, roomId, wholeNumber } from "./requests.ts";
import type { Rooms } from "./rooms.ts";
import type { ChatSettings } from "./settings.ts";

/** Milliseconds until a call is answered, whatever happens; the contract allows eight seconds (C-3.11). */
const ANSWER_TIME = 7_500;

/** Messages of a page where the caller does not say, and at most. */
const PAGE = { usual: 50, max: 200 };

/** What the routes work with; without `administration` there are no administration routes. */
export interface RestParts {
  readonly settings: ChatSettings;
  readonly cors: CorsPolicy;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly backplane: Backplane;
  readonly bans: Bans;
  readonly rooms: Rooms;
  readonly history: History;
  readonly administration: Administration | null;
  readonly counters: Counters;
}

/** The REST surface (section 3). */
export function rest(parts: RestParts): RestSurface {
  const { cors, clock, administration } = parts;
  const bounded = (route: Route): Route => ({
    ...route,
    handler: async (context) => withRequestId(await inTime(clock, route, context), context),
  });
  return {
    routes: [...roomRoutes(parts, "/rooms", true), ...roomRoutes(parts, "/chat/rooms", false)].map(bounded),
    internal: administration ? administrationRoutes(administration).map(bounded) : [],
    cors,
    onError: failure,
    onWrongMethod: (context) => failure(errors.fault("wrong_method"), context),
    unknown: {
      under: ["/rooms", "/chat", ...(administration ? ["/admin/chat"] : [])],
      answer: (context) => failure(errors.fault("not_found"), context),
    },
  };
}

/** The room routes under one path, whose list has the envelope or not (C-1.2). */
function roomRoutes(
  { settings, identity, backplane, bans, rooms, history, counters }: RestParts,
  path: string,
  enveloped: boolean,
): Route[] {
  const { listShape, restRate: rate, restBurst: burst } = settings;
  const inEnvelope = listShape === "path" ? enveloped : listShape === "envelope";

  async function caller(context: RouteContext): Promise<string> {
    const { user } = await identity.ofRequest(context.req.raw.headers);
    const { allowed, wait } = await backplane.tallies.take(`chat:rest:${user}`, { rate, burst });
    if (allowed) return user;
    counters.throttled("rest");
    throw errors.fault("rate_limited", { retryAfter: Math.max(1, Math.ceil(wait / 1_000)) });
  }

  /** The caller of a route that changes something: no banned user (C-2.9). */
  async function actor(context: RouteContext): Promise<string> {
    const user = await caller(context);
    if (await bans.find(user)) throw errors.fault("user_banned");
    return user;
  }

  return [
    {
      method: "POST",
      path,
      async handler(context) {
        const user = await actor(context);
        const { users, apartment_id } = await jsonBody(context, NewRoom);
        return envelope(await rooms.open(user, users, apartment_id));
      },
    },
    {
      method: "GET",
      path,
      async handler(context) {
        const list = await history.list(await caller(context));
        return inEnvelope ? envelope(list) : Response.json(list);
      },
    },
    {
      method: "PUT",
      path,
      async handler(context) {
        const user = await actor(context);
        const { room_id, users_to_add: add, users_to_remove: remove } = await jsonBody(context, RoomChange);
        if (remove.some((one) => add.includes(one))) throw errors.fault("invalid_users_to_remove");
        await rooms.change(user, room_id, { add, remove });
        return envelope(null);
      },
    },
    {
      method: "DELETE",
      path: `${path}/:id`,
      async handler(context) {
        const user = await actor(context);
        await rooms.remove(user, roomId(context));
        return envelope(null);
      },
    },
    {
      method: "GET",
      path: `${path}/:id`,
      async handler(context) {
        const user = await caller(context);
        return Response.json(await history.read(user, roomId(context), pageOf(context)));
      },
    },
  ];
}

/** The page a caller asks for; null without any of its parameters (C-3.22). */
function pageOf({ req }: RouteContext): Page | null {
  const [limit, before, after] = [req.query("limit"), req.query("before"), req.query("after")];
  if (limit === undefined && before === undefined && after === undefined) return null;
  return {
    limit: limit === undefined ? PAGE.usual : wholeNumber(limit, "limit", { min: 1, max: PAGE.max }),
    before: before === undefined ? undefined : wholeNumber(before, "before"),
    after: after === undefined ? undefined : wholeNumber(after, "after"),
  };
}

/** The answer of a route. Throws `unavailable` when it takes too long. */
async function inTime(clock: Clock, { handler }: Route, context: RouteContext): Promise<Response> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const stop = clock.after(ANSWER_TIME, () => reject(errors.fault("unavailable")));
  try {
    return await Promise.race([handler(context), late]);
  } finally {
    stop();
  }
}
