import { DrizzleQueryError } from "drizzle-orm";
import { PgPreparedQuery } from "drizzle-orm/pg-core";
import { DatabaseUnavailable } from "./database.ts";

/** Codes of postgres.js and of sockets that mean: the statement met no server, or lost it on the way. */
const connectionCodes = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
  "EACCES",
]);

/** Codes of a TLS connection that did not come about. */
const certificateCode = /^ERR_(TLS|SSL)_|CERT/;

/**
 * SQLSTATEs of a server that cannot serve now: connection faults (08), refused logins (28), no such database (3D000),
 * exhausted resources such as connections, memory and disk (53), shutdown and recovery (57P), a cancelled or timed-out
 * statement (57014), a standby met in place of the primary (25006), a database closed to connections (55000), faults of
 * its disk (58). And of a connection that is no longer what it was: the server has forgotten a prepared statement (26000).
 */
const unavailableStates = /^(08|28|53|57P|58)|^(3D000|57014|25006|26000|55000)$/;

/** Where Postgres finds that a prepared statement no longer fits its table; the state (0A000) has other causes too. */
const outdatedRoutine = "RevalidateCachedQuery";

/** Fields in which drivers and servers quote the statement and the values in it, which may be anybody's. */
const valueFields = ["detail", "where", "query", "params", "queryOptions"];

/** What a caller is told of a failed statement: {@link DatabaseUnavailable}, or the driver's own error. */
export function statementError(error: unknown): unknown {
  const reason = error instanceof DrizzleQueryError && error.cause ? error.cause : error;
  if (reason instanceof DatabaseUnavailable) return reason;
  if (reason instanceof WebAssembly.RuntimeError) {
    return new DatabaseUnavailable("the embedded database has died; only a restart helps", { cause: reason });
  }
  const code = codeOf(reason);
  if (code === undefined) return reason;
  for (const field of valueFields) Reflect.deleteProperty(reason as Error, field);
  const outdated = fieldOf(reason, "routine") === outdatedRoutine;
  if (outdated || connectionCodes.has(code) || unavailableStates.test(code) || certificateCode.test(code)) {
    return new DatabaseUnavailable(`the database does not serve (${code})`, { cause: reason });
  }
  return reason;
}

/** True when a statement failed because a row with the same unique key is there; `constraint` narrows it to one key. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const reason = statementError(error);
  if (codeOf(reason) !== "23505") return false;
  return constraint === undefined || constraintOf(reason) === constraint;
}

/** True when a statement failed because a row that it refers to is gone. */
export function isForeignKeyViolation(error: unknown): boolean {
  return codeOf(statementError(error)) === "23503";
}

/** True when the server ended a transaction because it and another one waited for each other; run again, it may succeed. */
export function isDeadlock(error: unknown): boolean {
  return codeOf(statementError(error)) === "40P01";
}

const codeOf = (error: unknown): string | undefined => fieldOf(error, "code");

/** postgres.js and PGlite spell the field differently. */
const constraintOf = (error: unknown) => fieldOf(error, "constraint_name") ?? fieldOf(error, "constraint");

function fieldOf(error: unknown, name: string): string | undefined {
  const value: unknown = error instanceof Error ? Reflect.get(error, name) : undefined;
  return typeof value === "string" ? value : undefined;
}

/**
 * Drizzle wraps every failure in an error whose message spells out the statement's parameters, so password hashes and
 * people's messages would end in the log. All its drivers run statements through this one method; ours hands on the
 * driver's error instead. (Its query cache, the other thing the method does, is not used here.)
 */
Object.defineProperty(PgPreparedQuery.prototype, "queryWithCache", {
  value: async (_text: string, _parameters: unknown[], run: () => Promise<unknown>) => {
    try {
      return await run();
    } catch (error) {
      throw statementError(error);
    }
  },
});
