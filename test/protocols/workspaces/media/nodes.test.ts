import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { MediaServers } from "../../../../src/protocols/workspaces/media/media.ts";
import { mediaNodeTokens } from "../../../../src/protocols/workspaces/media/tables.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { testRedis } from "../../../support/redis.ts";
import { eventually, HANGS } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Relay, startRelay } from "./relay.ts";
import { type Person, Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

const { available } = await testRedis();

describe.skipIf(!janusAvailable || !available)("two gateways share media servers", () => {
  let janus: TestJanus;
  let relay: Relay;
  let stage: Stage;
  let one: MediaServers;
  let two: MediaServers;

  beforeEach(async () => {
    janus = await startJanus();
    relay = startRelay(janus);
    stage = await Stage.open([relay.janus], { nodes: 2 });
    [one, two] = stage.nodes as [MediaServers, MediaServers];
  });

  afterEach(async () => {
    await stage.close();
    await relay.close();
    await janus.close();
  });

  async function join({ userId, grant: { options } }: Person): Promise<string> {
    const client = await JanusClient.open(options);
    const answer = await client.join("videoroom", options, userId);
    await client.close();
    return answer;
  }

  test("W-8.4 people who enter an empty channel on both nodes at once meet in the same rooms", async () => {
    const channelId = await stage.channel();
    const nodes = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : two));
    const people = await Promise.all(nodes.map((node) => stage.enter(channelId, node)));
    expect(new Set(people.map(({ grant }) => grant.options.audioRoomId)).size).toBe(1);
    const tokens = people.map(({ grant }) => grant.options.channelAuthToken).toSorted();
    const observer = await Observer.open(janus);
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([tokens, tokens, tokens]);
    await stage.run(["restored"]);
    expect(stage.told).toEqual([]);
  });

  test("a grant of one node is read and ended by the other", async () => {
    const person = await stage.enter(await stage.channel(), one);
    expect(await two.options(person.grant.id)).toEqual(person.grant.options);
    await stage.leave(person, two);
    await expect(JanusClient.open(person.grant.options)).rejects.toThrow("Unauthorized request");
  });

  test("coming on one node while the last one leaves on the other ends with working rooms", async () => {
    const channelId = await stage.channel();
    const observer = await Observer.open(janus);
    for (let round = 0; round < 10; round++) {
      const first = await stage.enter(channelId, one);
      const [second] = await Promise.all([stage.enter(channelId, two), stage.leave(first, one)]);
      const own = [second.grant.options.channelAuthToken];
      expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
      await stage.leave(second, two);
    }
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
  });

  test("W-10.23 after a restart each conversation is restored by exactly one node, and told once", async () => {
    const people: Person[] = [];
    for (const node of [one, two, one, two]) people.push(await stage.enter(await stage.channel(), node));
    await stage.run(["probed"]);
    await janus.kill();
    await stage.run(["probed"]);
    await janus.start();
    relay.asked();
    await stage.run(["probed", "restored", "probed", "restored"]);
    expect(relay.asked().filter((request) => request === "create").length).toBe(
      // A control session for each node, three rooms for each conversation.
      2 + people.length * 3,
    );
    for (const person of people) {
      const told = stage.told.filter(({ socketId }) => socketId === person.socketId);
      expect(told.map(({ data }) => data.state)).toEqual(["down", "up"]);
      expect(await join(person)).toBe("joined");
    }
  });

  test("W-10.23 no node restores what another one is at", async () => {
    await stage.enter(await stage.channel(), one);
    await stage.run(["probed"]);
    await janus.kill();
    await stage.run(["probed"]);
    await janus.start();
    await stage.run(["probed"]);
    let other: Promise<void> | null = null;
    relay.asked();
    relay.spoil(async ({ body }) => {
      if (body.request !== "create") return false;
      other ??= stage.run(["restored"], two);
      await other;
      return false;
    });
    await stage.run(["restored"], one);
    relay.spoil(null);
    expect(relay.asked().filter((request) => request === "create")).toHaveLength(3);
    expect(stage.told.map(({ data }) => data.state)).toEqual(["down", "up"]);
  });

  /** A killed server is back and one node makes its rooms again; at the first of them somebody leaves by the other. */
  async function leaveDuringRestoration({ socketId, grant }: Person): Promise<void> {
    await stage.run(["probed"]);
    await janus.kill();
    await stage.run(["probed"]);
    await janus.start();
    await stage.run(["probed"]);
    const before = (await stage.grants()).length;
    let left: Promise<void> | null = null;
    relay.spoil(async ({ body }) => {
      if (body.request !== "create") return false;
      left ??= stage.forget(socketId).then(async () => {
        two.leave(grant.id);
        while ((await stage.grants()).length === before) await Bun.sleep(10);
      });
      await left;
      return false;
    });
    await stage.run(["restored"], one);
    relay.spoil(null);
  }

  test("W-10.23 who leaves while the rooms are restored is not let in again", async () => {
    const channelId = await stage.channel();
    const [leaver, stayer] = [await stage.enter(channelId, one), await stage.enter(channelId, two)];
    await leaveDuringRestoration(leaver);
    const observer = await Observer.open(janus);
    const own = [stayer.grant.options.channelAuthToken];
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
    expect(await observer.tokens()).not.toContain(leaver.grant.options.janusAuthToken ?? "");
  });

  test("W-10.14 rooms that are restored while the last one leaves are destroyed afterwards", async () => {
    const channelId = await stage.channel();
    const last = await stage.enter(channelId, one);
    await leaveDuringRestoration(last);
    await stage.run(["cleaned up"]);
    await stage.empty(channelId);
    const observer = await Observer.open(janus);
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
  });

  test("W-10.22 a restart between two probes is handled once, whichever node sees it first", async () => {
    const person = await stage.enter(await stage.channel(), one);
    await stage.run(["probed"]);
    await janus.kill();
    await janus.start();
    await stage.run(["probed", "restored"], two);
    await stage.run(["probed", "restored"], one);
    expect(stage.told.map(({ data }) => data)).toEqual([
      { state: "down" },
      { state: "up", connectionOptions: person.grant.options },
    ]);
    expect(await join(person)).toBe("joined");
  });

  test("W-10.12 what a node that died left with Janus is removed by the other", async () => {
    const channelId = await stage.channel();
    const [lost, other] = [await stage.enter(channelId, one), await stage.enter(channelId, two)];
    const observer = await Observer.open(janus);
    expect(await observer.tokens()).toHaveLength(4);
    await stage.abandon(one);
    await stage.forget(lost.socketId);
    stage.clock.shift(61_000);
    // The lease of a node that could not say goodbye ends some time later.
    await eventually(async () => {
      await stage.run(["swept"]);
      return (await stage.database.orm.select().from(mediaNodeTokens)).length === 1;
    });
    await stage.ended(lost.grant);
    const left = await observer.tokens();
    expect(left).toHaveLength(2);
    expect(left).toContain(other.grant.options.janusAuthToken ?? "");
    expect(await join(other)).toBe("joined");
  });
});
