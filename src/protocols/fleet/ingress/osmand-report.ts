import * as v from "valibot";
import type { Loc } from "../record.ts";
import { isoTime, plainTime } from "../times.ts";
import type { Position } from "./position.ts";

/** A report of the OsmAnd protocol. `loc` is null where it names no position. */
export interface OsmAndReport {
  readonly uniqueId: string;
  readonly loc: Loc | null;
  readonly position: Omit<Position, "latitude" | "longitude" | "address"> & {
    /** Unit of `speed`; null leaves it to the unit's own setting. */
    readonly speedUnit: "ms" | null;
  };
}

/** Numbers below this are seconds, others milliseconds (F-12.25). */
const MAX_SECONDS = 2 ** 31;

/** Parameters that have a place of their own; every other one is an attribute. */
const named = new Set(
  "id deviceid key lat lon location timestamp speed bearing heading altitude batt charge valid accuracy hdop driverUniqueId".split(
    " ",
  ),
);

/** A query or form report (F-12.25); null when it is none. */
export function reportOfParameters(given: Readonly<Record<string, string>>, now: number): OsmAndReport | null {
  const uniqueId = given.id ?? given.deviceid ?? "";
  const loc = placeOf(given);
  const fixTime = given.timestamp === undefined ? now : timeOf(given.timestamp);
  const [speed, course] = [known(numberOf(given.speed)), known(numberOf(given.bearing ?? given.heading))];
  const altitude = numberOf(given.altitude);
  const batteryLevel = numberOf(given.batt);
  const numbers = [fixTime, speed, course, altitude ?? 0, batteryLevel ?? 0];
  if (uniqueId === "" || uniqueId.length > 128 || loc === undefined || numbers.some(Number.isNaN)) return null;
  const attributes: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) if (!named.has(name)) attributes[name] = attributeOf(value);
  if (batteryLevel !== undefined) attributes.batteryLevel = batteryLevel;
  if (given.driverUniqueId !== undefined) attributes.driverUniqueId = given.driverUniqueId;
  if (given.charge !== undefined) attributes.charge = given.charge === "true" || given.charge === "1";
  const valid = given.valid === undefined || given.valid === "true" || given.valid === "1";
  return { uniqueId, loc, position: { fixTime, altitude, speed, speedUnit: null, course, valid, attributes } };
}

const finite = v.pipe(v.number(), v.finite());
const maybe = v.nullish(finite);
const Json = v.object({
  device_id: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  location: v.looseObject({
    timestamp: v.union([v.string(), finite]),
    coords: v.nullish(
      v.object({ latitude: finite, longitude: finite, speed: maybe, heading: maybe, altitude: maybe, accuracy: maybe }),
    ),
    odometer: maybe,
    battery: v.nullish(
      v.object({ level: v.nullish(v.pipe(v.number(), v.maxValue(1))), is_charging: v.nullish(v.boolean()) }),
    ),
    alarm: v.nullish(v.string()),
    // Where the Traccar Client's SOS button puts it.
    extras: v.fallback(v.nullish(v.object({ alarm: v.nullish(v.string()) })), null),
  }),
});

/** A JSON report (F-12.27); null when it is none. */
export function reportOfJson(body: unknown): OsmAndReport | null {
  const parsed = v.safeParse(Json, body);
  if (!parsed.success) return null;
  const { device_id: uniqueId, location } = parsed.output;
  const { coords, odometer, battery, extras } = location;
  const alarm = location.alarm ?? extras?.alarm;
  const fixTime = timeOf(String(location.timestamp));
  if (Number.isNaN(fixTime)) return null;
  const { level, is_charging } = battery ?? {};
  const attributes: Record<string, unknown> = {
    ...(typeof odometer === "number" ? { odometer } : {}),
    // Below 0 means that the phone does not know.
    ...(typeof level === "number" && level >= 0 ? { batteryLevel: Math.round(level * 100) } : {}),
    ...(typeof is_charging === "boolean" ? { charge: is_charging } : {}),
    ...(typeof alarm === "string" ? { alarm } : {}),
  };
  const position = {
    ...{ fixTime, altitude: coords?.altitude ?? undefined, valid: true, attributes },
    ...{ speed: known(coords?.speed), speedUnit: "ms" as const, course: known(coords?.heading) },
  };
  return { uniqueId, loc: coords ? { lon: coords.longitude, lat: coords.latitude } : null, position };
}

/** A speed or a course; phones say a value below 0 for one they do not know (F-5.19). */
const known = (value: number | null | undefined): number => (value == null ? 0 : Math.max(0, value));

/** Undefined for a position that is none, null where there is no mention of one. */
function placeOf({ lat, lon, location }: Readonly<Record<string, string>>): Loc | null | undefined {
  const [first, second, ...more] = location === undefined ? [lat, lon] : location.split(",");
  if (first === undefined && second === undefined) return null;
  const place = { lon: numberOf(second) ?? Number.NaN, lat: numberOf(first) ?? Number.NaN };
  return more.length > 0 || Number.isNaN(place.lat) || Number.isNaN(place.lon) ? undefined : place;
}

function timeOf(text: string): number {
  const number = numberOf(text);
  if (number === undefined) return Number.NaN;
  if (!Number.isNaN(number)) return number < MAX_SECONDS ? Math.round(number * 1000) : Math.round(number);
  const plain = plainTime(text);
  return Number.isNaN(plain) ? isoTime(text) : plain;
}

/** Undefined without text; NaN for text that is no finite number. */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?\s*$/i.test(text) && Number.isFinite(Number(text))
    ? Number(text)
    : Number.NaN;
}

/** Numbers and truth values as what they are, all else as text. */
function attributeOf(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  const number = numberOf(text);
  return number === undefined || Number.isNaN(number) ? text : number;
}
