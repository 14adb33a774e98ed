import type { GenericSchema, InferOutput } from "valibot";
import type { Tallies } from "../../../backplane/backplane.ts";
import type { Method, Route, RouteContext } from "../../../http/routes.ts";
import { demand } from "../access.ts";
import type { Counters } from "../counters.ts";
import { errors } from "../errors.ts";
import type { Refusals } from "../refusals.ts";
import type { Bearer, Sessions } from "../sessions.ts";
import { bodyOf, codeOf, flagOf, idOf, queryIdOf, queryOf, socketIdOf } from "./input.ts";

/** Who may call: everybody, whoever is logged in, or of those all but guests (column "Who" of section 4). */
export type Who = "none" | "any" | "account";

/** One call of a route. */
export class Call<Body> {
  readonly context: RouteContext;
  readonly body: Body;
  readonly #bearer: Bearer | null;

  constructor(context: RouteContext, body: Body, bearer: Bearer | null) {
    this.context = context;
    this.body = body;
    this.#bearer = bearer;
  }

  /** Who is logged in; there is somebody on every route but those for everybody. */
  get bearer(): Bearer {
    if (!this.#bearer) throw errors.fault("missing_authentication");
    return this.#bearer;
  }

  get userId(): string {
    return this.bearer.userId;
  }

  /** A uuid of the path. */
  id(name = "id"): string {
    return idOf(this.context, name);
  }

  /** A code of the path. */
  code(name = "code"): string {
    return codeOf(this.context, name);
  }

  query(name: string): string | undefined {
    return queryOf(this.context, name);
  }

  /** A uuid of the query. */
  queryId(name: string): string | undefined {
    return queryIdOf(this.context, name);
  }

  flag(name: string): boolean {
    return flagOf(this.context, name);
  }

  get socketId(): string {
    return socketIdOf(this.context);
  }
}

/** What a route gives: text as it is, anything else as JSON (W-4.4). */
type Answer = string | object;

/** Parts and limits of the gate. */
export interface GateParts {
  readonly sessions: Sessions;
  readonly tallies: Tallies;
  readonly counters: Counters;
  readonly refusals: Refusals;
}

const BEARER = /^bearer +(\S+) *$/i;
const MINUTE = 60_000;
/** Statuses of failed logins and missing rights, which the log is told of (W-13.19). */
const REFUSALS: ReadonlySet<number> = new Set([401, 403]);

/** Lets calls in: login, rates, then the input (W-2.4, W-4.1, W-4.2, W-13.18). */
export class Gate {
  readonly #parts: GateParts;
  readonly #rates: { readonly perUser: number; readonly perAddress: number };

  constructor(parts: GateParts, rates: { perUser: number; perAddress: number }) {
    this.#parts = parts;
    this.#rates = rates;
  }

  /** A route without a body. */
  get(path: string, who: Who, handler: (call: Call<undefined>) => Promise<Answer>): Route {
    return this.#route("GET", path, who, async () => undefined, handler);
  }

  /** A route with a JSON body. */
  post<Schema extends GenericSchema>(
    path: string,
    who: Who,
    schema: Schema,
    handler: (call: Call<InferOutput<Schema>>) => Promise<Answer>,
    method: Method = "POST",
  ): Route {
    return this.#route(method, path, who, (context) => bodyOf(context, schema), handler);
  }

  /** A route that reads its body itself. */
  upload(path: string, who: Who, handler: (call: Call<undefined>) => Promise<Answer>): Route {
    return this.#route("POST", path, who, async () => undefined, handler);
  }

  #route<Body>(
    method: Method,
    path: string,
    who: Who,
    read: (context: RouteContext) => Promise<Body>,
    handler: (call: Call<Body>) => Promise<Answer>,
  ): Route {
    return {
      method,
      path,
      handler: async (context) => {
        let bearer: Bearer | null = null;
        try {
          if (who !== "none") bearer = await this.#bearer(context);
          await this.#limit(bearer, context.env.address);
          if (who === "account") demand(bearer?.isGuest === false);
          for (const name of idsIn(path)) idOf(context, name);
          const answer = await handler(new Call(context, await read(context), bearer));
          const headers = { "cache-control": "no-store" };
          return typeof answer === "string" ? new Response(answer, { headers }) : Response.json(answer, { headers });
        } catch (error) {
          if (errors.owns(error) && REFUSALS.has(error.row.status)) {
            this.#parts.refusals.tell(bearer?.userId ?? context.env.address, { code: error.code, route: path });
          }
          throw error;
        }
      },
    };
  }

  async #bearer(context: RouteContext): Promise<Bearer> {
    const header = context.req.header("authorization");
    if (header === undefined || header === "") throw errors.fault("missing_authentication");
    const token = BEARER.exec(header)?.[1];
    if (token === undefined) throw errors.fault("bad_token");
    return this.#parts.sessions.bearer(token);
  }

  async #limit(bearer: Bearer | null, address: string): Promise<void> {
    const { tallies, counters } = this.#parts;
    const { perUser, perAddress } = this.#rates;
    let wait: number;
    if (bearer) {
      const bucket = { rate: perUser, burst: 5 * perUser };
      wait = (await tallies.take(`workspaces:rest:${bearer.userId}`, bucket)).wait;
    } else {
      const { count, left } = await tallies.count(`workspaces:public:${address}`, MINUTE);
      wait = count > perAddress ? left : 0;
    }
    if (wait <= 0) return;
    counters.throttled("rest");
    throw errors.fault("too_many_requests", { retryAfter: Math.max(1, Math.ceil(wait / 1000)) });
  }
}

/** The parameters of a path that are ids: every one but codes and tokens. */
function idsIn(path: string): string[] {
  return [...path.matchAll(/:(\w+)/g)].flatMap(([, name]) => (name?.toLowerCase().endsWith("id") ? [name] : []));
}
