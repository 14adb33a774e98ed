import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ConnectionOptions } from "../../../../src/protocols/workspaces/media/media.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { freshPrefix, testRedis } from "../../../support/redis.ts";
import type { Client } from "../client.ts";
import { eventually, HANGS, type Json, type Person, type Stage, Stages } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { environmentOf } from "./stage.ts";

setDefaultTimeout(HANGS);

const redis = await testRedis();

/** Through a listening gateway, with a stock client of generation 2.4 and a real Janus. */
describe.skipIf(!janusAvailable)("media through a gateway", () => {
  const env = () => environmentOf([janus]);
  let janus: TestJanus;
  let stages: Stages;
  let stage: Stage;
  let alice: Person;
  let bob: Person;
  let workspace: string;
  let channel: string;
  let a: Client;
  let b: Client;

  beforeAll(async () => {
    janus = await startJanus();
    stages = new Stages();
    stage = await stages.startTimed(env());
  });

  beforeEach(async () => {
    alice = await stage.person("Alice");
    workspace = await stage.workspace(alice);
    bob = await stage.member(workspace, alice, "Bob");
    channel = await stage.channel(workspace, alice);
    a = await stage.client(alice, workspace);
    b = await stage.client(bob, workspace);
  });

  afterEach(() => stage.leave());

  afterAll(async () => {
    await stages.stop();
    await janus.close();
  });

  async function select(client: Client, into = channel): Promise<ConnectionOptions> {
    return (await stage.must(stage.select(client, into))).connectionOptions;
  }

  async function join(options: ConnectionOptions, display: string): Promise<string[]> {
    const client = await JanusClient.open(options);
    const joined = [
      await client.join("audiobridge", options, display),
      await client.join("videoroom", options, display),
    ];
    await client.close();
    return joined;
  }

  /** Resolves when the server has forgotten a token. */
  const refused = ({ janusAuthToken }: ConnectionOptions) =>
    eventually(async () => !(await janus.tokens()).includes(janusAuthToken ?? ""));

  /** What a client is told next of its media server, while time passes. */
  async function mediaState(client: Client): Promise<unknown> {
    const [, payload] = await eventually(async () => {
      const told = (await client.rest()).find(([, heard]) => (heard as Json)?.action === "media-server-state");
      if (!told) await stage.pass(1_000);
      return told;
    });
    const { userId, data } = payload as Json;
    return { userId, data };
  }

  test("W-10.13 W-11.27 tokens of conversations that ended with the only node go at its restart", async () => {
    await using before = await stages.start({ env: env() });
    const person = await before.person("Carol");
    const place = await before.workspace(person);
    const client = await before.client(person, place);
    const { connectionOptions } = await before.must(before.select(client, await before.channel(place, person)));
    expect(await janus.tokens()).toContain(connectionOptions.janusAuthToken);
    await before.stop();
    // Its time stands still: nothing is swept.
    await using _after = await stages.startTimed(env());
    await refused(connectionOptions);
  });

  test("W-4.70 W-10.28 who selects can join, W-4.71 W-10.13 and who unselects no longer", async () => {
    const [ofAlice, ofBob] = [await select(a), await select(b)];
    expect(ofBob.audioRoomId).toBe(ofAlice.audioRoomId);
    expect(await join(ofAlice, alice.id)).toEqual(["joined", "joined"]);
    expect(await join(ofBob, bob.id)).toEqual(["joined", "joined"]);
    await stage.must(stage.unselect(b, channel));
    await refused(ofBob);
    expect(await join(ofAlice, alice.id)).toEqual(["joined", "joined"]);
    await stage.must(stage.unselect(a, channel));
    await refused(ofAlice);
  });

  test("W-8.15 W-10.18 who is kicked from the workspace is out of Janus", async () => {
    await select(a);
    const options = await select(b);
    const client = await JanusClient.open(options);
    expect(await client.join("videoroom", options, bob.id)).toBe("joined");
    await stage.must(stage.delete(`/workspaces/${workspace}/members/${bob.id}`, alice));
    await refused(options);
    expect(await client.join("videoroom", options, bob.id).catch((error: Error) => error.message)).toContain(
      "Unauthorized request",
    );
  });

  test("W-8.5 selecting on another device ends the tokens of the first one", async () => {
    const first = await select(b);
    const second = await select(await stage.client(bob, workspace));
    await refused(first);
    expect(await join(second, bob.id)).toEqual(["joined", "joined"]);
  });

  test("W-8.22 W-8.23 a take-over keeps the tokens", async () => {
    const options = await select(b);
    b.drop();
    await b.until("disconnect");
    const back = await stage.connect(bob);
    const resumed = await back.auth(workspace, { prevSocketId: b.id });
    const { janusAuthToken: serverAuthToken, ...others } = options;
    expect(resumed).toMatchObject({ reconnected: true, channelId: channel, serverAuthToken, ...others });
    await stage.pass(70_000);
    expect(await join(options, bob.id)).toEqual(["joined", "joined"]);
  });

  test("W-8.19 W-10.13 when the grace ends so do the tokens", async () => {
    const options = await select(b);
    b.drop();
    await b.until("disconnect");
    await stage.pass(61_000);
    // The gateway may have noticed the loss when some of that had passed.
    await eventually(async () => {
      if (!(await janus.tokens()).includes(options.janusAuthToken ?? "")) return true;
      await stage.pass(1_000);
    });
  });

  test("W-10.22 W-10.23 W-10.24 a restart of Janus: each is told of the server and given its own options", async () => {
    const [ofAlice, ofBob] = [await select(a), await select(b)];
    await stage.pass(6_000);
    await janus.kill();
    expect(await mediaState(a)).toEqual({ userId: alice.id, data: { state: "down" } });
    expect(await mediaState(b)).toEqual({ userId: bob.id, data: { state: "down" } });
    await janus.start();
    expect(await mediaState(a)).toEqual({ userId: alice.id, data: { state: "up", connectionOptions: ofAlice } });
    expect(await mediaState(b)).toEqual({ userId: bob.id, data: { state: "up", connectionOptions: ofBob } });
    expect(await join(ofAlice, alice.id)).toEqual(["joined", "joined"]);
    expect(await join(ofBob, bob.id)).toEqual(["joined", "joined"]);
  });

  test("W-10.19 W-8.2 without Janus select answers 503 and leaves everything as it was", async () => {
    const other = await stage.channel(workspace, alice, { name: "Another" });
    const options = await select(b);
    await a.rest();
    await b.rest();
    await janus.kill();
    const { status, body } = await stage.select(b, other);
    expect({ status, message: body.message }).toEqual({ status: 503, message: "Media server is unavailable" });
    expect(await stage.inside(channel, alice)).toEqual([bob.id]);
    expect(await stage.inside(other, alice)).toEqual([]);
    expect(await a.names()).toEqual([]);
    // W-10.15, W-10.20: all else goes on.
    await stage.must(stage.unselect(b, channel));
    expect(await a.names()).toEqual(["user-unselected-channel"]);
    await janus.start();
    await stage.pass(6_000);
    const again = await eventually(async () => {
      const answer = await stage.select(b, channel);
      return answer.status === 200 && (answer.body.connectionOptions as ConnectionOptions);
    });
    expect(again.audioRoomId).toBe(options.audioRoomId);
    expect(await join(again, bob.id)).toEqual(["joined", "joined"]);
  });

  test.skipIf(!redis.available)(
    "two gateways: one conversation in one pair of rooms, and none is lost with either",
    async () => {
      const { keyPrefix, remove } = freshPrefix(redis.url);
      await using keys = new AsyncDisposableStack();
      keys.defer(remove);
      const shared = { ...env(), REDIS_URL: redis.url, KEY_PREFIX: keyPrefix };
      await stage.stop();
      await using one = await stages.start({ env: shared });
      await using two = await stages.start({ env: shared });
      const [there, here] = [await one.client(alice, workspace), await two.client(bob, workspace)];
      const ofAlice: ConnectionOptions = (await one.must(one.select(there, channel))).connectionOptions;
      const ofBob: ConnectionOptions = (await two.must(two.select(here, channel))).connectionOptions;
      expect(ofBob.audioRoomId).toBe(ofAlice.audioRoomId);

      // W-8.22: back on the other gateway, with the same tokens.
      there.drop();
      await there.until("disconnect");
      await one.stop();
      const back = await two.connect(alice);
      expect(await back.auth(workspace, { prevSocketId: there.id })).toMatchObject({
        reconnected: true,
        channelId: channel,
        serverAuthToken: ofAlice.janusAuthToken,
        channelAuthToken: ofAlice.channelAuthToken,
      });
      expect(await join(ofAlice, alice.id)).toEqual(["joined", "joined"]);
      expect(await join(ofBob, bob.id)).toEqual(["joined", "joined"]);

      await two.must(two.unselect(back, channel));
      await two.must(two.unselect(here, channel));
      await refused(ofAlice);
      await refused(ofBob);
    },
  );
});
