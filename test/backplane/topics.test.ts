import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Subject, subjects } from "./subjects.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("topics, %s", (_name, open) => {
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
