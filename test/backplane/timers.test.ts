import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { long, type Subject, short, subjects } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("timers, %s", (_name, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.close());

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
    expect(await timers.cancel(name, "c")).toBe(false);
    // In one go: none of them can fall due before it is moved or removed.
    const done = await Promise.all([
      timers.set(name, "a", subject.now() + short, "2"),
      timers.set(name, "b", subject.now() + short, "1"),
      timers.set(name, "b", subject.now() + long, "2"),
      timers.set(name, "c", subject.now() + short, "1"),
      timers.cancel(name, "c"),
      timers.cancel(name, "c"),
    ]);
    expect(done.slice(-2)).toEqual([true, false]);
    await subject.pass(short);
    await until(() => fired.length > 0);
    expect(fired).toEqual(["a2"]);
    expect(await timers.cancel(name, "b")).toBe(true);
    stop();
  });

  test("pending are those still to fire: not the one that fires, unless it was set anew", async () => {
    const { timers } = subject.backplane;
    const name = kind();
    const many = Array.from({ length: 1_200 }, (_, index) => `id ${index} ü`);
    await Promise.all(many.map((id) => timers.set(name, id, subject.now() + long, "")));
    expect(await timers.pending(name, ["nobody", ...many])).toEqual(new Set(many));
    await Promise.all(many.map((id) => timers.cancel(name, id)));
    expect(await timers.pending(name, many)).toEqual(new Set());
    expect(await timers.pending(name, [])).toEqual(new Set());
    let firing = false;
    const open = Promise.withResolvers<void>();
    const stop = timers.handle(name, async () => {
      firing = true;
      await open.promise;
    });
    await timers.set(name, "a", subject.now(), "");
    await subject.pass(0);
    await until(() => firing);
    expect(await timers.pending(name, ["a"])).toEqual(new Set());
    await timers.set(name, "a", subject.now() + long, "");
    expect(await timers.pending(name, ["a"])).toEqual(new Set(["a"]));
    await timers.cancel(name, "a");
    expect(await timers.pending(name, ["a"])).toEqual(new Set());
    open.resolve();
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
      await subject.pass(subject.retry);
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
    await subject.pass(short);
    await subject.pass(2 * subject.retry);
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
