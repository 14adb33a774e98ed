import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Subject, subjects } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

// Long enough for the slowest machine where something must still be there, short where its end is waited for.
const long = 60_000;
const short = 60;
const soon = 800;

describe.each(subjects)("backplane, %s", (_name, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.close());

  test("is up, answers a ping and has a name", async () => {
    expect(subject.backplane.up).toBe(true);
    await subject.backplane.ping();
    expect(subject.backplane.node).toMatch(/^[\w-]{11}$/);
    expect(await subject.backplane.topics.nodes()).toEqual([subject.backplane.node]);
  });

  describe("records", () => {
    test("create makes a record once", async () => {
      const { records } = subject.backplane;
      expect(await records.create("a", { pin: "1" }, long)).toBe(true);
      expect(await records.create("a", { pin: "2" }, long)).toBe(false);
      expect(await records.read("a")).toEqual({ pin: "1" });
    });

    test("of many that create at the same time exactly one succeeds", async () => {
      const { records } = subject.backplane;
      const made = await Promise.all(
        Array.from({ length: 50 }, (_, by) => records.create("race", { by: `${by}` }, long)),
      );
      expect(made.filter(Boolean)).toHaveLength(1);
      expect(await records.read("race")).toEqual({ by: String(made.indexOf(true)) });
    });

    test("a record without fields is a record", async () => {
      const { records } = subject.backplane;
      expect(await records.create("bare", {}, long)).toBe(true);
      expect(await records.create("bare", {}, long)).toBe(false);
      expect(await records.read("bare")).toEqual({});
      expect(await records.update("bare", { x: "1" })).toBe(true);
      expect(await records.update("bare", { x: null })).toBe(true);
      expect(await records.take("bare")).toEqual({});
      expect(await records.read("bare")).toBeNull();
    });

    test("any text is a key, a field and a value", async () => {
      const { records } = subject.backplane;
      const odd = 'ü "{}"\0\r\n*\u{1f600}';
      await records.put(odd, { [odd]: odd, __proto__x: "y" }, long);
      expect(await records.read(odd)).toEqual({ [odd]: odd, __proto__x: "y" });
      expect(await records.take(odd)).toEqual({ [odd]: odd, __proto__x: "y" });
    });

    test("update sets and removes fields, and only of a living record", async () => {
      const { records } = subject.backplane;
      await records.put("u", { a: "1", b: "2" }, long);
      expect(await records.update("u", { a: "3", b: null, c: "4" })).toBe(true);
      expect(await records.read("u")).toEqual({ a: "3", c: "4" });
      expect(await records.update("nothing", { a: "1" })).toBe(false);
      expect(await records.read("nothing")).toBeNull();
    });

    test("update changes nothing when something else than expected is there", async () => {
      const { records } = subject.backplane;
      await records.put("e", { state: "open", n: "1" }, long);
      expect(await records.update("e", { state: "shut" }, { state: "open", n: "2" })).toBe(false);
      expect(await records.update("e", { state: "shut" }, { other: "" })).toBe(false);
      expect(await records.read("e")).toEqual({ state: "open", n: "1" });
      expect(await records.update("e", { state: "shut" }, { state: "open", n: "1" })).toBe(true);
      expect(await records.update("e", { state: "shut" }, { state: "open" })).toBe(false);
    });

    test("of many updates that expect the same exactly one succeeds", async () => {
      const { records } = subject.backplane;
      await records.put("cas", { owner: "" }, long);
      const won = await Promise.all(
        Array.from({ length: 50 }, (_, by) => records.update("cas", { owner: `${by}` }, { owner: "" })),
      );
      expect(won.filter(Boolean)).toHaveLength(1);
    });

    test("a record ends with its time, and an update neither prolongs nor revives it", async () => {
      const { records } = subject.backplane;
      await records.put("brief", { a: "1" }, short);
      await records.update("brief", { a: "2" });
      await subject.pass(short);
      expect(await records.read("brief")).toBeNull();
      expect(await records.update("brief", { a: "3" })).toBe(false);
      expect(await records.read("brief")).toBeNull();
      expect(await records.remove("brief")).toBe(false);
      expect(await records.create("brief", { a: "4" }, long)).toBe(true);
    });

    test("put replaces the whole record and its time", async () => {
      const { records } = subject.backplane;
      await records.put("p", { a: "1", b: "2" }, short);
      await records.put("p", { c: "3" }, long);
      await subject.pass(short);
      expect(await records.read("p")).toEqual({ c: "3" });
    });

    test("of many that take a record exactly one gets it", async () => {
      const { records } = subject.backplane;
      await records.put("t", { a: "1" }, long);
      const taken = await Promise.all(Array.from({ length: 20 }, () => records.take("t")));
      expect(taken.filter((record) => record !== null)).toEqual([{ a: "1" }]);
    });

    test("remove says whether there was one", async () => {
      const { records } = subject.backplane;
      await records.put("r", { a: "1" }, long);
      expect(await records.remove("r")).toBe(true);
      expect(await records.remove("r")).toBe(false);
    });
  });

  describe("presence", () => {
    test("counts a member's connections: the first join and the last leave are told", async () => {
      const { presence } = subject.backplane;
      expect(await presence.join("s", "ann", "1")).toEqual({ admitted: true, first: true, count: 1 });
      expect(await presence.join("s", "ann", "2")).toEqual({ admitted: true, first: false, count: 2 });
      expect(await presence.join("s", "bob", "1")).toEqual({ admitted: true, first: true, count: 1 });
      expect(await presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
      expect(await presence.leave("s", "ann", "2")).toEqual({ last: true, count: 0 });
      expect(await presence.leave("s", "ann", "2")).toEqual({ last: false, count: 0 });
      expect(await presence.leave("s", "bob", "1")).toEqual({ last: true, count: 0 });
      expect(await presence.list("s")).toEqual([]);
    });

    test("lists connections with their node and data, of a set or of one member", async () => {
      const { presence, node } = subject.backplane;
      const odd = 'ü "[]"\0/\u{1f600}';
      await presence.join(odd, odd, odd, { data: odd });
      await presence.join(odd, "bob", "b1");
      await presence.join(odd, "bob", "b2", { data: "x" });
      const bobs = [
        { member: "bob", connection: "b1", node, data: "" },
        { member: "bob", connection: "b2", node, data: "x" },
      ];
      expect(await presence.list(odd, odd)).toEqual([{ member: odd, connection: odd, node, data: odd }]);
      expect(await presence.list(odd, "bob")).toEqual(bobs);
      expect(await presence.list(odd)).toHaveLength(3);
      expect(await presence.list(odd)).toEqual(expect.arrayContaining(bobs));
      expect(await presence.list(odd, "nobody")).toEqual([]);
      expect(await presence.list("nothing")).toEqual([]);
    });

    test("joining again replaces the data and counts once", async () => {
      const { presence, node } = subject.backplane;
      await presence.join("again", "ann", "1", { data: "old" });
      expect(await presence.join("again", "ann", "1", { data: "new" })).toEqual({
        admitted: true,
        first: false,
        count: 1,
      });
      expect(await presence.list("again")).toEqual([{ member: "ann", connection: "1", node, data: "new" }]);
    });

    test("a limit holds against joins at the same time, and never against a connection that is in", async () => {
      const { presence } = subject.backplane;
      const joins = await Promise.all(
        Array.from({ length: 30 }, (_, index) => presence.join("limited", "ann", `${index}`, { limit: 3 })),
      );
      expect(joins.filter(({ admitted }) => admitted)).toHaveLength(3);
      expect(joins.filter(({ first }) => first)).toHaveLength(1);
      expect(joins.filter(({ admitted }) => !admitted).every(({ count, first }) => count === 3 && !first)).toBe(true);
      const [inside] = await presence.list("limited");
      expect(await presence.join("limited", "ann", inside!.connection, { limit: 3, data: "x" })).toEqual({
        admitted: true,
        first: false,
        count: 3,
      });
      expect(await presence.join("limited", "bob", "b", { limit: 0 })).toEqual({
        admitted: false,
        first: false,
        count: 0,
      });
      expect(await presence.list("limited")).toHaveLength(3);
    });
  });

  describe("tallies", () => {
    const slow = { rate: 0.01, burst: 5 };

    test("a bucket gives its burst, then says how long to wait", async () => {
      const { tallies } = subject.backplane;
      const takes = [];
      for (let index = 0; index < 7; index++) takes.push(await tallies.take("burst", slow));
      expect(takes.map(({ allowed }) => allowed)).toEqual([true, true, true, true, true, false, false]);
      expect(takes.slice(0, 5).every(({ wait }) => wait === 0)).toBe(true);
      expect(takes[6]!.wait).toBeGreaterThan(90_000);
      expect(takes[6]!.wait).toBeLessThanOrEqual(100_000);
      expect((await tallies.take("another", slow)).allowed).toBe(true);
    });

    test("takes at the same time share one bucket", async () => {
      const { tallies } = subject.backplane;
      const takes = await Promise.all(Array.from({ length: 40 }, () => tallies.take("shared", slow)));
      expect(takes.filter(({ allowed }) => allowed)).toHaveLength(5);
    });

    test("a bucket refills, and after the wait it told there is enough", async () => {
      const { tallies } = subject.backplane;
      const bucket = { rate: 20, burst: 2 };
      await tallies.take("refill", bucket, 2);
      const refused = await tallies.take("refill", bucket, 2);
      if (!refused.allowed) await subject.pass(refused.wait);
      expect(await tallies.take("refill", bucket, 2)).toEqual({ allowed: true, wait: 0 });
    });

    test("a cost above the burst is never there", async () => {
      expect(await subject.backplane.tallies.take("dear", slow, 6)).toEqual({ allowed: false, wait: Infinity });
    });

    test("a counter counts within the window its first count starts", async () => {
      const { tallies } = subject.backplane;
      expect(await tallies.count("c", long, 0)).toEqual({ count: 0, left: 0 });
      expect((await tallies.count("c", long)).count).toBe(1);
      expect((await tallies.count("c", long, 4)).count).toBe(5);
      const read = await tallies.count("c", long, 0);
      expect(read.count).toBe(5);
      expect(read.left).toBeGreaterThan(0);
      expect(read.left).toBeLessThanOrEqual(long);
    });

    test("a window ends and the next count starts another", async () => {
      const { tallies } = subject.backplane;
      await tallies.count("w", short, 3);
      await tallies.count("w", long, 0);
      await subject.pass(short);
      expect(await tallies.count("w", long, 0)).toEqual({ count: 0, left: 0 });
      expect((await tallies.count("w", long)).count).toBe(1);
    });

    test("places are limited, given back, and held again by who holds them", async () => {
      const { tallies } = subject.backplane;
      const held = await Promise.all(["a", "b", "c", "d"].map((item) => tallies.hold("h", item, 2, long)));
      expect(held.filter(Boolean)).toHaveLength(2);
      const [inside, outside] = [held.indexOf(true), held.indexOf(false)].map((index) => "abcd"[index]!);
      expect(await tallies.hold("h", inside!, 2, long)).toBe(true);
      expect(await tallies.hold("h", outside!, 2, long)).toBe(false);
      await tallies.release("h", inside!);
      await tallies.release("h", "nobody");
      expect(await tallies.hold("h", outside!, 2, long)).toBe(true);
      expect(await tallies.hold("h", inside!, 2, long)).toBe(false);
    });

    test("a place that is not held again ends by itself, each by its own time", async () => {
      const { tallies } = subject.backplane;
      expect(await tallies.hold("ttl", "stays", 2, long)).toBe(true);
      expect(await tallies.hold("ttl", "goes", 2, short)).toBe(true);
      await subject.pass(short);
      expect(await tallies.hold("ttl", "next", 2, long)).toBe(true);
      expect(await tallies.hold("ttl", "more", 2, long)).toBe(false);
    });
  });

  describe("timers", () => {
    let kinds = 0;
    /** A kind of its own, whose firings are collected. */
    const kind = () => `kind-${++kinds}`;

    test("a timer fires once with its payload, and not before its time", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      const fired: string[] = [];
      const at = subject.now() + short;
      const stop = timers.handle(name, async (id, payload) => {
        expect(subject.now()).toBeGreaterThanOrEqual(at);
        fired.push(`${id} ${payload}`);
      });
      await timers.set(name, "id ü", at, "payload\0{}");
      await subject.pass(short);
      await until(() => fired.length > 0);
      await subject.pass(short);
      expect(fired).toEqual(["id ü payload\0{}"]);
      expect(await timers.cancel(name, "id ü")).toBe(false);
      stop();
    });

    test("a timer without a handler waits for one", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      await timers.set(name, "late", subject.now() - 5, "x");
      await subject.pass(short);
      const fired: string[] = [];
      const stop = timers.handle(name, async (id) => void fired.push(id));
      await until(() => fired.length === 1);
      stop();
      await timers.set(name, "later", subject.now() - 5, "x");
      await subject.pass(short);
      expect(fired).toEqual(["late"]);
    });

    test("set moves a timer and cancel removes it", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      const fired: string[] = [];
      const stop = timers.handle(name, async (id, payload) => void fired.push(id + payload));
      await timers.set(name, "a", subject.now() + long, "1");
      await timers.set(name, "a", subject.now() + short, "2");
      await timers.set(name, "b", subject.now() + soon, "1");
      await timers.set(name, "b", subject.now() + long, "2");
      await timers.set(name, "c", subject.now() + soon, "1");
      expect(await timers.cancel(name, "c")).toBe(true);
      expect(await timers.cancel(name, "c")).toBe(false);
      await subject.pass(soon);
      await until(() => fired.length > 0);
      expect(fired).toEqual(["a2"]);
      expect(await timers.cancel(name, "b")).toBe(true);
      stop();
    });

    test("a handler that rejects gets its timer again", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      let tries = 0;
      const stop = timers.handle(name, async () => {
        tries++;
        if (tries < 3) throw new Error("not yet");
      });
      await timers.set(name, "a", subject.now(), "");
      await until(async () => {
        await subject.pass(tries < 3 ? 5_000 * Number(_name === "memory") : 0);
        return tries === 3;
      });
      await subject.pass(short);
      expect(tries).toBe(3);
      expect(await timers.cancel(name, "a")).toBe(false);
      expect(subject.log.count("timer handler failed, it will be tried again")).toBe(2);
      stop();
    });

    test("one handler at a time, and what is set while it runs is not lost", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      const payloads: string[] = [];
      let running = 0;
      let most = 0;
      const open = Promise.withResolvers<void>();
      const stop = timers.handle(name, async (_id, payload) => {
        running++;
        most = Math.max(most, running);
        payloads.push(payload);
        if (payload === "1") await open.promise;
        running--;
      });
      await timers.set(name, "a", subject.now(), "1");
      await subject.pass(0);
      await until(() => running === 1);
      await timers.set(name, "a", subject.now(), "2");
      await timers.set(name, "a", subject.now(), "3");
      await subject.pass(short);
      expect(payloads).toEqual(["1"]);
      open.resolve();
      await until(async () => {
        await subject.pass(0);
        return payloads.length === 2;
      });
      expect(payloads).toEqual(["1", "3"]);
      expect(most).toBe(1);
      stop();
    });

    test("what is cancelled while it runs is not tried again, nor what was set since", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      let fired = 0;
      const open = Promise.withResolvers<void>();
      const stop = timers.handle(name, async () => {
        fired++;
        await open.promise;
        throw new Error("failed");
      });
      await timers.set(name, "a", subject.now(), "");
      await subject.pass(0);
      await until(() => fired === 1);
      expect(await timers.cancel(name, "a")).toBe(false);
      await timers.set(name, "a", subject.now(), "");
      expect(await timers.cancel(name, "a")).toBe(true);
      open.resolve();
      await subject.pass(2 * short);
      await subject.pass(_name === "memory" ? long : short);
      expect(fired).toBe(1);
      stop();
    });

    test("a wave of timers all fire, some at a time", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      const fired = new Set<string>();
      let running = 0;
      let most = 0;
      const stop = timers.handle(name, async (id) => {
        most = Math.max(most, ++running);
        await Bun.sleep(1);
        fired.add(id);
        running--;
      });
      const at = subject.now() + 1;
      await Promise.all(Array.from({ length: 100 }, (_, index) => timers.set(name, `${index}`, at, "")));
      await subject.pass(1);
      await until(() => fired.size === 100);
      expect(most).toBeLessThanOrEqual(16);
      expect(most).toBeGreaterThan(1);
      stop();
    });

    test("a later handler takes the place of an earlier one, whose end then changes nothing", async () => {
      const { timers } = subject.backplane;
      const name = kind();
      const fired: string[] = [];
      const stopOld = timers.handle(name, async () => void fired.push("old"));
      const stopNew = timers.handle(name, async () => void fired.push("new"));
      stopOld();
      await timers.set(name, "a", subject.now(), "");
      await subject.pass(0);
      await until(() => fired.length === 1);
      expect(fired).toEqual(["new"]);
      stopNew();
    });
  });

  describe("topics", () => {
    test("publish does not come back, send to oneself does, after the call", async () => {
      const { topics, node } = subject.backplane;
      const heard: unknown[] = [];
      const stop = topics.subscribe("t", (message, from) => heard.push(message, from));
      topics.publish("t", "to others");
      topics.send(node, "t", "to me");
      topics.send(node, "other", "to nobody");
      topics.send("no such node", "t", "to nobody");
      expect(heard).toEqual([]);
      await until(() => heard.length > 0);
      expect(heard).toEqual(["to me", node]);
      stop();
      topics.send(node, "t", "again");
      await Bun.sleep(5);
      expect(heard).toHaveLength(2);
    });

    test("a listener that throws is kept and kept from nobody", async () => {
      const { topics, node } = subject.backplane;
      let good = 0;
      let bad = 0;
      const stops = [
        topics.subscribe("bad", () => {
          bad++;
          throw new Error("listener");
        }),
        topics.subscribe("bad", () => void good++),
      ];
      topics.send(node, "bad", "1");
      topics.send(node, "bad", "2");
      await until(() => good === 2);
      expect(bad).toBe(2);
      expect(subject.log.count("topic listener failed")).toBe(2);
      for (const stop of stops) stop();
    });

    test("the same listener twice is two subscriptions", async () => {
      const { topics, node } = subject.backplane;
      let heard = 0;
      const listener = () => void heard++;
      const stops = [topics.subscribe("two", listener), topics.subscribe("two", listener)];
      topics.send(node, "two", "");
      await until(() => heard === 2);
      stops[0]!();
      stops[0]!();
      topics.send(node, "two", "");
      await until(() => heard === 3);
      stops[1]!();
    });
  });
});
