import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Frame, Socket } from "./socket.ts";
import { type Stage, Stages, type TestUnit } from "./stage.ts";

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

const env = { FLEET_COMMANDS: "getio,getver", FLEET_COMMANDS_PER_SECOND: "1000" };
const loc = { lat: 1, lon: 2 };

interface Command {
  readonly id: string;
  readonly cmd: string;
}

const ask = (client: Socket, id: string, { uid }: TestUnit, cmd: string) =>
  client.send({ type: "api", query: { id, uid, cmd } });
const answer = (tracker: Socket, { id, cmd }: Command) =>
  tracker.send({ t: "cmd-result", id, ok: true, text: `${cmd} done` });
const said = ({ params }: Frame) => [params.type, params.id, params.status ?? params.cmd ?? params.code];

describe("a reload of the code on one node", () => {
  const clock = new ManualClock(Date.now());
  let stage: Stage;
  beforeAll(async () => {
    // Each leap in time is shorter than the 10 s that a socket has to answer a ping.
    stage = await stages.start({ clock, env: { ...env, FLEET_LINK_GRACE_S: "8", FLEET_COMMAND_TIMEOUT_S: "8" } });
  });

  async function scene() {
    const unit = await stage.unit();
    const user = await stage.user(unit);
    const client = await stage.watcher(user);
    const tracker = await stage.device(unit);
    await client.ofType("connection");
    return { unit, user, client, tracker };
  }

  test("F-4.12 F-4.13 a command in flight is answered, those that wait follow in order, each once", async () => {
    const { unit, client, tracker } = await scene();
    for (const number of [1, 2, 3]) ask(client, `r${number}`, unit, `getver ${number}`);
    const first = await tracker.next<Command>();
    await stage.reload();
    expect(said(await client.next())).toEqual(["cmd-status", "r1", true]);
    answer(tracker, first);
    expect(said(await client.next())).toEqual(["cmd-parsed", "r1", "getver 1 done"]);
    const second = await tracker.next<Command>();
    await stage.reload();
    ask(client, "r4", unit, "getver 2");
    expect(said(await client.next())).toEqual(["cmd-status", "r2", true]);
    // The last is there before the second is answered.
    expect(await client.rest()).toEqual([]);
    answer(tracker, second);
    const next = [await client.next(), await client.next(), await client.next(), await client.next()];
    expect(next.map(said)).toEqual([
      ["cmd-parsed", "r2", "getver 2 done"],
      ["cmd-status", "r3", true],
      ["cmd-status", "r4", true],
      ["cmd-parsed", "r4", "getver 2 done"],
    ]);
    const third = await tracker.next<Command>();
    expect([second.cmd, third.cmd]).toEqual(["getver 2", "getver 3"]);
    expect(new Set([first.id, second.id, third.id]).size).toBe(3);
    await stage.reload();
    clock.advance(8_000);
    expect(said(await client.next())).toEqual(["error", "r3", "cmd-timeout"]);
    answer(tracker, third);
    expect(said(await client.next())).toEqual(["cmd-parsed", undefined, "getver 3 done"]);
    clock.advance(8_000);
    expect([await client.rest(), await tracker.rest()]).toEqual([[], []]);
  });

  test("F-5.1 F-5.27 F-12.33 sockets, links and messages to drivers go on, and nothing comes twice", async () => {
    const { unit, user, client, tracker } = await scene();
    const app = await stage.device(unit, "pnd");
    await client.ofType("pnd-connection");
    for (let round = 1; round <= 3; round++) {
      const rec = { tmx: new Date(clock.now() + round * 1000).toISOString(), loc, gsp: round };
      tracker.send({ t: "records", seq: round, records: [rec] });
      await stage.reload();
      expect(await tracker.text()).toBe(`{"t":"ack","seq":${round}}`);
      expect((await client.next()).params).toMatchObject({ type: "records", total: 1, lastRecord: { gsp: round } });
      const content = { type: "msg", txt: `text ${round}`, user_id: user.user_id, user_name: "D" };
      client.send({ type: "pnd-api", query: { uid: unit.uid, content } });
      expect(await app.next<object>()).toMatchObject({ t: "msg", txt: `text ${round}` });
      expect([(await client.next()).params.txs, (await client.next()).params.txs]).toEqual([0, 3]);
    }
    expect([await client.rest(), await tracker.rest(), await app.rest()]).toEqual([[], [], []]);
  });

  test("F-6.10 a link that is back within the grace makes no frames, one that is not makes one", async () => {
    const { unit, client, tracker } = await scene();
    const leave = async (link: Socket) => {
      link.close();
      await link.closed;
      // The server has seen its end when a newer socket has been answered.
      await stage.device(await stage.unit());
      await stage.reload();
    };
    await leave(tracker);
    clock.advance(6_000);
    const back = await stage.device(unit);
    clock.advance(6_000);
    expect(await client.rest()).toEqual([]);
    await leave(back);
    clock.advance(8_000);
    expect((await client.next()).params).toEqual({ type: "connection", status: 0 });
    expect(await client.rest()).toEqual([]);
  });
});

test.if(redis.available)("F-6.8 two nodes: commands and frames on their way between them come once", async () => {
  const prefix = freshPrefix(redis.url);
  try {
    const shared = { ...env, REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
    await using here = await stages.start({ env: shared });
    await using there = await stages.start({ env: shared });
    const unit = await here.unit();
    const client = await there.watcher(await here.user(unit));
    const tracker = await here.device(unit);
    await client.ofType("connection");
    for (let round = 0; round < 5; round++) {
      ask(client, `r${round}`, unit, `getver ${round}`);
      const rec = { tmx: new Date(here.clock.now() + round).toISOString(), loc, gsp: round };
      // In the middle of it.
      const reloads = Promise.all([here.reload(), there.reload()]);
      const command = await tracker.next<Command>();
      tracker.send({ t: "records", seq: round, records: [rec] });
      await tracker.text();
      await reloads;
      answer(tracker, command);
      const frames = [await client.next(), await client.next(), await client.next()].map(
        ({ params }) => `${params.type} ${params.id ?? (params.lastRecord as { gsp: number }).gsp}`,
      );
      expect(frames.sort()).toEqual([`cmd-parsed r${round}`, `cmd-status r${round}`, `records ${round}`]);
    }
    expect([await client.rest(), await tracker.rest()]).toEqual([[], []]);
  } finally {
    await prefix.remove();
  }
});
