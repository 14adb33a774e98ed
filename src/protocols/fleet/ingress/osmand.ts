import { eq, sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Route, RouteContext } from "../../../http/routes.ts";
import type { FleetRecord, Loc } from "../record.ts";
import { matchesHash } from "../secrets.ts";
import { isSound } from "../sound.ts";
import { unitState } from "../tables.ts";
import type { Unit } from "../units/directory.ts";
import { bearer, empty, jsonOf, textOf } from "./http-door.ts";
import { type OsmAndReport, reportOfJson, reportOfParameters } from "./osmand-report.ts";
import { alarmEvents, KNOT, recordOf } from "./position.ts";
import type { DoorParts } from "./traccar.ts";

/** The door for the OsmAnd protocol (F-1.6): phones, and trackers that can no more than call a URL. */
export class OsmAndDoor {
  readonly #parts: DoorParts & { readonly database: Database };

  constructor(parts: DoorParts & { database: Database }) {
    this.#parts = parts;
  }

  get routes(): Route[] {
    const path = "/fleet/ingress/osmand";
    const handler = (context: RouteContext) => this.handle(context);
    return [
      { method: "GET", path, unsafe: true, handler },
      { method: "POST", path, handler },
    ];
  }

  async handle(context: RouteContext): Promise<Response> {
    const { settings, clock } = this.#parts;
    const type = context.req.header("content-type") ?? "";
    if (context.req.method === "POST" && /^application\/json\b/i.test(type)) {
      const body = await jsonOf(context, settings.maxBodyBytes);
      const report = body && reportOfJson(body);
      return report ? this.#take(context, report, { key: context.req.query("key"), unknown: 404 }) : this.#refuse();
    }
    const parameters = new URL(context.req.url).searchParams;
    if (context.req.method === "POST") {
      const text = await textOf(context, settings.maxBodyBytes);
      if (text === null) return this.#refuse();
      for (const [name, value] of new URLSearchParams(text)) parameters.append(name, value);
    }
    const given = Object.fromEntries(parameters);
    const report = isSound(given) ? reportOfParameters(given, clock.now()) : null;
    return report ? this.#take(context, report, { key: given.key, unknown: 400 }) : this.#refuse();
  }

  async #take(
    context: RouteContext,
    report: OsmAndReport,
    { key, unknown }: { key: string | undefined; unknown: 400 | 404 },
  ): Promise<Response> {
    const { settings, directory, ingest, parked, limits, clock } = this.#parts;
    const known = await directory.byUniqueId(report.uniqueId);
    const unit = known ?? (settings.autoRegister ? await directory.register(report.uniqueId, { open: true }) : null);
    if (!unit) return empty(unknown);
    const secret = key ?? bearer(context);
    if (unit.key !== null && !(secret !== null && matchesHash(secret, unit.key))) return empty(401);
    const now = clock.now();
    if (limits.timeFault(report.position.fixTime, now)) return this.#refuse();
    const loc = report.loc ?? (await this.#lastKnown(unit.uid));
    if (loc) {
      const { speed, speedUnit, ...position } = report.position;
      const factor = kmh[speedUnit ?? unit.osmandSpeed];
      const numbers = { ignition: settings.ioIgnition, outputBase: settings.ioOutputBase };
      const place = { latitude: loc.lat, longitude: loc.lon, address: null };
      const record = recordOf({ ...position, ...place, speed: speed * factor }, numbers, now);
      if (limits.fault(record, now)) return this.#refuse();
      const events = alarmEvents(position.attributes, record.tmx, settings.eventIds);
      const outcome = await ingest.submit({ ...idsOf(unit), rmx: now, http: true, records: [record], events });
      if (!outcome.known) return empty(unknown);
    }
    const isQuery = unknown === 400;
    await parked.reported(unit.uid, isQuery);
    const command = isQuery ? await parked.take(unit.uid) : null;
    return command === null ? empty(200) : new Response(command, { status: 200 });
  }

  /** F-12.26. */
  async #lastKnown(uid: number): Promise<Loc | null> {
    const [row] = await this.#parts.database.orm
      .select({ record: sql<string | null>`${unitState.record}::text` })
      .from(unitState)
      .where(eq(unitState.uid, uid));
    return row?.record ? (JSON.parse(row.record) as FleetRecord).loc : null;
  }

  #refuse(): Response {
    this.#parts.counters.refusedRecord("osmand");
    return empty(400);
  }
}

/** What a speed is multiplied with to be km/h. */
const kmh = { kn: KNOT, ms: 3.6, kmh: 1 } as const;

const idsOf = ({ uid, vid }: Unit) => ({ uid, vid });
