import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { BackplaneUnavailable } from "../../src/backplane/backplane.ts";
import { testRedis } from "../support/redis.ts";
import { hear } from "./hear.ts";
import { RecordingLog } from "./recording-log.ts";
import { metrics } from "./subjects.ts";
import { until } from "./until.ts";
import { useOutage } from "./use-outage.ts";

setDefaultTimeout(60_000);

const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

describe.if((await testRedis()).available)("Redis away, topics:", () => {
  const outage = useOutage();

  test("costs no message in either direction, and no order", async () => {
    const [cut, other] = [await outage.open("proxy"), await outage.open("direct")];
    const [cutHeard, otherHeard] = [hear(cut, "t"), hear(other, "t")];
    let count = 0;
    const talk = setInterval(() => {
      cut.topics.publish("t", `${count}`);
      other.topics.publish("t", `${count}`);
      count++;
    }, 1);
    try {
      for (let round = 0; round < 3; round++) {
        await Bun.sleep(150);
        outage.proxy.cut();
        await Bun.sleep(400);
        outage.proxy.restore();
        await until(() => cut.up);
      }
    } finally {
      clearInterval(talk);
    }
    await until(() => cutHeard.length >= count && otherHeard.length >= count);
    expect(otherHeard).toEqual(numbers(count));
    expect(cutHeard).toEqual(numbers(count));
  });

  test("brings nothing from before the node opened", async () => {
    const other = await outage.open("direct");
    other.topics.publish("t", "before");
    await other.close();
    const [cut, talker] = [await outage.open("proxy"), await outage.open("direct")];
    const heard = hear(cut, "t");
    outage.proxy.cut();
    await until(() => !cut.up);
    outage.proxy.restore();
    await until(() => cut.up);
    talker.topics.publish("t", "after");
    await until(() => heard.includes("after"));
    expect(heard).toEqual(["after"]);
  });

  test("in the middle of a publication: it is sent again and arrives once", async () => {
    const [cut, other] = [await outage.open("proxy"), await outage.open("direct")];
    const heard = hear(other, "t");
    cut.topics.publish("t", "0");
    await until(() => heard.length === 1);
    // Redis takes the message, but its answer never comes.
    outage.proxy.mute();
    cut.topics.publish("t", "1");
    await until(() => heard.length === 2);
    cut.topics.publish("t", "2");
    outage.proxy.cut();
    await until(() => !cut.up);
    outage.proxy.restore();
    await until(() => heard.length >= 3);
    cut.topics.publish("t", "3");
    await until(() => heard.length >= 4);
    expect(heard).toEqual(numbers(4));
  });

  test("for long fills a bounded queue: the newest survive, the loss is told", async () => {
    const log = new RecordingLog();
    const [cut, other] = [await outage.open("proxy", { log }), await outage.open("direct")];
    const heard = hear(other, "t");
    const counted = async () => Number(/patchbay_dropped_node_messages_total (\d+)/.exec(await metrics.text())?.[1]);
    const before = await counted();
    outage.proxy.cut();
    await until(() => !cut.up);
    const filler = "x".repeat(100_000);
    for (let index = 0; index < 200; index++) cut.topics.publish("t", `${index} ${filler}`);
    cut.topics.publish("t", "y".repeat(9 * 1024 * 1024));
    outage.proxy.restore();
    await until(() => heard.at(-1)?.startsWith("199 ") === true);
    const first = Number(heard[0]!.split(" ")[0]);
    expect(heard.map((message) => message.split(" ")[0]!)).toEqual(numbers(200).slice(first));
    expect(heard.length).toBeGreaterThan(70);
    expect(heard.length).toBeLessThan(84);
    expect(log.count("message to other nodes is too large")).toBe(1);
    const told = log.lines.find(({ message }) => message === "messages to other nodes were dropped");
    expect(told?.fields).toEqual({ messages: first });
    // The one that was too large is lost as well.
    expect(await counted()).toBe(before + first + 1);
  });

  test("without a word, as when a cable is cut, is noticed", async () => {
    const [cut, other] = [await outage.open("proxy", { times: { command: 600 } }), await outage.open("direct")];
    const [cutHeard, otherHeard] = [hear(cut, "t"), hear(other, "t")];
    outage.proxy.stall();
    expect(await cut.ping().catch((error: unknown) => error)).toBeInstanceOf(BackplaneUnavailable);
    await until(() => !cut.up);
    cut.topics.publish("t", "1");
    other.topics.publish("t", "2");
    outage.proxy.cut();
    outage.proxy.restore();
    await until(() => cut.up && cutHeard.length > 0 && otherHeard.length > 0);
    expect(cutHeard).toEqual(["2"]);
    expect(otherHeard).toEqual(["1"]);
  });

  test("what is published right before closing is still sent", async () => {
    const [closing, other] = [await outage.open("direct"), await outage.open("direct")];
    const heard = hear(other, "t");
    for (let index = 0; index < 1_000; index++) closing.topics.publish("t", `${index}`);
    await closing.close();
    await until(() => heard.length === 1_000);
    expect(heard).toEqual(numbers(1_000));
  });
});
