import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq } from "drizzle-orm";
import { connections } from "../../../../src/protocols/workspaces/tables.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { HANGS } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Relay, startRelay } from "./relay.ts";
import { Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

const REFUSED = "Unauthorized (not in the allowed list)";

describe.skipIf(!janusAvailable)("tokens for media", () => {
  let janus: TestJanus;
  let relay: Relay;
  let stage: Stage;
  let observer: Observer;

  beforeAll(async () => {
    janus = await startJanus();
    relay = startRelay(janus);
    stage = await Stage.open([relay.janus]);
    observer = await Observer.open(janus);
  });

  afterAll(async () => {
    await stage.close();
    await relay.close();
    await janus.close();
  });

  test("W-3.23 W-10.28 the options let a client open the server and join audio and video", async () => {
    const { userId, grant } = await stage.enter(await stage.channel());
    const { options } = grant;
    expect(options).toEqual({
      janusServerUrl: relay.janus.url,
      janusWsServerUrl: relay.janus.url.replace("http", "ws"),
      janusAuthToken: expect.stringMatching(/^[0-9a-f]{50}$/),
      channelAuthToken: expect.stringMatching(/^[0-9a-f]{50}$/),
      audioRoomId: expect.any(Number),
      videoRoomId: options.audioRoomId,
    });
    expect(options.audioRoomId).toBeGreaterThan(0);
    expect(options.audioRoomId).toBeLessThan(2 ** 48);
    const client = await JanusClient.open(options);
    expect(await client.join("audiobridge", options, userId)).toBe("joined");
    expect(await client.join("videoroom", options, userId)).toBe("joined");
    await client.close();
  });

  test("W-10.10 W-10.11 all three rooms let in the listed token, and nobody without one", async () => {
    const { userId, channelId, grant } = await stage.enter(await stage.channel());
    const { options } = grant;
    const own = [options.channelAuthToken];
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
    const client = await JanusClient.open(options);
    for (const plugin of ["audiobridge", "videoroom"] as const) {
      expect(await client.join(plugin, { ...options, channelAuthToken: null }, userId)).toBe(REFUSED);
      expect(await client.join(plugin, { ...options, channelAuthToken: options.janusAuthToken }, userId)).toBe(REFUSED);
    }
    await client.close();
  });

  test("W-10.12 tokens are on record, sealed, before Janus hears of them", async () => {
    const channelId = await stage.channel();
    const unknown: unknown[] = [];
    relay.spoil(async ({ janus, token, body }) => {
      const known = (await stage.grants()).map((row) => stage.seal.open(row.serverToken));
      const inRooms = (await stage.grants()).map((row) => stage.seal.open(row.channelToken));
      if (janus === "add_token" && !known.includes(token ?? "")) unknown.push(token);
      if (body.request === "allowed" && !inRooms.includes((body.allowed as string[])[0] ?? "")) unknown.push(body);
      return false;
    });
    const { grant } = await stage.enter(channelId);
    relay.spoil(null);
    expect(unknown).toEqual([]);
    const row = (await stage.grants()).find(({ id }) => id === grant.id);
    expect(row?.serverToken).not.toContain(grant.options.janusAuthToken ?? "");
    expect(stage.seal.open(row?.serverToken ?? "")).toBe(grant.options.janusAuthToken ?? "");
    expect(stage.seal.open(row?.channelToken ?? "")).toBe(grant.options.channelAuthToken ?? "");
  });

  test("W-10.13 who left is refused by the server and by all three rooms, others stay in", async () => {
    const channelId = await stage.channel();
    const [leaver, stayer] = [await stage.enter(channelId), await stage.enter(channelId)];
    const { options } = leaver.grant;
    await stage.leave(leaver);

    await expect(JanusClient.open(options)).rejects.toThrow("Unauthorized request");
    const rest = [stayer.grant.options.channelAuthToken];
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([rest, rest, rest]);
    const other = await JanusClient.open(stayer.grant.options);
    expect(await other.join("audiobridge", options, leaver.userId)).toBe(REFUSED);
    expect(await other.join("videoroom", options, leaver.userId)).toBe(REFUSED);
    expect(await other.join("videoroom", stayer.grant.options, stayer.userId)).toBe("joined");
    await other.close();
    expect((await stage.node.options(leaver.grant.id)).janusAuthToken).toBeNull();
    expect((await stage.grants()).some(({ id }) => id === leaver.grant.id)).toBe(false);
  });

  test("W-10.14 the last one takes the rooms along; W-10.8 the number stays with the channel", async () => {
    const channelId = await stage.channel();
    const first = await stage.enter(channelId);
    const room = await stage.roomOf(channelId);
    const before = await observer.tokens();
    await stage.leave(first);
    expect(await observer.allowed(room)).toEqual([null, null, null]);
    expect(before.filter((token) => token === first.grant.options.janusAuthToken)).toHaveLength(1);
    expect(await observer.tokens()).not.toContain(first.grant.options.janusAuthToken ?? "");
    expect((await stage.hostings()).some((row) => row.channelId === channelId)).toBe(false);

    const second = await stage.enter(channelId);
    expect(second.grant.options.audioRoomId).toBe(first.grant.options.audioRoomId);
    expect(second.grant.options.channelAuthToken).not.toBe(first.grant.options.channelAuthToken);
  });

  test("W-10.14 rooms go as well when their channel is deleted meanwhile", async () => {
    const channelId = await stage.channel();
    const person = await stage.enter(channelId);
    const room = await stage.roomOf(channelId);
    await stage.deleteChannel(channelId);
    await stage.leave(person);
    expect(await observer.allowed(room)).toEqual([null, null, null]);
  });

  test("W-10.13 a sweep ends grants that no connection holds, but for young ones", async () => {
    const channelId = await stage.channel();
    const [lost, held] = [await stage.enter(channelId), await stage.enter(channelId)];
    stage.clock.shift(61_000);
    const young = await stage.enter(channelId);
    for (const { socketId } of [lost, young]) await stage.forget(socketId);
    await stage.run(["swept"]);
    await stage.ended(lost.grant);
    const tokens = await observer.tokens();
    expect(tokens).not.toContain(lost.grant.options.janusAuthToken ?? "");
    for (const { grant } of [held, young]) {
      expect(tokens).toContain(grant.options.janusAuthToken ?? "");
      expect(await stage.node.options(grant.id)).toEqual(grant.options);
    }
  });

  test("W-8.22 a grant outlives the socket id it was given to", async () => {
    const person = await stage.enter(await stage.channel());
    const id = crypto.randomUUID();
    await stage.database.orm.update(connections).set({ id }).where(eq(connections.id, person.socketId));
    stage.clock.shift(61_000);
    await stage.run(["swept"]);
    await stage.settled();
    expect(await stage.node.options(person.grant.id)).toEqual(person.grant.options);
  });

  test("W-10.18 who is expelled is kicked from audio and video, nobody else is", async () => {
    const channelId = await stage.channel();
    const [guest, host] = [await stage.enter(channelId), await stage.enter(channelId)];
    const clients = await Promise.all(
      [guest, host].map(async ({ userId, grant }) => {
        const client = await JanusClient.open(grant.options);
        expect(await client.join("audiobridge", grant.options, userId)).toBe("joined");
        expect(await client.join("videoroom", grant.options, userId)).toBe("joined");
        return client;
      }),
    );
    await stage.forget(guest.socketId);
    stage.node.expel(guest.grant.id, guest.userId);
    await stage.ended(guest.grant);
    const { room, secret } = await stage.roomOf(channelId);
    for (const plugin of ["audiobridge", "videoroom"] as const) {
      // Janus answers a kick before it is through with it.
      let displays: string[];
      do {
        const { participants } = await observer.message(plugin, { request: "listparticipants", room, secret });
        displays = (participants as { display: string }[]).map(({ display }) => display);
      } while (displays.includes(guest.userId));
      expect(displays).toEqual([host.userId]);
    }
    await clients[1]?.close();
  });

  test("W-10.18 who is expelled on one device and comes back on another stays", async () => {
    const channelId = await stage.channel();
    const first = await stage.enter(channelId);
    const grant = await stage.node.admit({ channelId, userId: first.userId, connection: "another device" });
    const client = await JanusClient.open(grant.options);
    expect(await client.join("videoroom", grant.options, first.userId)).toBe("joined");
    relay.asked();
    await stage.forget(first.socketId);
    stage.node.expel(first.grant.id, first.userId);
    await stage.ended(first.grant);
    expect(relay.asked()).not.toContain("kick");
    await client.close();
  });

  test("leaving with an unknown grant, or none, does nothing", async () => {
    stage.node.leave(null);
    stage.node.leave("nonsense");
    stage.node.leave(crypto.randomUUID());
    expect((await stage.node.options("nonsense")).audioRoomId).toBeNull();
    expect((await stage.node.options(null)).audioRoomId).toBeNull();
  });

  test("W-13.16 a select into a live room takes four calls; W-10.17 none of them twice", async () => {
    const channelId = await stage.channel();
    await stage.enter(channelId);
    relay.asked();
    await stage.enter(channelId);
    expect(relay.asked().toSorted()).toEqual(["add_token", "allowed", "allowed", "allowed"]);
  });
});
