import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { testRedis } from "../support/redis.ts";
import { until } from "./until.ts";
import { times, useOutage } from "./use-outage.ts";

setDefaultTimeout(60_000);

describe.if((await testRedis()).available)("Redis away, presence:", () => {
  const outage = useOutage();

  test("lets presence go on with what the node knows, and brings the store up to date", async () => {
    const [cut, other] = [await outage.open("proxy"), await outage.open("direct")];
    await cut.presence.join("s", "ann", "1");
    await cut.presence.join("s", "ann", "2");
    await cut.presence.join("s", "bob", "3");
    await other.presence.join("s", "ann", "4");
    outage.proxy.cut();
    await until(() => !cut.up);
    expect(await cut.presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
    expect(await cut.presence.join("s", "ann", "2", { data: "new" })).toMatchObject({ admitted: true, count: 1 });
    expect(await cut.presence.leave("s", "bob", "3")).toEqual({ last: true, count: 0 });
    expect(await cut.presence.join("s", "cid", "5", { limit: 1 })).toEqual({ admitted: true, first: true, count: 1 });
    expect(await cut.presence.join("s", "cid", "6", { limit: 1 })).toMatchObject({ admitted: false, count: 1 });
    outage.proxy.restore();
    const state = async () =>
      (await other.presence.list("s")).map(({ member, connection, data }) => `${member} ${connection} ${data}`).sort();
    const expected = ["ann 2 new", "ann 4 ", "cid 5 "];
    await until(async () => (await state()).join() === expected.join());
    expect(await state()).toEqual(expected);
  });

  test("before the answer to a join: the store ends up as the node says", async () => {
    const [cut, other] = [await outage.open("proxy"), await outage.open("direct")];
    await cut.presence.join("s", "ann", "1");
    outage.proxy.mute();
    // Done in the store, but the node does not hear of it and answers for itself.
    const joined = cut.presence.join("s", "ann", "2", { limit: 5 });
    const left = cut.presence.leave("s", "ann", "1");
    await until(async () => (await other.presence.list("s")).map(({ connection }) => connection).join() === "2");
    outage.proxy.cut();
    expect(await joined).toMatchObject({ admitted: true });
    expect(await left).toMatchObject({ count: 1 });
    outage.proxy.restore();
    await until(() => cut.up);
    await Bun.sleep(3 * times.heartbeat);
    expect(await other.presence.list("s")).toEqual([{ member: "ann", connection: "2", node: cut.node, data: "" }]);
  });

  test("for one node alone: it is given up, and back it brings its connections along", async () => {
    const [cut, other] = [await outage.open("proxy"), await outage.open("direct")];
    const lost: string[] = [];
    const restored: string[] = [];
    other.presence.onLost((_set, { connection }, last) => lost.push(`${connection} ${last}`));
    cut.presence.onRestored((_set, { connection }, first) => restored.push(`${connection} ${first}`));
    cut.presence.onLost(() => lost.push("by the node itself"));
    await cut.presence.join("s", "ann", "1");
    await Bun.sleep(times.lease);
    outage.proxy.cut();
    await until(() => lost.length > 0);
    expect(await other.presence.list("s")).toEqual([]);
    expect(await other.topics.nodes()).toEqual([other.node]);
    outage.proxy.restore();
    await until(() => restored.length > 0);
    expect(await other.presence.list("s")).toHaveLength(1);
    await Bun.sleep(2 * times.lease);
    expect(lost).toEqual(["1 true"]);
    expect(restored).toEqual(["1 true"]);
  });

  test("for all nodes longer than their lease: none of them is given up for it", async () => {
    const nodes = [await outage.open("proxy"), await outage.open("proxy"), await outage.open("proxy")];
    const lost: string[] = [];
    for (const [index, node] of nodes.entries()) {
      node.presence.onLost((_set, { connection }) => lost.push(connection));
      await node.presence.join("s", `${index}`, `${index}`);
    }
    // Everybody is sure of everybody by now.
    await Bun.sleep(times.lease + times.heartbeat);
    outage.proxy.cut();
    await Bun.sleep(2 * times.lease);
    outage.proxy.restore();
    await until(() => nodes.every((node) => node.up));
    await Bun.sleep(2 * times.lease);
    expect(lost).toEqual([]);
    expect(await nodes[0]!.presence.list("s")).toHaveLength(3);
  });
});
