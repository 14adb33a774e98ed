const MAX_DEPTH = 32;

/**
 * True when a JSON value can be stored and passed on as it is (F-8.6): no NUL and no half of a surrogate pair in any
 * text, no number beyond the finite ones, and no nesting deeper than 32.
 */
export const isSound = (value: unknown): boolean => isSoundAt(value, 0, isSoundText);

/** The same of what was parsed from a text, for less: where nothing is escaped, no part is worse than the whole. */
export const isSoundJson = (text: string, value: unknown): boolean =>
  isSoundAt(value, 0, !text.includes("\\u") && isSoundText(text) ? () => true : isSoundText);

function isSoundAt(value: unknown, depth: number, holds: (text: string) => boolean): boolean {
  switch (typeof value) {
    case "string":
      return holds(value);
    case "number":
      return Number.isFinite(value);
    case "object":
      if (value === null) return true;
      if (depth >= MAX_DEPTH) return false;
      if (Array.isArray(value)) return value.every((item) => isSoundAt(item, depth + 1, holds));
      // Parsed JSON inherits nothing. Every frame of every tracker passes here, so no array is made of its entries.
      for (const key in value) {
        if (!holds(key) || !isSoundAt((value as Record<string, unknown>)[key], depth + 1, holds)) return false;
      }
      return true;
    default:
      return true;
  }
}

export const isSoundText = (text: string): boolean => !text.includes("\0") && text.isWellFormed();

/** Reads a JSON object from text; null when it is none. */
export function jsonObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
