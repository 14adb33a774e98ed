import type { NewEvent, NewRecord } from "../ingest/report.ts";
import { degrees, delay, type Eco, type Exd } from "../record.ts";
import type { EventIds } from "../settings.ts";
import { partOf } from "./limits.ts";

/** A position as Traccar has it, checked; OsmAnd reports are brought into this form. Times are epoch milliseconds. */
export interface Position {
  readonly fixTime: number;
  readonly deviceTime?: number | undefined;
  readonly serverTime?: number | undefined;
  readonly latitude: number;
  readonly longitude: number;
  /** Metres. */
  readonly altitude?: number | undefined;
  /** km/h. */
  readonly speed: number;
  readonly course: number;
  readonly address: string | null;
  readonly valid: boolean;
  readonly attributes: Attributes;
}

/** Traccar's free attributes. */
export type Attributes = Readonly<Record<string, unknown>>;

export const KNOT = 1.852;

/** How I/O numbers are given out (F-9.11). */
export interface IoNumbers {
  readonly ignition: number;
  readonly outputBase: number;
}

/** A record of a position (F-12.8 to F-12.17). */
export function recordOf(position: Position, numbers: IoNumbers, rmx: number): NewRecord {
  const { fixTime, deviceTime, serverTime, latitude, longitude, speed, course, attributes } = position;
  const metres = numeric(attributes.odometer) ?? numeric(attributes.totalDistance);
  const index = numeric(attributes.index);
  return {
    tmx: fixTime,
    part: partOf(fixTime, { deviceTime, index }),
    dmx: delay(fixTime, serverTime ?? rmx),
    loc: { lon: longitude, lat: latitude },
    gsp: Math.max(0, Math.round(speed)),
    hdg: degrees(course),
    gkm: metres === undefined ? -1 : Math.floor(metres / 1000),
    cas: whole(attributes.cas) ?? null,
    exd: exdOf(position, numbers),
    place: position.address,
  };
}

function exdOf({ altitude, valid, attributes }: Position, numbers: IoNumbers): Exd {
  const [sat, bat] = [whole(attributes.sat), numeric(attributes.batteryLevel)];
  const [eco, io] = [ecoOf(attributes), ioOf(attributes, numbers)];
  const charge = attributes.charge;
  return {
    ...(sat === undefined ? {} : { sat }),
    ...(altitude === undefined ? {} : { alt: Math.round(altitude) }),
    ...(typeof charge === "boolean" ? { bpp: charge ? 0 : 1 } : {}),
    ...(bat === undefined ? {} : { bat }),
    ...(valid ? {} : { vld: 0 }),
    ...(eco ? { eco } : {}),
    ...(Object.keys(io).length > 0 ? { io } : {}),
  } satisfies Exd;
}

/** F-12.14, F-12.15. */
function ioOf(attributes: Attributes, { ignition, outputBase }: IoNumbers): Record<string, number> {
  const io: Record<string, number> = {};
  for (const [name, value] of Object.entries(attributes)) {
    const [, kind, number] = /^(in|out)(\d{1,4})$/.exec(name) ?? [];
    const level = levelOf(value);
    if (kind === undefined || level === undefined) continue;
    io[kind === "in" ? Number(number) : outputBase + Number(number)] = level;
  }
  const on = levelOf(attributes.ignition);
  if (on !== undefined && levelOf(attributes.in1) === undefined) io[ignition] = on;
  return io;
}

/** F-12.16. */
function ecoOf(attributes: Attributes): Eco | null {
  const eco: Record<string, number | string> = {};
  const set = (name: string, value: number | string | undefined) => {
    if (value !== undefined) eco[name] = value;
  };
  set("rpm", numeric(attributes.rpm));
  set("flv", numeric(attributes.fuelLevel));
  set("ehr", scaled(attributes.hours, 3_600_000));
  set("ckm", scaled(attributes.obdOdometer, 1000));
  set("dcl", cardOf(attributes.driverUniqueId));
  return Object.keys(eco).length > 0 ? { edt: 1, ...eco } : null;
}

/** A driver card as 16 digits (F-5.23); what is no number stays as it is. */
function cardOf(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const text = String(value);
  return text === "" ? undefined : /^\d+$/.test(text) ? text.padStart(16, "0") : text;
}

/** Events that attributes of a position name by themselves (F-12.19). */
export function alarmEvents(attributes: Attributes, tmx: number, ids: EventIds): NewEvent[] {
  const { alarm } = attributes;
  if (typeof alarm !== "string") return [];
  return alarm.split(",").flatMap((name) => alarmEvent(name.trim(), tmx, ids) ?? []);
}

const alarms: Readonly<Record<string, string>> = { powerCut: "battery", powerRestored: "power", movement: "motion" };

/** The event of an alarm; null for one that nobody has named (F-12.24). */
export function alarmEvent(name: string, tmx: number, ids: EventIds): NewEvent | null {
  const kind = Object.hasOwn(alarms, name) ? alarms[name] : undefined;
  if (kind !== undefined) return { kind, tmx, sts: 1, subtype: "event" };
  return Object.hasOwn(ids, `alarm:${name}`) ? { kind: `alarm:${name}`, tmx, sts: 1, subtype: null } : null;
}

const levelOf = (value: unknown): number | undefined => (typeof value === "boolean" ? Number(value) : numeric(value));
const numeric = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;
const whole = (value: unknown): number | undefined => (Number.isSafeInteger(value) ? (value as number) : undefined);

function scaled(value: unknown, divisor: number): number | undefined {
  const number = numeric(value);
  return number === undefined ? undefined : Math.floor(number / divisor);
}
