import { hidden, isHiddenName } from "./redact.ts";

/** A log line stays readable whatever is handed in: deeper, longer and wider values are cut. */
const maxDepth = 6;
const maxEntries = 50;
const maxText = 4_096;

/** Names of a line's own parts. */
const taken = new Set(["level", "time", "msg"]);

/** Fields ready to be written: hidden names blanked at any depth, errors spelled out, sizes bounded. */
export function printableFields(fields: object): Record<string, unknown> {
  const printed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields).slice(0, maxEntries)) {
    printed[taken.has(name) ? `${name}_` : name] = printable(name, value, 1);
  }
  return printed;
}

function printable(name: string, value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      if (isHiddenName(name)) return hidden;
      return value.length > maxText ? `${value.slice(0, maxText)}… (${value.length} characters)` : value;
    case "number":
      return isHiddenName(name) ? hidden : value;
    case "bigint":
      return isHiddenName(name) ? hidden : String(value);
    case "object":
      if (value === null) return value;
      return isHiddenName(name) ? hidden : printableObject(name, value, depth);
    case "function":
    case "symbol":
      return undefined;
    default:
      return value;
  }
}

function printableObject(name: string, value: object, depth: number): unknown {
  if (value instanceof Error) return printableError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (ArrayBuffer.isView(value)) return `(${value.byteLength} bytes)`;
  if (depth >= maxDepth) return "(too deep)";
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...value];
    const printed = items.slice(0, maxEntries).map((item) => printable(name, item, depth + 1));
    if (items.length > maxEntries) printed.push(`(${items.length - maxEntries} more)`);
    return printed;
  }
  const printed: Record<string, unknown> = {};
  const entries = value instanceof Map ? [...value].map(([key, item]) => [String(key), item]) : Object.entries(value);
  for (const [key, item] of entries.slice(0, maxEntries)) printed[key] = printable(key, item, depth + 1);
  if (entries.length > maxEntries) printed["…"] = `${entries.length - maxEntries} more`;
  return printed;
}

/** Details of an error worth a field. Everything else a driver hangs onto its errors (query, parameters) stays out. */
const errorDetails = ["code", "errno", "syscall", "constraint_name", "table_name", "fault"] as const;

function printableError(error: Error, depth: number): unknown {
  const printed: Record<string, unknown> = { type: error.name, message: errorText(error.message) };
  for (const detail of errorDetails) {
    const value: unknown = Reflect.get(error, detail);
    if (typeof value === "string" || typeof value === "number") printed[detail] = value;
  }
  if (typeof error.stack === "string") printed.stack = stackFrames(error.stack);
  if (depth < maxDepth) {
    if (error.cause !== undefined) printed.cause = printable("cause", error.cause, depth + 1);
    if (error instanceof AggregateError) printed.errors = printable("errors", error.errors, depth + 1);
  }
  return printed;
}

/** Drizzle puts the values of a failed statement into its message: `Failed query: ...\nparams: ...`. */
function errorText(message: string): string {
  const parameters = message.indexOf("\nparams:");
  const text = parameters === -1 ? message : message.slice(0, parameters);
  return text.length > maxText ? `${text.slice(0, maxText)}…` : text;
}

/** The frames alone: the message in front of them is a field already, cut as above. */
function stackFrames(stack: string): string[] {
  return stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 20)
    .map((line) => line.trim());
}
