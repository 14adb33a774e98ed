const offsetWithoutColon = /([+-]\d\d)(\d\d)$/;
const isoForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/;
const plainForm = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$/;

/** ISO 8601 with an offset: `Z`, `+00:00` or `+0000` (F-12.5). Epoch milliseconds; NaN for anything else. */
export function isoTime(text: string): number {
  // As JSON writes it, which is how nearly every device does: no need to take it apart.
  const time = Date.parse(text);
  if (text.length === 24 && !Number.isNaN(time) && new Date(time).toISOString() === text) return time;
  // A day that the month does not have would become one of the next.
  const isDay = !Number.isNaN(plainTime(`${text.slice(0, 10)} 00:00:00`));
  return isDay && isoForm.test(text) ? Date.parse(text.replace(offsetWithoutColon, "$1:$2")) : Number.NaN;
}

/** `YYYY-MM-DD HH:MM:SS` in UTC. Epoch milliseconds; NaN for anything else, such as 30 February. */
export function plainTime(text: string): number {
  const [, year, month, day, hour, minute, second] = plainForm.exec(text)?.map(Number) ?? [];
  if (year === undefined) return Number.NaN;
  const time = Date.UTC(year, month! - 1, day, hour, minute, second);
  if (Number.isNaN(time)) return time;
  return new Date(time).toISOString().slice(0, 19) === text.replace(" ", "T") ? time : Number.NaN;
}

/** Either of the two, as REST requests have them (F-3.3); `whole` is true when it names a second and no fraction of it. */
export function requestTime(text: string): { readonly time: number; readonly whole: boolean } {
  const plain = plainTime(text);
  return { time: Number.isNaN(plain) ? isoTime(text) : plain, whole: !text.includes(".") };
}
