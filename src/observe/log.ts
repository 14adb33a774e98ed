import pino from "pino";
import { printableFields } from "./fields.ts";
import { type Output, standardOutput } from "./output.ts";
import { prettyLine } from "./pretty.ts";
import { maskText } from "./redact.ts";

/**
 * Structured log. Fields come first, the message is a fixed sentence: `log.info({ code }, "socket closed")`.
 * Tokens, passwords, PINs, coordinates and query strings never belong in a field; the usual names are redacted anyway.
 */
export interface Log {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
  /** A log whose lines all carry these fields. */
  child(fields: object): Log;
}

/** The log of a process, from which all others descend. */
export interface RootLog extends Log {
  /** Resolves when every line so far is written: to be awaited before the process ends. */
  flush(): Promise<void>;
}

export interface LogOptions {
  /** Least severe level that is written. */
  readonly level: "fatal" | "error" | "warn" | "info" | "debug" | "trace";
  /** `auto` is pretty when standard output is a terminal, JSON otherwise. */
  readonly format: "auto" | "json" | "pretty";
  /** Takes the finished lines instead of standard output. */
  readonly stream?: { write(line: string): unknown };
}

/** Makes the log of the process: one line an event, with ISO time, level, fields and message. */
export function createLog(options: LogOptions): RootLog {
  const { stream } = options;
  const output: Output = stream
    ? { write: (line) => stream.write(line), flush: () => Promise.resolve() }
    : standardOutput((lines) => log.warn({ lines }, "log lines were dropped because nobody read them"));
  const pretty = options.format === "pretty" || (options.format === "auto" && process.stdout.isTTY === true);
  const logger = pino(
    {
      level: options.level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: printableFields },
      // Errors are spelled out above; pino's own way of printing an `err` field would undo what was cut.
      serializers: { err: (printed) => printed },
      hooks: { streamWrite: pretty ? (line) => prettyLine(maskText(line)) : maskText },
    },
    output,
  );
  const log: RootLog = Object.assign(new PinoLog(logger), { flush: output.flush });
  return log;
}

class PinoLog implements Log {
  readonly #logger: pino.Logger;

  constructor(logger: pino.Logger) {
    this.#logger = logger;
  }

  trace(fields: object, message: string): void {
    this.#logger.trace(fields, message);
  }

  debug(fields: object, message: string): void {
    this.#logger.debug(fields, message);
  }

  info(fields: object, message: string): void {
    this.#logger.info(fields, message);
  }

  warn(fields: object, message: string): void {
    this.#logger.warn(fields, message);
  }

  error(fields: object, message: string): void {
    this.#logger.error(fields, message);
  }

  fatal(fields: object, message: string): void {
    this.#logger.fatal(fields, message);
  }

  child(fields: object): Log {
    // Pino does not run the formatter of a line over the fields of a child.
    return new PinoLog(this.#logger.child(printableFields(fields)));
  }
}
