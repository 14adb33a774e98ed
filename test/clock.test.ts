import { expect, test } from "bun:test";
import { systemClock } from "../src/clock.ts";

test("a timer of more than the runtime's 24.8 days does not fire at once", async () => {
  let fired = false;
  const cancel = systemClock.after(30 * 24 * 60 * 60 * 1000, () => {
    fired = true;
  });
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  cancel();
  expect(fired).toBe(false);
});
