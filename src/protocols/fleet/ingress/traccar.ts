import * as v from "valibot";
import type { Clock } from "../../../clock.ts";
import type { Route, RouteContext } from "../../../http/routes.ts";
import type { Commander } from "../commands/commander.ts";
import type { Parked } from "../commands/parked.ts";
import type { Counters } from "../counters.ts";
import type { Connections } from "../device/connections.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { NewEvent, NewRecord } from "../ingest/report.ts";
import { sameSecret } from "../secrets.ts";
import type { FleetSettings } from "../settings.ts";
import type { Directory, Unit } from "../units/directory.ts";
import { bearer, empty, jsonOf } from "./http-door.ts";
import type { RecordLimits } from "./limits.ts";
import { alarmEvent, alarmEvents, KNOT, type Position, recordOf } from "./position.ts";
import { EventBody, PositionBody, type TraccarDevice, type TraccarPosition } from "./traccar-messages.ts";

/** What the doors of HTTP work with. */
export interface DoorParts {
  readonly settings: FleetSettings;
  readonly directory: Directory;
  readonly ingest: Ingest;
  readonly connections: Connections;
  readonly commander: Commander;
  readonly parked: Parked;
  readonly limits: RecordLimits;
  readonly counters: Counters;
  readonly clock: Clock;
}

/** The doors for Traccar's forwarding (F-1.5). */
export function traccarRoutes(parts: DoorParts): Route[] {
  const door = new TraccarDoor(parts);
  return [
    { method: "POST", path: "/fleet/ingress/traccar/positions", handler: (context) => door.position(context) },
    { method: "POST", path: "/fleet/ingress/traccar/events", handler: (context) => door.event(context) },
  ];
}

/** Event types of Traccar that say something of the connection (F-12.21). */
const connectionTypes: Readonly<Record<string, boolean>> = {
  deviceOnline: true,
  deviceOffline: false,
  deviceUnknown: false,
};

class TraccarDoor {
  readonly #parts: DoorParts;

  constructor(parts: DoorParts) {
    this.#parts = parts;
  }

  async position(context: RouteContext): Promise<Response> {
    if (!this.#mayEnter(context)) return empty(401);
    const body = v.safeParse(PositionBody, await jsonOf(context, this.#parts.settings.maxBodyBytes));
    if (!body.success) return this.#refuse();
    const { position, device } = body.output;
    const record = this.#record(position);
    if (!record) return this.#refuse();
    const unit = await this.#unit(device);
    if (!unit) return empty(404);
    const { eventIds } = this.#parts.settings;
    return this.#submit(unit, [record], alarmEvents(position.attributes, record.tmx, eventIds));
  }

  async event(context: RouteContext): Promise<Response> {
    if (!this.#mayEnter(context)) return empty(401);
    const body = v.safeParse(EventBody, await jsonOf(context, this.#parts.settings.maxBodyBytes));
    if (!body.success) return this.#refuse();
    const { event, device, position } = body.output;
    const record = position ? this.#record(position) : null;
    const tmx = event.eventTime ?? record?.tmx;
    const { limits, clock, connections, commander } = this.#parts;
    const isLate = tmx === undefined || limits.timeFault(tmx, clock.now()) !== null;
    if ((position && !record) || isLate) return this.#refuse();
    const unit = await this.#unit(device);
    if (!unit) return empty(404);
    const answer = await this.#submit(unit, record ? [record] : [], this.#events(body.output, record, tmx));
    const online = Object.hasOwn(connectionTypes, event.type) ? connectionTypes[event.type] : undefined;
    if (online !== undefined) await connections.traccarSays(unit.uid, online);
    const { result } = event.attributes;
    if (event.type === "commandResult" && typeof result === "string") {
      await commander.answered(unit.uid, { ok: true, text: result });
    }
    return answer;
  }

  /** What an event body says beside its position (F-12.18 to F-12.24). */
  #events({ event, position }: EventBody, record: NewRecord | null, eventTime: number): NewEvent[] {
    const { eventIds, ioIgnition } = this.#parts.settings;
    const tmx = record?.tmx ?? eventTime;
    const own = ((): NewEvent | null => {
      switch (event.type) {
        case "ignitionOn":
        case "ignitionOff": {
          // The input itself is there and tells more exactly.
          if (position && "in1" in position.attributes && position.attributes.in1 !== null) return null;
          const io = { tio: ioIgnition, tlv: event.type === "ignitionOn" ? 1 : 0 };
          return { kind: "io", tmx, sts: 1, io, subtype: "io" };
        }
        case "alarm":
          return alarmEvent(String(event.attributes.alarm ?? ""), tmx, eventIds);
        case "deviceMoving":
          return { kind: "motion", tmx, sts: 1, subtype: "event" };
        case "unaccompaniedMotion":
          return { kind: "motion-no-driver", tmx, sts: 1, subtype: "event" };
        case "driverChanged":
          return { kind: event.attributes.driverUniqueId ? "card-in" : "card-out", tmx, sts: 1, subtype: null };
        default:
          return null;
      }
    })();
    const alarms = position ? alarmEvents(position.attributes, tmx, eventIds) : [];
    const others = alarms.filter(({ kind }) => kind !== own?.kind);
    return own ? [own, ...others] : others;
  }

  #record(position: TraccarPosition): NewRecord | null {
    const { settings, limits, clock } = this.#parts;
    const numbers = { ignition: settings.ioIgnition, outputBase: settings.ioOutputBase };
    const record = recordOf(fromTraccar(position), numbers, clock.now());
    return limits.fault(record, clock.now()) ? null : record;
  }

  async #submit({ uid, vid }: Unit, records: readonly NewRecord[], events: readonly NewEvent[]): Promise<Response> {
    const { ingest, parked, clock } = this.#parts;
    if (records.length === 0 && events.length === 0) return empty(200);
    const outcome = await ingest.submit({ uid, vid, rmx: clock.now(), http: true, records, events });
    await parked.reported(uid, false);
    return empty(outcome.known ? 200 : 404);
  }

  /** The unit of a device: by its id, by the uid it carries, or newly made. */
  async #unit({ uniqueId, id, attributes }: TraccarDevice): Promise<Unit | null> {
    const { directory, settings } = this.#parts;
    const unit = (await directory.byUniqueId(uniqueId)) ?? (await this.#carried(uniqueId, attributes.uid));
    if (!unit) {
      if (!settings.autoRegister) return null;
      const { vid } = attributes;
      const made = await directory.register(uniqueId, {
        vid: Number.isSafeInteger(vid) ? Number(vid) : undefined,
        open: false,
      });
      if (made && id !== undefined) await directory.noteTraccarId(made.uid, id);
      return made;
    }
    if (id !== undefined && unit.traccarId !== id) await directory.noteTraccarId(unit.uid, id);
    return unit;
  }

  async #carried(uniqueId: string, value: unknown): Promise<Unit | null> {
    const uid = Number(value ?? Number.NaN);
    if (!Number.isSafeInteger(uid) || uid < 1) return null;
    const unit = await this.#parts.directory.byUid(uid);
    return unit && unit.uniqueId === null ? this.#parts.directory.bind(uid, uniqueId) : null;
  }

  /** F-2.14. */
  #mayEnter(context: RouteContext): boolean {
    const { traccarSecret } = this.#parts.settings;
    const given = bearer(context);
    return traccarSecret !== undefined && given !== null && sameSecret(given, traccarSecret);
  }

  #refuse(): Response {
    this.#parts.counters.refusedRecord("traccar");
    return empty(400);
  }
}

function fromTraccar(position: TraccarPosition): Position {
  const { speed = 0, course = 0, address = null, valid = true } = position;
  return { ...position, speed: speed * KNOT, course, address, valid };
}
