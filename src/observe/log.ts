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
