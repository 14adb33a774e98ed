import { expect, test } from "bun:test";
import { TaskRunner } from "../../src/gateway/tasks.ts";
import { createLog } from "../../src/observe/log.ts";
import { ManualClock } from "../support/clock.ts";

const silent = createLog({ level: "fatal", format: "json" });

test("a run that is still under way is not overlapped", async () => {
  const clock = new ManualClock();
  const runner = new TaskRunner(clock, silent);
  const gates: (() => void)[] = [];
  runner.start([{ name: "slow", every: 100, run: () => new Promise<void>((resolve) => gates.push(resolve)) }]);
  clock.advance(350);
  expect(gates).toHaveLength(1);
  gates[0]!();
  await Bun.sleep(0);
  clock.advance(100);
  expect(gates).toHaveLength(2);
  gates[1]!();
  await runner.stop();
});

test("a run that fails does not end the task, and a stopped runner starts nothing", async () => {
  const clock = new ManualClock();
  const runner = new TaskRunner(clock, silent);
  let runs = 0;
  runner.start([
    {
      name: "failing",
      every: 100,
      run() {
        runs++;
        throw new Error("on purpose");
      },
    },
  ]);
  clock.advance(100);
  await Bun.sleep(0);
  clock.advance(100);
  await runner.stop();
  clock.advance(1000);
  expect(runs).toBe(2);
});
