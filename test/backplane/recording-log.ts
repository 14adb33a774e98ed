import type { Log } from "../../src/observe/log.ts";

/** A log that keeps its lines for a test to look at. */
export class RecordingLog implements Log {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: object }[] = [];

  trace(fields: object, message: string): void {
    this.#add("trace", fields, message);
  }
  debug(fields: object, message: string): void {
    this.#add("debug", fields, message);
  }
  info(fields: object, message: string): void {
    this.#add("info", fields, message);
  }
  warn(fields: object, message: string): void {
    this.#add("warn", fields, message);
  }
  error(fields: object, message: string): void {
    this.#add("error", fields, message);
  }
  fatal(fields: object, message: string): void {
    this.#add("fatal", fields, message);
  }
  child(): Log {
    return this;
  }

  /** How often a message was logged. */
  count(message: string): number {
    return this.lines.filter((line) => line.message === message).length;
  }

  /** Messages of this level, in order. */
  of(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, message, fields });
  }
}
