const MAX_DEPTH = 32;

/**
 * True when a JSON value can be stored and passed on as it is (F-8.6): no NUL and no half of a surrogate pair in any
 * text, no number beyond the finite ones, and no nesting deeper than 32.
 */
export function isSound(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
      return isSoundText(value);
    case "number":
      return Number.isFinite(value);
    case "object":
      if (value === null) return true;
      if (depth >= MAX_DEPTH) return false;
      if (Array.isArray(value)) return value.every((item) => isSound(item, depth + 1));
      return Object.entries(value).every(([key, item]) => isSoundText(key) && isSound(item, depth + 1));
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
