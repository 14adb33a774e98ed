import { type Exd, isEcoValue } from "../record.ts";

/** Keys whose values the schema has to look at, or that it refuses or leaves out. */
const notPlain = new Set(["vld", "type", "tlm", "__proto__", "prototype", "constructor"]);
const ioNumber = /^\d{1,9}$/;

/**
 * True for what nearly every record says of itself, which the schema would let pass as it is. A sieve before the schema,
 * and never wider than it: each record of every tracker passes here, and valibot's copy of an object with objects in it
 * costs several times more than all the rest of a record's checks (measured: 0.3 us a record, 2 to 7 with the schema).
 */
export function isPlainExd(value: unknown): value is Exd {
  return everyEntry(value, (key, item) => {
    switch (key) {
      case "sat":
        return Number.isInteger(item);
      case "bpp":
        return item === 0 || item === 1;
      case "eco":
        return everyEntry(item, isPlainMeasure);
      case "io":
        return everyEntry(item, isPlainLevel);
      default:
        return Number.isFinite(item) && !notPlain.has(key);
    }
  });
}

const isPlainMeasure = (key: string, value: unknown): boolean =>
  key.length <= 32 &&
  !notPlain.has(key) &&
  (Number.isFinite(value) || (typeof value === "string" && value.length <= 64)) &&
  isEcoValue(key, value);

const isPlainLevel = (number: string, level: unknown): boolean => Number.isFinite(level) && ioNumber.test(number);

function everyEntry(value: unknown, holds: (key: string, item: unknown) => boolean): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  for (const key in value) if (!holds(key, (value as Record<string, unknown>)[key])) return false;
  return true;
}
