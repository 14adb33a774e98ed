import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { long, type Subject, short, subjects } from "./subjects.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("tallies, %s", (_name, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.close());

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
    // More than one where the tokens were back before the next was asked for.
    let taken = await tallies.take("refill", bucket, 2);
    while (taken.allowed) taken = await tallies.take("refill", bucket, 2);
    await subject.pass(taken.wait);
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
