import * as v from "valibot";
import { readBody } from "../../http/body.ts";
import type { RouteContext } from "../../http/routes.ts";
import type { Seat } from "./conversations.ts";
import { badRequest, errors } from "./errors.ts";
import type { Identity, User } from "./identity.ts";
import type { Limits } from "./limits.ts";
import { Id, isJsonObject, type JsonObject, Moment, Role } from "./messages.ts";
import { type RoomName, roomName, type Side, sideOf } from "./room-name.ts";

/** A parameter that may be absent; an empty one counts as absent. */
const optional = <const Schema extends v.GenericSchema<unknown, unknown>>(schema: Schema) =>
  v.optional(
    v.union([
      v.pipe(
        v.literal(""),
        v.transform(() => undefined),
      ),
      schema,
    ]),
  );

const Limit = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.minValue(1));
const MAX_PAGE = 200;

/** Rows asked for; more than a page are cut to one (V-3.35). */
export const PageLimit = optional(
  v.pipe(
    Limit,
    v.transform((limit) => Math.min(limit, MAX_PAGE)),
  ),
);
/** Rooms asked for (V-3.33). */
export const RoomLimit = optional(v.pipe(Limit, v.maxValue(MAX_PAGE)));
export const OptionalMoment = optional(Moment);
/** An opaque text such as a cursor or an id. */
export const Opaque = optional(
  v.pipe(
    v.string(),
    v.maxLength(512),
    v.check((text) => !text.includes("\0") && text.isWellFormed()),
  ),
);

/** Somebody's request: who he is and what he gave. */
export interface Visit {
  readonly user: User;
  readonly context: RouteContext;
  /** The query, the first of repeated parameters (V-8.18). */
  readonly query: Readonly<Record<string, string>>;
  /** The JSON body, `{}` when there is none (V-3.1). */
  readonly body: JsonObject;
}

/** Reads requests in the order of V-3.7: who, how often, what. */
export class Requests {
  readonly #identity: Identity;
  readonly #limits: Limits;
  readonly #maxBody: number;

  constructor(parts: { identity: Identity; limits: Limits }, options: { maxBody: number }) {
    this.#identity = parts.identity;
    this.#limits = parts.limits;
    this.#maxBody = options.maxBody;
  }

  /** The user of a request (V-2.11, V-2.12), counted (V-9.9). Throws `UNAUTHORIZED` or `RATE_LIMITED`. */
  async user(context: RouteContext): Promise<User> {
    const header = (name: string) => context.req.header(name);
    const bearer = /^Bearer\s+(.*)$/i.exec(header("authorization") ?? "")?.[1];
    const { address, proxy } = context.env;
    const user = await this.#identity.of({
      token: header("x-chozoi-token") ?? bearer?.trim(),
      header,
      peer: proxy ?? address,
    });
    await this.#limits.request(user.id);
    return user;
  }

  /** Everything of a request. Throws `BAD_REQUEST` for a body that is no JSON object. */
  async visit(context: RouteContext): Promise<Visit> {
    const user = await this.user(context);
    const query: Record<string, string> = {};
    for (const [name, value] of new URL(context.req.url).searchParams)
      if (!Object.hasOwn(query, name)) query[name] = value;
    const body = context.req.method === "GET" ? {} : await this.#body(context);
    return { user, context, query, body };
  }

  async #body(context: RouteContext): Promise<JsonObject> {
    const bytes = await readBody(context.req.raw, this.#maxBody);
    if (bytes.byteLength === 0) return {};
    const body = parsed(bytes);
    if (!isJsonObject(body)) throw badRequest("body");
    return body;
  }
}

/** The JSON in some UTF-8; undefined where there is none. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** Checks what was given. Throws `BAD_REQUEST` with the first field that does not fit. */
export function fields<const Schema extends v.GenericSchema>(schema: Schema, given: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, given, { abortEarly: true });
  if (result.success) return result.output;
  throw badRequest(String(result.issues[0].path?.[0]?.key ?? "body"));
}

const Claimed = v.object({
  user_id: v.optional(
    v.union([
      v.pipe(
        v.literal(""),
        v.transform(() => undefined),
      ),
      Id,
    ]),
  ),
  role: optional(Role),
});

/** What a request says of its sender, in its query and in its body. Throws `BAD_REQUEST`. */
function claimsOf({ user, query, body }: Visit): { roles: Side[]; forSomebodyElse: boolean } {
  const claims = [query, body].map((given) => fields(Claimed, given));
  return {
    roles: claims.flatMap(({ role }) => role ?? []),
    forSomebodyElse: claims.some(({ user_id }) => user_id !== undefined && user_id !== user.id),
  };
}

/** Throws `BAD_REQUEST` or `FORBIDDEN` for a request that names another user (V-3.2). */
export function checkUser(visit: Visit): void {
  if (claimsOf(visit).forSomebodyElse) throw errors.fault("FORBIDDEN");
}

/** The side in a list route (V-3.4). Throws `BAD_REQUEST` or `FORBIDDEN`. */
export function listSide(visit: Visit): Side {
  const { sides } = visit.user;
  const { roles, forSomebodyElse } = claimsOf(visit);
  const side = roles[0] ?? (sides.length === 1 ? sides[0]! : "SELLER");
  if (forSomebodyElse || !sides.includes(side)) throw errors.fault("FORBIDDEN");
  return side;
}

/**
 * The seat a request is about (V-3.2, V-3.3, V-3.5). Throws `BAD_REQUEST`, `ROLE_REQUIRED` where a role is needed,
 * `FORBIDDEN`, and `ROOM_NOT_FOUND` for a malformed id.
 */
export function seatOf(visit: Visit, id: string, options: { roleRequired?: boolean } = {}): Seat {
  const { roles, forSomebodyElse } = claimsOf(visit);
  if (options.roleRequired && roles.length === 0) throw errors.fault("ROLE_REQUIRED");
  if (forSomebodyElse) throw errors.fault("FORBIDDEN");
  const room = roomName(id);
  if (!room) throw errors.fault("ROOM_NOT_FOUND");
  return { room, side: ownSide(visit.user, room, roles) };
}

function ownSide(user: User, room: RoomName, roles: readonly Side[]): Side {
  const side = sideOf(room, user.id);
  if (side === null || !user.sides.includes(side)) throw errors.fault("FORBIDDEN");
  if (roles.some((role) => role !== side)) throw errors.fault("FORBIDDEN");
  return side;
}
