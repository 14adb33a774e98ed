import { expect, test } from "bun:test";
import { ExpiringMap } from "../../src/backplane/memory/expiring.ts";
import { ManualClock } from "../support/clock.ts";

test("an entry ends at its time and not before", () => {
  const clock = new ManualClock();
  const map = new ExpiringMap<string>(clock);
  map.set("a", "x", clock.elapsed() + 100);
  clock.advance(99);
  expect(map.get("a")).toBe("x");
  expect(map.left("a")).toBe(1);
  clock.advance(1);
  expect(map.get("a")).toBeUndefined();
  expect(map.left("a")).toBe(0);
  expect(map.delete("a")).toBe(false);
});

test("ended entries give their memory back, long-lived ones before them or not", () => {
  const clock = new ManualClock();
  const map = new ExpiringMap<number>(clock);
  for (let index = 0; index < 1_000; index++) map.set(`keep ${index}`, index, clock.elapsed() + 1e9);
  for (let index = 0; index < 100_000; index++) {
    map.set(`brief ${index}`, index, clock.elapsed() + 10);
    clock.advance(1);
  }
  expect(map.size).toBeLessThan(3_000);
  expect(map.get("keep 0")).toBe(0);
  expect(map.get("keep 999")).toBe(999);
});

test("setting the time of the machine ends nothing and prolongs nothing", () => {
  const clock = new ManualClock();
  const map = new ExpiringMap<string>(clock);
  map.set("a", "x", clock.elapsed() + 100);
  clock.adjust(3_600_000);
  clock.advance(99);
  expect(map.get("a")).toBe("x");
  clock.adjust(-7_200_000);
  clock.advance(1);
  expect(map.get("a")).toBeUndefined();
});
