import type { Account } from "../../../accounts/accounts.ts";
import type { Tallies } from "../../../backplane/backplane.ts";
import type { Database } from "../../../database/database.ts";
import { BodyTooLarge } from "../../../http/body.ts";
import type { Route, RouteContext } from "../../../http/routes.ts";
import { isOutage, Refusal, unknownVehicle } from "../errors.ts";
import type { Failures } from "../identity/failures.ts";
import type { Identity } from "../identity/identity.ts";
import type { Sessids } from "../identity/sessids.ts";
import { iso } from "../record.ts";
import type { FleetSettings } from "../settings.ts";
import { rightsOf, type UnitRights } from "../units/access.ts";
import { parametersOf } from "./bodies.ts";
import { eventPages, historyAnswer, recordPages } from "./history.ts";
import { EventsRequest, fit, HistoryRequest, SessionRequest, spanOf } from "./requests.ts";
import { vehiclesOf } from "./vehicles.ts";

/** What the user's routes work with. */
export interface RestParts {
  readonly settings: FleetSettings;
  readonly database: Database;
  readonly tallies: Tallies;
  readonly identity: Identity;
  readonly failures: Failures;
  readonly sessids: Sessids;
}

/** A success (F-3.1). */
export const envelope = (data: unknown): object => ({ error: false, code: 0, message: "", data });

/** The user's REST (F-3.13 to F-3.16), under every prefix. */
export function userRoutes(parts: RestParts): Route[] {
  const rest = new UserRest(parts);
  return prefixesOf(parts.settings).flatMap((prefix): Route[] => {
    return [
      { method: "POST", path: `${prefix}/websocketAuth`, handler: (context) => rest.openSession(context) },
      { method: "POST", path: `${prefix}/vehicleHistoric`, handler: (context) => rest.historic(context) },
      { method: "POST", path: `${prefix}/events`, handler: (context) => rest.events(context) },
      { method: "GET", path: `${prefix}/vehiclesForUser`, handler: (context) => rest.vehicles(context) },
      { method: "POST", path: `${prefix}/vehiclesForUser`, handler: (context) => rest.vehicles(context) },
    ];
  });
}

/** What stands in front of the user's routes, without a last slash (F-1.3). */
export function prefixesOf({ restPrefixes }: FleetSettings): string[] {
  return [...new Set(["/ws", ...restPrefixes].map((given) => given.replace(/\/+$/, "")))];
}

class UserRest {
  readonly #parts: RestParts;

  constructor(parts: RestParts) {
    this.#parts = parts;
  }

  async openSession(context: RouteContext): Promise<Response> {
    const { number } = await this.#user(context);
    const { SESSID } = fit(SessionRequest, await this.#parameters(context));
    const granted = await this.#parts.sessids.grant(number, SESSID);
    if (!granted) throw new Refusal("forbidden");
    const data = { user_id: number, SESSID: granted.sessid, expires_at: iso(granted.expiresAt) };
    return Response.json(envelope(data), { headers: { "cache-control": "no-store" } });
  }

  async historic(context: RouteContext): Promise<Response> {
    const { settings, database } = this.#parts;
    const { number } = await this.#user(context);
    const asked = fit(HistoryRequest, await this.#parameters(context));
    const span = spanOf(asked, settings.maxRangeDays);
    const uid = uidOf(asked.vehicleId, await this.#rights(number));
    return historyAnswer(recordPages(database, uid, span), settings.maxRows);
  }

  async events(context: RouteContext): Promise<Response> {
    const { settings, database } = this.#parts;
    const { number } = await this.#user(context);
    const asked = fit(EventsRequest, await this.#parameters(context));
    const span = spanOf(asked, settings.maxRangeDays);
    const rights = await this.#rights(number);
    const uids = [...new Set(asked.vehicles.map((id) => uidOf(id, rights)))];
    return historyAnswer(eventPages(database, uids, asked.events, span), settings.maxRows);
  }

  async vehicles(context: RouteContext): Promise<Response> {
    const { number } = await this.#user(context);
    return Response.json(envelope(await vehiclesOf(this.#parts.database, number)));
  }

  /** Who calls, within his pace. Throws `unauthorized` and `limited` (F-2.12, F-3.8). */
  async #user(context: RouteContext): Promise<Account> {
    const { identity, failures, tallies, settings } = this.#parts;
    const { address } = context.env;
    const rate = settings.restPerSecond;
    if (await failures.exhausted(address)) throw tooFast(rate);
    const account = await identity.of(context.req.header("authorization") ?? "");
    if (!account) {
      await failures.note(address);
      throw new Refusal("unauthorized");
    }
    const { allowed } = await tallies.take(`fleet:rest:${account.number}`, { rate, burst: rate });
    if (!allowed) throw tooFast(rate);
    return account;
  }

  #parameters(context: RouteContext): Promise<Record<string, unknown>> {
    return parametersOf(context, this.#parts.settings.maxBodyBytes);
  }

  async #rights(user: number): Promise<UnitRights> {
    return (await rightsOf(this.#parts.database, [user])).get(user) ?? new Map();
  }
}

/** The unit an id means: a uid of a unit that may be viewed, else the vid of one (F-3.18). */
function uidOf(id: number, rights: UnitRights): number {
  if (rights.get(id)?.view) return id;
  for (const [uid, { vid, view }] of rights) if (view && vid === id) return uid;
  throw unknownVehicle(id);
}

const tooFast = (rate: number) => new Refusal("limited", `wait ${Math.ceil(1000 / rate)}ms between requests`);

/** Codes that travel with HTTP 200 on the user's routes, because clients read the envelope and not the status (F-3.5). */
const business = new Set(["invalid", "invalid_body", "forbidden", "unknown_vehicle", "limited"]);

/** Any error as an answer (F-3.5 to F-3.11); administration always gets the real status. */
export function onError(error: unknown, context: RouteContext): Response {
  const path = new URL(context.req.url).pathname;
  // Devices are told by the status alone.
  if (path.startsWith("/fleet/ingress/")) return new Response(null, { status: doorStatus(error) });
  if (error instanceof Refusal) {
    const isBusiness = business.has(error.code) && !path.startsWith("/admin/");
    const headers = error.code === "unauthorized" ? { "www-authenticate": 'Basic realm="fleet"' } : undefined;
    return failure(error.status, error.message, isBusiness ? 200 : error.status, headers);
  }
  if (error instanceof BodyTooLarge) return failure(413, "Body too large");
  return isOutage(error) ? failure(503, "Try again later") : failure(500, "Internal error");
}

const doorStatus = (error: unknown) => (error instanceof BodyTooLarge ? 413 : isOutage(error) ? 503 : 500);

/** An error envelope. */
export function failure(code: number, message: string, status = code, headers?: Record<string, string>): Response {
  return Response.json({ error: true, code, message, data: [] }, { status, ...(headers ? { headers } : {}) });
}
