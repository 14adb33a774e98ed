import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { BackplaneUnavailable } from "../../src/backplane/backplane.ts";
import { testRedis } from "../support/redis.ts";
import { hear } from "./hear.ts";
import { RecordingLog } from "./recording-log.ts";
import { until } from "./until.ts";
import { useOutage } from "./use-outage.ts";

setDefaultTimeout(60_000);

describe.if((await testRedis()).available)("Redis away", () => {
  const outage = useOutage();

  test("is told at once, once, and so is its return", async () => {
    const log = new RecordingLog();
    // Whatever waits for the limit of a command waits longer than the test.
    const node = await outage.open("proxy", { log, times: { command: 600_000 } });
    expect(node.up).toBe(true);
    for (const round of [1, 2]) {
      outage.proxy.cut();
      await until(() => !node.up);
      const calls = [
        () => node.ping(),
        () => node.records.read("x"),
        () => node.records.create("x", {}, 1_000),
        () => node.presence.list("s"),
        () => node.presence.among("s", ["m"]),
        () => node.topics.nodes(),
        () => node.timers.set("k", "t", 0, ""),
        () => node.timers.cancel("k", "t"),
        () => node.timers.pending("k", ["t"]),
      ];
      for (const call of calls) {
        expect(await call().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
      }
      // Several attempts to connect later, of either client.
      const before = outage.proxy.refused;
      await until(() => outage.proxy.refused >= before + 6);
      outage.proxy.restore();
      await until(() => node.up);
      await node.ping();
      expect(log.count("redis away")).toBe(round);
      expect(log.count("redis back")).toBe(round);
    }
    expect(log.of("error")).toEqual([]);
  });

  test("from the start is no error: everything begins when it comes", async () => {
    outage.proxy.cut();
    const log = new RecordingLog();
    const node = await outage.open("proxy", { log, times: { open: 500 } });
    expect(node.up).toBe(false);
    expect(log.count("redis away")).toBe(1);
    const heard = hear(node, "t");
    const other = await outage.open("direct");
    // The node is open, so this is for it, although it has never met Redis.
    other.topics.publish("t", "early");
    node.topics.publish("t", "from the node");
    const otherHeard = hear(other, "t");
    await Bun.sleep(300);
    outage.proxy.restore();
    await until(() => node.up && heard.length === 1 && otherHeard.length === 1);
    expect(heard).toEqual(["early"]);
    await until(async () => (await other.topics.nodes()).length === 2);
    await node.records.put("r", { a: "1" }, 60_000);
  });

  test("tallies count on the node alone, instead of refusing or letting everything through", async () => {
    const node = await outage.open("proxy");
    await node.tallies.count("c", 60_000, 5);
    outage.proxy.cut();
    await until(() => !node.up);
    const bucket = { rate: 0.01, burst: 2 };
    const takes = [];
    for (let index = 0; index < 4; index++) takes.push((await node.tallies.take("b", bucket)).allowed);
    expect(takes).toEqual([true, true, false, false]);
    expect((await node.tallies.count("c", 60_000)).count).toBe(1);
    expect((await node.tallies.count("c", 60_000)).count).toBe(2);
    expect(await node.tallies.hold("h", "a", 1, 60_000)).toBe(true);
    expect(await node.tallies.hold("h", "b", 1, 60_000)).toBe(false);
    await node.tallies.release("h", "a");
    expect(await node.tallies.hold("h", "b", 1, 60_000)).toBe(true);
    outage.proxy.restore();
    await until(() => node.up);
    expect((await node.tallies.count("c", 60_000)).count).toBe(6);
  });

  test("timers fire when it is back; what a handler did meanwhile counts", async () => {
    const node = await outage.open("proxy");
    const fired: string[] = [];
    const gate = Promise.withResolvers<void>();
    node.timers.handle("k", async (id) => {
      fired.push(id);
      if (id === "running") await gate.promise;
    });
    await node.timers.set("k", "running", Date.now(), "");
    await until(() => fired.length === 1);
    await node.timers.set("k", "waiting", Date.now() + 1_000, "");
    outage.proxy.cut();
    await until(() => !node.up);
    gate.resolve();
    await Bun.sleep(1_300);
    outage.proxy.restore();
    await until(() => fired.length === 2);
    await Bun.sleep(300);
    expect(fired).toEqual(["running", "waiting"]);
    expect(await node.timers.cancel("k", "running")).toBe(false);
  });

  test("does not keep a node from closing", async () => {
    const node = await outage.open("proxy");
    await node.presence.join("s", "ann", "1");
    node.topics.publish("t", "x");
    outage.proxy.cut();
    await until(() => !node.up);
    node.topics.publish("t", "y");
    await node.close();
    expect(node.up).toBe(false);
    expect(await node.ping().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
  });
});
