import * as v from "valibot";
import { isSoundText } from "../sound.ts";
import { isoTime } from "../times.ts";

/** Traccar writes null where it has nothing (F-12.4). */
const maybe = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  );

const finite = v.pipe(v.number(), v.finite());
const text = v.pipe(v.string(), v.maxLength(512), v.check(isSoundText));
/** Cut where Traccar's own store cuts it: a long name of a place is no reason to lose where a vehicle was. */
const Address = v.pipe(
  v.string(),
  v.transform((address) => address.slice(0, 512).toWellFormed()),
);
const Time = v.pipe(v.string(), v.transform(isoTime), v.number());
const Attributes = v.nullish(v.record(v.string(), v.unknown()), () => ({}));

/** Ranges are checked with those of the other doors (F-8.8). */
export const TraccarPosition = v.object({
  fixTime: Time,
  deviceTime: maybe(Time),
  serverTime: maybe(Time),
  latitude: finite,
  longitude: finite,
  altitude: maybe(finite),
  speed: maybe(finite),
  course: maybe(finite),
  address: maybe(Address),
  valid: maybe(v.boolean()),
  attributes: Attributes,
});
export type TraccarPosition = v.InferOutput<typeof TraccarPosition>;

export const TraccarDevice = v.object({
  uniqueId: v.pipe(text, v.minLength(1), v.maxLength(128)),
  id: maybe(v.pipe(v.number(), v.safeInteger())),
  attributes: Attributes,
});
export type TraccarDevice = v.InferOutput<typeof TraccarDevice>;

export const PositionBody = v.object({ position: TraccarPosition, device: TraccarDevice });

export const EventBody = v.object({
  event: v.object({ type: v.pipe(text, v.minLength(1)), eventTime: maybe(Time), attributes: Attributes }),
  device: TraccarDevice,
  position: maybe(TraccarPosition),
});
export type EventBody = v.InferOutput<typeof EventBody>;
