import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MediaUnavailable } from "../../../../src/protocols/workspaces/media/media.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { HANGS, RunningTime } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Person, Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

describe.skipIf(!janusAvailable)("restarts of media servers and gateways", () => {
  let janus: TestJanus;
  let stage: Stage;

  beforeEach(async () => {
    janus = await startJanus();
    stage = await Stage.open([janus]);
  });

  afterEach(async () => {
    await stage.close();
    await janus.close();
  });

  const toldTo = ({ socketId }: Person) => stage.told.filter((told) => told.socketId === socketId);

  /** Joins audio and video by the options that were given at first. */
  async function rejoin({ userId, grant: { options } }: Person): Promise<string[]> {
    const client = await JanusClient.open(options);
    const joined = [await client.join("audiobridge", options, userId), await client.join("videoroom", options, userId)];
    await client.close();
    return joined;
  }

  test("W-10.21 W-10.23 W-10.24 kill -9 and restart: same rooms, same tokens; each socket hears of its own", async () => {
    const channelId = await stage.channel();
    const people = [
      await stage.enter(channelId),
      await stage.enter(channelId),
      await stage.enter(await stage.channel()),
    ];
    await stage.run(["probed"]);
    await janus.kill();
    await stage.run(["probed"]);
    for (const person of people) {
      expect(toldTo(person)).toEqual([{ socketId: person.socketId, userId: person.userId, data: { state: "down" } }]);
    }
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);

    await janus.start();
    await stage.run(["probed", "restored"]);
    for (const person of people) {
      expect(toldTo(person).slice(1)).toEqual([
        {
          socketId: person.socketId,
          userId: person.userId,
          data: { state: "up", connectionOptions: person.grant.options },
        },
      ]);
      expect(await rejoin(person)).toEqual(["joined", "joined"]);
    }
    const observer = await Observer.open(janus);
    const tokens = people.slice(0, 2).map(({ grant }) => grant.options.channelAuthToken);
    expect((await observer.allowed(await stage.roomOf(channelId)))[2]).toEqual(tokens.toSorted());

    // Nothing is told or done twice.
    await stage.run(["probed", "restored", "probed", "restored"]);
    expect(stage.told).toHaveLength(people.length * 2);
  });

  test("W-10.22 W-10.24 a restart between two probes is noticed as well", async () => {
    const person = await stage.enter(await stage.channel());
    await stage.run(["probed"]);
    await janus.kill();
    await janus.start();
    await stage.run(["probed", "restored"]);
    expect(toldTo(person).map(({ data }) => data)).toEqual([
      { state: "down" },
      { state: "up", connectionOptions: person.grant.options },
    ]);
    expect(await rejoin(person)).toEqual(["joined", "joined"]);
  });

  test("W-10.22 a restart that a select meets first costs those inside nothing", async () => {
    const channelId = await stage.channel();
    const inside = await stage.enter(channelId);
    await stage.run(["probed"]);
    await janus.kill();
    await janus.start();
    const entering = await stage.enter(channelId);
    expect(await rejoin(entering)).toEqual(["joined", "joined"]);
    await stage.run(["restored"]);
    expect(await rejoin(inside)).toEqual(["joined", "joined"]);
    await stage.run(["probed", "restored"]);
    expect(toldTo(inside).map(({ data }) => data.state)).toEqual(["down", "up"]);
  });

  test("W-10.23 who left while the server was away is not let in again", async () => {
    const channelId = await stage.channel();
    const [leaver, stayer] = [await stage.enter(channelId), await stage.enter(channelId)];
    await janus.kill();
    await stage.run(["probed"]);
    await stage.forget(leaver.socketId);
    stage.node.leave(leaver.grant.id);
    await stage.settled();
    await janus.start();
    await stage.run(["probed", "restored", "cleaned up"]);
    await stage.ended(leaver.grant);
    await expect(rejoin(leaver)).rejects.toThrow("Unauthorized request");
    const observer = await Observer.open(janus);
    const own = [stayer.grant.options.channelAuthToken];
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
  });

  test("W-10.20 a server that is away keeps nobody waiting, and serves when it comes", async () => {
    await janus.kill();
    const channelId = await stage.channel();
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    await stage.down(janus);
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    expect(stage.told).toEqual([]);
    await janus.start();
    await stage.run(["probed"]);
    expect(await rejoin(await stage.enter(channelId))).toEqual(["joined", "joined"]);
  });

  test("W-10.17 W-10.21 a server that hangs is given up after the timeout", async () => {
    await using stage = await Stage.open([janus], { settings: { WORKSPACES_JANUS_TIMEOUT: "5" } });
    const channelId = await stage.channel();
    await stage.enter(channelId);
    janus.pause();
    using since = new RunningTime();
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    expect(since.milliseconds).toBeLessThan(11_000);
    await stage.down(janus);
    janus.resume();
    await stage.run(["probed", "restored", "cleaned up"]);
    await stage.enter(channelId);
  });

  test("W-10.17 W-10.19 an admission ends after 10 s whatever a call may take, and what comes later is given back", async () => {
    await using patient = await Stage.open([janus], { settings: { WORKSPACES_JANUS_TIMEOUT: "300" } });
    const channelId = await patient.channel();
    await patient.enter(channelId);
    janus.pause();
    const started = performance.now();
    await expect(patient.enter(channelId)).rejects.toThrow("media took too long");
    expect(performance.now() - started).toBeGreaterThan(9_000);
    janus.resume();
    while ((await patient.grants()).length > 1) await Bun.sleep(10);
  });

  test("W-10.23 a hundred conversations are restored within 15 s", async () => {
    for (let count = 0; count < 100; count++) await stage.enter(await stage.channel());
    await stage.run(["probed"]);
    await janus.kill();
    await janus.start();
    using since = new RunningTime();
    await stage.run(["probed", "restored"]);
    expect(stage.told.filter(({ data }) => data.state === "up")).toHaveLength(100);
    // The 5 s until the probe come on top.
    expect(since.milliseconds).toBeLessThan(10_000);
  });

  test("a gateway that restarts goes on with what the one before it left", async () => {
    const channelId = await stage.channel();
    const before = await stage.enter(channelId);
    const former = stage.node;
    const observer = await Observer.open(janus);
    const tokensOfBoth = async () =>
      (await observer.tokens()).filter((token) => token !== before.grant.options.janusAuthToken);
    expect(await tokensOfBoth()).toHaveLength(1);
    await stage.abandon(former);
    const node = await stage.start();
    expect(await node.options(before.grant.id)).toEqual(before.grant.options);
    const second = await stage.enter(channelId);
    expect(second.grant.options.audioRoomId).toBe(before.grant.options.audioRoomId);
    expect(await rejoin(before)).toEqual(["joined", "joined"]);
    await stage.leave(second);
    await stage.leave(before);
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);

    // W-10.12: the token of the node that is gone goes, too.
    expect(await observer.tokens()).toHaveLength(2);
    await stage.run(["swept"]);
    expect(await observer.tokens()).toHaveLength(1);
  });

  test("W-10.22 gateway and server restart at the same time", async () => {
    const person = await stage.enter(await stage.channel());
    await stage.abandon(stage.node);
    await janus.kill();
    await janus.start();
    await stage.start();
    await stage.run(["probed", "restored"]);
    expect(toldTo(person).map(({ data }) => data.state)).toEqual(["down", "up"]);
    expect(await rejoin(person)).toEqual(["joined", "joined"]);
  });

  test("W-10.5 W-10.6 a node that stops takes its session and its token along", async () => {
    const person = await stage.enter(await stage.channel());
    expect(await janus.sessions()).toHaveLength(1);
    await stage.node.close();
    expect(await janus.sessions()).toEqual([]);
    expect(await janus.tokens()).toEqual([person.grant.options.janusAuthToken ?? ""]);
  });
});
