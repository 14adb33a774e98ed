import type { Loc } from "../record.ts";

const YEAR_2000 = Date.UTC(2000, 0, 1);

/** What of a record has bounds. */
interface Bounded {
  readonly tmx: number;
  readonly loc: Loc;
  readonly gsp: number;
}

/** What a record must keep to whatever door it comes through (F-8.8). */
export class RecordLimits {
  readonly #maxFuture: number;

  /** `maxFuture`: milliseconds a record may lie ahead of its reception. */
  constructor(maxFuture: number) {
    this.#maxFuture = maxFuture;
  }

  /** Why a record is refused; null when it is not. Its speed may have grown beyond all numbers on its way to km/h. */
  fault({ tmx, loc, gsp }: Bounded, now: number): "bad-position" | "bad-record" | "bad-time" | null {
    return positionFault(loc) ?? (Number.isFinite(gsp) ? this.timeFault(tmx, now) : "bad-record");
  }

  timeFault(tmx: number, now: number): "bad-time" | null {
    return tmx >= YEAR_2000 && tmx <= now + this.#maxFuture ? null : "bad-time";
  }
}

export const positionFault = ({ lat, lon }: Loc): "bad-position" | null =>
  Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? null : "bad-position";

/** What tells records of one instant apart (F-6.4): nothing, unless device time or index say more than the time does. */
export function partOf(
  tmx: number,
  { deviceTime, index }: { deviceTime?: number | undefined; index?: number | undefined },
): string {
  const time = deviceTime === undefined || deviceTime === tmx ? "" : String(deviceTime);
  return index === undefined ? time : `${time}#${index}`;
}
