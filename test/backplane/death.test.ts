import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { freshPrefix, testRedis } from "../support/redis.ts";
import { startNode } from "./node-process.ts";
import { openNode } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(120_000);

const { available, url } = await testRedis();
// Long enough for the process of a node to stand still for two seconds and not be taken for dead.
const times = { lease: 4_000, heartbeat: 1_000, claim: 4_000 };

describe.if(available)("a node that dies", () => {
  const cleanUp: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  });

  /** Two nodes in this process and one in a process of its own. */
  async function open() {
    const prefix = freshPrefix(url);
    cleanUp.push(prefix.remove);
    const options = { url, keyPrefix: prefix.keyPrefix, times };
    const survivors = await Promise.all([openNode(options), openNode(options)]);
    cleanUp.push(...survivors.map((node) => () => node.close()));
    const victim = await startNode(options);
    cleanUp.push(() => victim.kill());
    const lost: { of: string; what: string }[] = [];
    for (const { presence } of survivors) {
      presence.onLost((set, { member, connection, node: of }, last) => {
        lost.push({ of, what: `${set} ${member} ${connection} ${last}` });
      });
    }
    return { survivors, victim, lost };
  }

  test("takes its connections with it: each is announced once, by one of the others, and the rest stays", async () => {
    const { survivors, victim, lost } = await open();
    const [a, b] = survivors;
    await a.presence.join("s", "ann", "on a");
    await b.presence.join("s", "bob", "on b");
    const joins = Array.from({ length: 300 }, (_, index): [string, string, string] => [`set ${index}`, "ann", "1"]);
    await victim.ask({ do: "join", joins: [...joins, ["s", "ann", "2"], ["s", "cid", "3"]] });
    expect(await a.topics.nodes()).toContain(victim.node);
    await victim.kill();
    await until(() => lost.length >= 302);
    await Bun.sleep(2 * times.heartbeat);
    expect(new Set(lost.map(({ of }) => of))).toEqual(new Set([victim.node]));
    const expected = [...joins.map(([set]) => `${set} ann 1 true`), "s ann 2 false", "s cid 3 true"];
    expect(lost.map(({ what }) => what).sort()).toEqual(expected.sort());
    expect((await b.presence.list("s")).map(({ connection }) => connection).sort()).toEqual(["on a", "on b"]);
    expect(await b.presence.list("set 7")).toEqual([]);
    expect(await a.topics.nodes()).not.toContain(victim.node);
  });

  test("and was only held up: it brings its connections back and says so", async () => {
    const { survivors, victim, lost } = await open();
    await survivors[0].presence.join("s", "ann", "on a");
    await victim.ask({
      do: "join",
      joins: [
        ["s", "ann", "1"],
        ["s", "cid", "2"],
      ],
    });
    victim.pause();
    await until(() => lost.length >= 2);
    expect((await survivors[0].presence.list("s")).map(({ connection }) => connection)).toEqual(["on a"]);
    victim.resume();
    const restored = () => victim.reports.flatMap((report) => ("restored" in report ? [report.restored] : []));
    await until(() => restored().length >= 2);
    expect(restored().sort()).toEqual([
      ["s", "1", false],
      ["s", "2", true],
    ]);
    expect(await survivors[0].presence.list("s")).toHaveLength(3);
    await Bun.sleep(times.lease);
    expect(await survivors[0].presence.list("s")).toHaveLength(3);
    expect(lost).toHaveLength(2);
  });

  test("over a timer leaves it to another, which fires it again", async () => {
    const { survivors, victim } = await open();
    await victim.ask({ do: "hang", kind: "k" });
    await survivors[0].timers.set("k", "t", Date.now(), "p");
    await until(() => victim.reports.some((report) => "fired" in report));
    const fired: string[] = [];
    for (const { timers } of survivors) timers.handle("k", async (id, payload) => void fired.push(id + payload));
    // While it lives, its claim lasts, however long the handler takes.
    await Bun.sleep(1.5 * times.claim);
    expect(fired).toEqual([]);
    await victim.kill();
    await until(() => fired.length > 0);
    await Bun.sleep(2 * times.heartbeat);
    expect(fired).toEqual(["tp"]);
  });

  test("alone is buried by whoever comes after it", async () => {
    const prefix = freshPrefix(url);
    cleanUp.push(prefix.remove);
    const victim = await startNode({ url, keyPrefix: prefix.keyPrefix, times });
    cleanUp.push(() => victim.kill());
    await victim.ask({ do: "join", joins: [["s", "ann", "1"]] });
    await victim.kill();
    const next = await openNode({ url, keyPrefix: prefix.keyPrefix, times });
    cleanUp.push(() => next.close());
    const lost: string[] = [];
    next.presence.onLost((set, { member }, last) => lost.push(`${set} ${member} ${last}`));
    await until(() => lost.length > 0);
    expect(lost).toEqual(["s ann true"]);
    expect(await next.presence.list("s")).toEqual([]);
  });
});
