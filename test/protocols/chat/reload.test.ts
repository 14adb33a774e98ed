import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { chat } from "../../../src/protocols/chat/protocol.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { confirmed, ends, received } from "./client.ts";
import { outcome, type Stage, Stages, sharesDatabase, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

const reload = (stage: Stage) => stage.gateway.gateway.reload([chat]);

test("a reload keeps sockets, their order and their limits, and messages of other nodes come once", async () => {
  const prefix = redis.available && sharesDatabase ? freshPrefix(redis.url) : null;
  const env = {
    CHAT_SEND_RATE: "1",
    CHAT_SEND_BURST: "100",
    ...(prefix ? { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix } : {}),
  };
  const here = await stages.start({ env });
  const there = prefix ? await stages.start({ env }) : here;
  const [alice, bobby] = await here.people(2);
  const room = await here.room(alice!, bobby!);
  const [a, b] = [await here.client(alice!), await there.client(bobby!)];
  for (let round = 0; round < 3; round++) {
    const ids = Array.from({ length: 10 }, (_, i) => a.send(room, `${round} ${i}`));
    // In the middle of them.
    await Promise.all([reload(here), reload(there)]);
    for (const id of ids) expect(await a.next()).toEqual(confirmed(id));
    for (let i = 0; i < 10; i++) expect(await b.next()).toEqual(received(room, alice!.id, `${round} ${i}`));
  }
  const sent = Array.from({ length: 100 }, () => a.send(room, "too many"));
  const answers = await Promise.all([a.confirmation(sent.at(-1)!)]);
  expect(answers[0]!.reason).toBe("rate limit exceeded");
  const again = await here.client(alice!);
  expect((await outcome(a)).end).toEqual(ends.newDevice);
  await there.administer("POST", `/admin/chat/users/${alice!.id}/kick`);
  expect(await outcome(again)).toEqual(told(ends.kicked));
  await here.stop();
  if (there !== here) await there.stop();
  await prefix?.remove();
});
