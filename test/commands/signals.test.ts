import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { firstOf } from "../../src/commands/signals.ts";
import { ManualClock } from "../support/clock.ts";

test("the same signal within 200 ms is an echo; another one, or one that comes later, is a second signal", async () => {
  const source = new EventEmitter();
  const clock = new ManualClock();
  let again = 0;
  const first = firstOf(["SIGTERM", "SIGINT"], { source, clock, again: () => again++ });
  source.emit("SIGINT");
  await first;
  clock.advance(200);
  source.emit("SIGINT");
  expect(again).toBe(0);
  source.emit("SIGTERM");
  expect(again).toBe(1);
  clock.advance(1);
  source.emit("SIGINT");
  expect(again).toBe(2);
});
