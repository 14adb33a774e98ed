import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MediaUnavailable } from "../../../../src/protocols/workspaces/media/media.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { HANGS } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Person, Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

/** Milliseconds; so many that what a test itself takes does not count beside them. */
const FAILOVER = 3_600_000;

describe.skipIf(!janusAvailable)("several media servers", () => {
  let servers: TestJanus[];
  let stage: Stage;

  beforeEach(async () => {
    servers = await Promise.all([startJanus(), startJanus()]);
    stage = await Stage.open(servers, { settings: { WORKSPACES_JANUS_FAILOVER: String(FAILOVER / 1000) } });
  });

  afterEach(async () => {
    await stage.close();
    await Promise.all(servers.map((server) => server.close()));
  });

  const urlOf = ({ grant }: Person) => grant.options.janusServerUrl;
  const serverOf = (person: Person) => servers.find(({ url }) => url === urlOf(person)) as TestJanus;

  async function join({ userId, grant: { options } }: Person): Promise<string> {
    const client = await JanusClient.open(options);
    const answer = await client.join("audiobridge", options, userId);
    await client.close();
    return answer;
  }

  test("W-10.26 a channel that becomes occupied goes where the fewest conversations are, and stays", async () => {
    const people: Person[] = [];
    for (let count = 0; count < 6; count++) people.push(await stage.enter(await stage.channel()));
    for (const { url } of servers) expect(people.filter((person) => urlOf(person) === url)).toHaveLength(3);
    const [first] = people;
    if (!first) throw new Error("nobody is there");
    for (let count = 0; count < 4; count++) expect(urlOf(await stage.enter(first.channelId))).toBe(urlOf(first));

    // One more conversation there than here: the next two go here, then there.
    const other = people.filter((person) => urlOf(person) !== urlOf(first));
    for (const person of other.slice(0, 2)) await stage.leave(person);
    for (const _ of [1, 2]) expect(urlOf(await stage.enter(await stage.channel()))).not.toBe(urlOf(first));
    // As many conversations, but fewer people.
    expect(urlOf(await stage.enter(await stage.channel()))).not.toBe(urlOf(first));
  });

  test("W-10.26 channels that become occupied at once are spread evenly", async () => {
    const channels = await Promise.all(Array.from({ length: 20 }, () => stage.channel()));
    const people = await Promise.all(channels.map((channelId) => stage.enter(channelId)));
    for (const { url } of servers) expect(people.filter((person) => urlOf(person) === url)).toHaveLength(10);
  });

  test("W-10.26 a server that is down gets no conversation, one that is occupied there waits", async () => {
    const inside = await stage.enter(await stage.channel());
    await serverOf(inside).kill();
    await stage.run(["probed"]);
    await expect(stage.enter(inside.channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    for (const _ of [1, 2, 3]) {
      const person = await stage.enter(await stage.channel());
      expect(urlOf(person)).not.toBe(urlOf(inside));
      expect(await join(person)).toBe("joined");
    }
  });

  test("W-10.25 conversations of a server that stays away move, with new tokens, and each socket hears of its own", async () => {
    const channelId = await stage.channel();
    const people = [await stage.enter(channelId), await stage.enter(channelId)];
    const [first] = people;
    if (!first) throw new Error("nobody is there");
    await serverOf(first).kill();
    await stage.run(["probed", "restored"]);
    stage.clock.shift(FAILOVER / 2);
    await stage.run(["probed", "restored"]);
    expect(stage.told.map(({ data }) => data.state)).toEqual(["down", "down"]);
    stage.clock.shift(FAILOVER / 2);
    await stage.run(["probed", "restored"]);
    expect(stage.told).toHaveLength(4);
    for (const person of people) {
      const told = stage.told.find(({ socketId, data }) => socketId === person.socketId && data.state === "up");
      if (told?.data.state !== "up") throw new Error("not told");
      const options = told.data.connectionOptions;
      expect(options).toEqual(await stage.node.options(person.grant.id));
      expect(options.audioRoomId).toBe(person.grant.options.audioRoomId);
      expect(options.janusServerUrl).not.toBe(urlOf(person));
      expect(options.janusAuthToken).not.toBe(person.grant.options.janusAuthToken);
      expect(options.channelAuthToken).not.toBe(person.grant.options.channelAuthToken);
      expect(await join({ ...person, grant: { ...person.grant, options } })).toBe("joined");
    }
    expect(urlOf(await stage.enter(channelId))).not.toBe(urlOf(first));
  });

  test("W-10.25 a server that was only cut off loses what has moved away from it", async () => {
    await using stage = await Stage.open(servers, { settings: { WORKSPACES_JANUS_TIMEOUT: "5" } });
    const channelId = await stage.channel();
    const person = await stage.enter(channelId);
    const former = serverOf(person);
    const observer = await Observer.open(former);
    former.pause();
    await stage.run(["probed"]);
    stage.clock.shift(FAILOVER);
    await stage.run(["restored"]);
    expect((await stage.node.options(person.grant.id)).janusServerUrl).not.toBe(urlOf(person));
    former.resume();
    await stage.run(["probed", "restored", "cleaned up"]);
    await stage.settled();
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
    expect(await observer.tokens()).not.toContain(person.grant.options.janusAuthToken ?? "");
    expect(
      await join({ ...person, grant: { ...person.grant, options: await stage.node.options(person.grant.id) } }),
    ).toBe("joined");
    await stage.leave(person);
    expect(await stage.grants()).toEqual([]);
    expect(await stage.hostings()).toEqual([]);
  });

  test("W-13.8 a server that is taken out of the settings loses its conversations, and in a day its records", async () => {
    const [first, second] = [await stage.enter(await stage.channel()), await stage.enter(await stage.channel())];
    const [stays, goes] = urlOf(first) === servers[0]?.url ? [first, second] : [second, first];
    await stage.abandon(stage.node);
    await stage.start(servers.filter((server) => server === serverOf(stays)));
    await stage.run(["probed", "restored", "swept"]);
    expect((await stage.node.options(goes.grant.id)).janusServerUrl).toBe(urlOf(stays));
    expect(await stage.node.options(stays.grant.id)).toEqual(stays.grant.options);
    const left = async () => {
      const rows = [...(await stage.grants()), ...(await stage.hostings())];
      return rows.filter(({ server }) => server === urlOf(goes)).length;
    };
    expect(await left()).toBe(2);
    stage.clock.shift(86_400_001);
    await stage.run(["swept"]);
    expect(await left()).toBe(0);
    expect(await stage.hostings()).toHaveLength(2);
  });

  test("W-10.25 nothing moves while there is no other server", async () => {
    const person = await stage.enter(await stage.channel());
    await Promise.all(servers.map((server) => server.kill()));
    await stage.run(["probed"]);
    stage.clock.shift(2 * FAILOVER);
    await stage.run(["probed", "restored"]);
    await serverOf(person).start();
    await stage.run(["probed", "restored"]);
    expect(await stage.node.options(person.grant.id)).toEqual(person.grant.options);
    expect(await join(person)).toBe("joined");
  });
});
