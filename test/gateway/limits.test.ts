import { expect, test } from "bun:test";
import { ConnectionLimits } from "../../src/gateway/limits.ts";
import { ManualClock } from "../support/clock.ts";

const settings = { maxConnections: 3, maxConnectionsPerAddress: 2, acceptRate: 0 };

test("a full node turns sockets away until one leaves", () => {
  const limits = new ConnectionLimits(settings, null, new ManualClock());
  for (const address of ["a", "b", "c"]) {
    expect(limits.refuse(address)).toBeNull();
    limits.opened(address);
  }
  expect(limits.refuse("d")).toBe("node full");
  limits.closed("a");
  expect(limits.refuse("d")).toBeNull();
});

test("one address holds its share only", () => {
  const limits = new ConnectionLimits(settings, null, new ManualClock());
  limits.opened("a");
  limits.opened("a");
  expect(limits.refuse("a")).toBe("address full");
  expect(limits.refuse("b")).toBeNull();
  limits.closed("a");
  expect(limits.refuse("a")).toBeNull();
});

test("the accept rate is a bucket of one second", () => {
  const clock = new ManualClock();
  const limits = new ConnectionLimits({ ...settings, acceptRate: 2 }, null, clock);
  expect([limits.refuse("a"), limits.refuse("a"), limits.refuse("a")]).toEqual([null, null, "accepting too fast"]);
  clock.advance(500);
  expect([limits.refuse("a"), limits.refuse("a")]).toEqual([null, "accepting too fast"]);
});

test("the file limit of the process caps the node", () => {
  expect(new ConnectionLimits({ ...settings, maxConnections: 50_000 }, 1024, new ManualClock()).maxConnections).toBe(
    896,
  );
});
