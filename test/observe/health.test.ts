import { expect, test } from "bun:test";
import { createHealth, freshFor, timeLimit } from "../../src/observe/health.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { ManualClock } from "../support/clock.ts";

function setUp() {
  const clock = new ManualClock();
  const metrics = createMetrics();
  const lines: string[] = [];
  const log = createLog({ level: "info", format: "json", stream: { write: (line) => lines.push(line) } });
  return { clock, metrics, lines, health: createHealth({ clock, metrics, log }) };
}

test("a node is ready when every dependency answers, and not when one is away", async () => {
  const { clock, health, metrics } = setUp();
  let redis = true;
  health.check("database", async () => {});
  health.check("redis", async () => {
    if (!redis) throw new Error("away");
  });
  expect(await health.ready()).toEqual({ ok: true, checks: { database: "ok", redis: "ok" } });
  expect(await metrics.text()).toContain('patchbay_up{dependency="redis"} 1');
  redis = false;
  clock.advance(freshFor);
  await metrics.text();
  expect(await health.ready()).toEqual({ ok: false, checks: { database: "ok", redis: "failed" } });
  expect(await metrics.text()).toContain('patchbay_up{dependency="redis"} 0');
  expect(await metrics.text()).toContain('patchbay_up{dependency="database"} 1');
});

test("a node that drains is not ready, at once", async () => {
  const { health } = setUp();
  health.check("database", async () => {});
  expect((await health.ready()).ok).toBe(true);
  health.drain();
  expect(await health.ready()).toEqual({ ok: false, checks: { database: "ok", draining: "draining" } });
});

test("a dependency that never answers counts as late after the time limit", async () => {
  const { clock, health } = setUp();
  health.check("database", () => new Promise(() => {}));
  const answer = health.ready();
  clock.advance(timeLimit);
  expect(await answer).toEqual({ ok: false, checks: { database: "late" } });
});

test("many probes ask a dependency once, and an answer is kept for a second", async () => {
  const { clock, health } = setUp();
  let asked = 0;
  health.check("database", async () => {
    asked++;
  });
  await Promise.all(Array.from({ length: 50 }, () => health.ready()));
  clock.advance(freshFor - 1);
  await health.ready();
  expect(asked).toBe(1);
  clock.advance(1);
  await health.ready();
  expect(asked).toBe(2);
});

test("a check that throws instead of rejecting is a failed one", async () => {
  const { health } = setUp();
  health.check("database", () => {
    throw new Error("at once");
  });
  expect((await health.ready()).checks).toEqual({ database: "failed" });
});

test("the log tells once that a dependency went and once that it is back", async () => {
  const { clock, health, lines } = setUp();
  let up = false;
  health.check("redis", async () => {
    if (!up) throw new Error("refused");
  });
  for (const state of [false, false, true, true]) {
    up = state;
    await health.ready();
    clock.advance(freshFor);
  }
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(told.map((line) => line.msg)).toEqual(["dependency is away", "dependency is back"]);
  expect(told[0]).toMatchObject({ dependency: "redis", verdict: "failed", error: { message: "refused" } });
});

test("where nobody probes readiness, each scrape prepares the answer of the next", async () => {
  const { clock, health, metrics } = setUp();
  health.check("redis", () => Promise.reject(new Error("away")));
  expect(await metrics.text()).toContain('patchbay_up{dependency="redis"} 1');
  await new Promise(setImmediate);
  clock.advance(freshFor);
  expect(await metrics.text()).toContain('patchbay_up{dependency="redis"} 0');
});
