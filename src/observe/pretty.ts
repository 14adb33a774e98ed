const colours: Readonly<Record<string, string>> = {
  trace: "\x1b[90m",
  debug: "\x1b[36m",
  info: "\x1b[32m",
  warn: "\x1b[33m",
  error: "\x1b[31m",
  fatal: "\x1b[1;31m",
};
const dim = "\x1b[2m";
const plain = "\x1b[0m";

/** Turns a JSON log line into one for a person: `12:00:00.000 INFO  socket closed code=4009`, errors below it. */
export function prettyLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const name = String(level);
  const words: string[] = [];
  const errors: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (isError(value)) errors.push(prettyError(key, value));
    else words.push(`${dim}${key}=${plain}${typeof value === "string" ? value : JSON.stringify(value)}`);
  }
  const clock = String(time).slice(11, 23);
  const head = `${dim}${clock}${plain} ${colours[name] ?? ""}${name.toUpperCase().padEnd(5)}${plain} ${String(msg)}`;
  return `${[[head, ...words].join(" "), ...errors].join("\n")}\n`;
}

interface PrintedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: readonly string[];
  readonly cause?: unknown;
}

function isError(value: unknown): value is PrintedError {
  return typeof value === "object" && value !== null && "type" in value && "message" in value;
}

function prettyError(label: string, error: PrintedError): string {
  const lines = [`  ${label}: ${error.type}: ${error.message}`, ...(error.stack ?? []).map((frame) => `    ${frame}`)];
  if (isError(error.cause)) lines.push(prettyError("cause", error.cause));
  return lines.join("\n");
}
