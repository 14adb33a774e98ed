import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { PasswordsBusy } from "../../src/accounts/accounts.ts";
import { Passwords } from "../../src/accounts/passwords.ts";

setDefaultTimeout(60_000);

describe("passwords", () => {
  test("a hash matches its password only", async () => {
    const passwords = new Passwords();
    const hash = await passwords.hash("p\u00e4ss\0word");
    expect(await passwords.matches("p\u00e4ss\0word", hash)).toBe(true);
    for (const other of ["", "p\u00e4ss", "p\u00e4ss\0", "P\u00c4SS\0WORD"])
      expect(await passwords.matches(other, hash)).toBe(false);
  });

  test("without a hash nothing matches", async () => {
    const passwords = new Passwords();
    expect(await passwords.matches("anything", undefined)).toBe(false);
  });

  test("of a storm some are turned away, the event loop lives, and the next one is served", async () => {
    const passwords = new Passwords();
    const hash = await passwords.hash("secret");
    let turns = 0;
    const turning = setInterval(() => turns++, 1);
    const outcomes = await Promise.allSettled(Array.from({ length: 300 }, () => passwords.matches("secret", hash)));
    clearInterval(turning);
    const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const reason of refused) expect(reason).toBeInstanceOf(PasswordsBusy);
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled").length).toBeGreaterThan(0);
    // It would stand still for a hash at a time, dozens of milliseconds, if hashes were not made beside it.
    expect(turns).toBeGreaterThan(outcomes.length - refused.length);
    expect(await passwords.matches("secret", hash)).toBe(true);
  });
});
