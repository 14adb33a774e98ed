import type { Log } from "../../src/observe/log.ts";

/** A log for parts whose lines a test does not look at. */
export const quietLog: Log = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  fatal: () => {},
  child: () => quietLog,
};
