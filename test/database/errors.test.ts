import { describe, expect, test } from "bun:test";
import { DrizzleQueryError } from "drizzle-orm";
import { DatabaseUnavailable } from "../../src/database/database.ts";
import { isDeadlock, isForeignKeyViolation, isUniqueViolation, statementError } from "../../src/database/errors.ts";

const coded = (code: string, more: object = {}) => Object.assign(new Error(code), { code, ...more });

describe("errors of statements", () => {
  test("a store that cannot serve is told from a statement at fault", () => {
    const away = [
      ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "CONNECTION_CLOSED", "CONNECT_TIMEOUT"],
      ...["08006", "28P01", "3D000", "53100", "53300", "57014", "57P01", "57P03", "25006", "55000", "58030"],
      ...["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ];
    for (const code of away) expect(statementError(coded(code))).toBeInstanceOf(DatabaseUnavailable);
    for (const code of ["23505", "22P02", "42601", "40001", "40P01", "25P02", "UNDEFINED_VALUE"]) {
      expect(statementError(coded(code))).not.toBeInstanceOf(DatabaseUnavailable);
    }
    expect(statementError(new WebAssembly.RuntimeError("unreachable"))).toBeInstanceOf(DatabaseUnavailable);
    expect(statementError(new Error("anything"))).not.toBeInstanceOf(DatabaseUnavailable);
  });

  test("drizzle's wrapper is taken off, and a second look changes nothing", () => {
    const cause = coded("ECONNREFUSED");
    const error = statementError(new DrizzleQueryError("select $1", ["secret"], cause));
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect(error).toMatchObject({ cause });
    expect(statementError(error)).toBe(error);
  });

  test("a unique violation is one however the driver spells it", () => {
    expect(isUniqueViolation(coded("23505"))).toBe(true);
    expect(isUniqueViolation(coded("23505", { constraint_name: "key" }), "key")).toBe(true);
    expect(isUniqueViolation(coded("23505", { constraint: "key" }), "key")).toBe(true);
    expect(isUniqueViolation(coded("23505", { constraint: "key" }), "other")).toBe(false);
    expect(isUniqueViolation(new DrizzleQueryError("insert", [], coded("23505")))).toBe(true);
    expect(isUniqueViolation(coded("23503"))).toBe(false);
    expect(isUniqueViolation("23505")).toBe(false);
    expect(isUniqueViolation(undefined)).toBe(false);
  });

  test("a row that refers to one that is gone is told from other failures", () => {
    expect(isForeignKeyViolation(coded("23503"))).toBe(true);
    expect(isForeignKeyViolation(new DrizzleQueryError("insert", [], coded("23503")))).toBe(true);
    for (const other of [coded("23505"), new Error("23503"), undefined]) {
      expect(isForeignKeyViolation(other)).toBe(false);
    }
  });

  test("a deadlock is told from other failures", () => {
    expect(isDeadlock(coded("40P01"))).toBe(true);
    for (const other of [coded("40001"), coded("55P03"), new Error("deadlock"), undefined])
      expect(isDeadlock(other)).toBe(false);
  });

  test("an error is known again after a hot reload has made its class anew", async () => {
    for (const [path, names] of [
      ["../../src/database/database.ts", ["DatabaseUnavailable"]],
      ["../../src/accounts/accounts.ts", ["AccountExists", "PasswordsBusy"]],
    ] as const) {
      const before = await import(path);
      const after = await import(`${path}?reloaded`);
      for (const name of names) {
        expect(after[name]).not.toBe(before[name]);
        expect(new before[name]("x")).toBeInstanceOf(after[name]);
        expect(new Error("x")).not.toBeInstanceOf(after[name]);
      }
    }
  });
});
