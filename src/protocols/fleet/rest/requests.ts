import * as v from "valibot";
import { invalid } from "../errors.ts";
import { Sessid } from "../messages.ts";
import { requestTime } from "../times.ts";

const whole = v.union([v.number(), v.pipe(v.string(), v.trim(), v.regex(/^-?\d{1,16}$/), v.transform(Number))]);
const Integer = v.pipe(whole, v.safeInteger());

/** A span of time; both ends count (F-3.3). Epoch milliseconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

const Moment = v.pipe(
  v.string(),
  v.trim(),
  v.maxLength(40),
  v.transform(requestTime),
  v.check(({ time }) => !Number.isNaN(time)),
);

export const HistoryRequest = v.object({ vehicleId: Integer, dateBegin: Moment, dateEnd: Moment });
export const EventsRequest = v.object({
  vehicles: v.pipe(v.array(Integer), v.minLength(1), v.maxLength(500)),
  events: v.optional(v.array(Integer)),
  dateBegin: Moment,
  dateEnd: Moment,
});
export const SessionRequest = v.object({ SESSID: v.optional(Sessid) });

/** Fits parameters to a schema. Throws `Invalid parameter: <name>` with the first that does not fit (F-3.6). */
export function fit<Schema extends v.GenericSchema>(schema: Schema, parameters: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, parameters);
  if (result.success) return result.output;
  throw invalid(String(result.issues[0].path?.[0]?.key ?? "body"));
}

type Ends = { readonly dateBegin: { time: number }; readonly dateEnd: { time: number; whole: boolean } };

/** F-3.3, F-3.19. An end without a fraction covers its whole second, of which the `next` of F-3.4 may be a part. */
export function spanOf({ dateBegin, dateEnd }: Ends, maxRange: number): Span {
  const [from, to] = [dateBegin.time, dateEnd.time + (dateEnd.whole ? 999 : 0)];
  if (to < from || dateEnd.time - from > maxRange) throw invalid("dateEnd");
  return { from, to };
}
