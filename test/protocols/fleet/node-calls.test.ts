import { afterAll, describe, expect, test } from "bun:test";
import { NodeCalls } from "../../../src/protocols/fleet/commands/node-calls.ts";
import { openNode } from "../../backplane/subjects.ts";
import { ManualClock } from "../../support/clock.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";

const { available, url } = await testRedis();
const { keyPrefix, remove } = freshPrefix(url);
const cleanUp: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const step of cleanUp) await step();
  await remove();
});

describe.if(available)("commands on another node", () => {
  test("F-4.8 one whose fate gets lost on the way is refused when nothing can come of it any more", async () => {
    const [here, there] = await Promise.all([openNode({ url, keyPrefix }), openNode({ url, keyPrefix })]);
    cleanUp.push(
      () => here.close(),
      () => there.close(),
    );
    const heard: string[] = [];
    const run = Promise.withResolvers<void>();
    // That node is there, and then none of its words arrives.
    there.topics.subscribe("fleet:commands", (message, from) => {
      const { t, call } = JSON.parse(String(message));
      heard.push(t);
      if (t === "hail") there.topics.send(from, "fleet:commands", JSON.stringify({ t: "here", call }));
      if (t === "run") run.resolve();
    });
    const clock = new ManualClock(0);
    const calls = new NodeCalls({ backplane: here, clock });
    const command = { uid: 1, cmd: "getio", cr: false, asker: { channel: "c", id: "a", user: 1 } };
    const { accepted } = calls.run(there.node, command, 60_000);
    await run.promise;
    let answer: boolean | undefined;
    void accepted.then((isAccepted) => {
      answer = isAccepted;
    });
    clock.advance(59_999);
    await Promise.resolve();
    expect(answer).toBeUndefined();
    clock.advance(1);
    expect(await accepted).toBe(false);
    expect(heard).toEqual(["hail", "run"]);
  });
});
