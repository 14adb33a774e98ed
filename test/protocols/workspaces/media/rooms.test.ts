import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MediaUnavailable } from "../../../../src/protocols/workspaces/media/media.ts";
import { RoomNumbers } from "../../../../src/protocols/workspaces/media/room-numbers.ts";
import { Seal } from "../../../../src/protocols/workspaces/seal.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Relay, startRelay } from "./relay.ts";
import { Stage } from "./stage.ts";

const plugins = ["audiobridge", "videoroom", "textroom"] as const;

describe.skipIf(!janusAvailable)("rooms for media", () => {
  let janus: TestJanus;
  let relay: Relay;
  let stage: Stage;
  let observer: Observer;

  beforeAll(async () => {
    janus = await startJanus();
    relay = startRelay(janus);
    stage = await Stage.open([relay.janus], { settings: { WORKSPACES_JANUS_TIMEOUT: "2" } });
    observer = await Observer.open(janus);
  });

  afterAll(async () => {
    await stage.close();
    await relay.close();
    await janus.close();
  });

  const creations = () => relay.requests.filter(({ body }) => body.request === "create").map(({ body }) => body);

  test("W-10.9 rooms are made with what the contract asks for", async () => {
    const channelId = await stage.channel();
    const { grant } = await stage.enter(channelId);
    const { room, secret } = await stage.roomOf(channelId);
    expect(secret).toMatch(/^[0-9a-f]{50}$/);
    expect(grant.options.audioRoomId).toBe(room);
    const common = { room, secret, request: "create", description: channelId, permanent: false, is_private: true };
    const made = creations().filter((body) => body.room === room);
    expect(made).toHaveLength(3);
    expect(made).toContainEqual({
      ...common,
      admin_key: janus.keys.audiobridge,
      allowed: [],
      sampling_rate: 48000,
      audiolevel_event: true,
      audio_active_packets: 25,
      audio_level_average: 30,
    });
    expect(made).toContainEqual({ ...common, admin_key: janus.keys.videoroom, allowed: [], publishers: 32 });
    expect(made).toContainEqual({ ...common, admin_key: janus.keys.textroom, allowed: [] });
  });

  test("W-8.4 a hundred at once make the rooms of an empty channel once, and all are let in", async () => {
    const channelId = await stage.channel();
    const before = creations().length;
    const people = await Promise.all(Array.from({ length: 100 }, () => stage.enter(channelId)));
    expect(creations().length - before).toBe(3);
    const tokens = people.map(({ grant }) => grant.options.channelAuthToken).toSorted();
    expect(new Set(tokens).size).toBe(100);
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([tokens, tokens, tokens]);

    for (const { socketId, grant } of people) {
      await stage.forget(socketId);
      stage.node.leave(grant.id);
    }
    for (const { grant } of people) await stage.ended(grant);
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
  });

  test("coming and going at once leaves either rooms with exactly those inside, or none", async () => {
    const channelId = await stage.channel();
    for (let round = 0; round < 10; round++) {
      const first = await stage.enter(channelId);
      const [second] = await Promise.all([stage.enter(channelId), stage.leave(first)]);
      const own = [second.grant.options.channelAuthToken];
      expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
      await stage.leave(second);
    }
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
  });

  test("W-10.16 rooms that are gone are made again, and those inside get their tokens back", async () => {
    const channelId = await stage.channel();
    const first = await stage.enter(channelId);
    const rooms = await stage.roomOf(channelId);
    for (const plugin of plugins) await observer.message(plugin, { request: "destroy", ...rooms });
    const second = await stage.enter(channelId);
    await stage.run(["restored"]);
    const both = [first, second].map(({ grant }) => grant.options.channelAuthToken).toSorted();
    expect(await observer.allowed(rooms)).toEqual([both, both, both]);
  });

  test("W-8.4 rooms that are gone are made again for many who come at once", async () => {
    const channelId = await stage.channel();
    const people = [await stage.enter(channelId)];
    const rooms = await stage.roomOf(channelId);
    for (const plugin of plugins) await observer.message(plugin, { request: "destroy", ...rooms });
    people.push(...(await Promise.all(Array.from({ length: 10 }, () => stage.enter(channelId)))));
    await stage.run(["restored"]);
    const tokens = people.map(({ grant }) => grant.options.channelAuthToken).toSorted();
    expect(await observer.allowed(rooms)).toEqual([tokens, tokens, tokens]);
  });

  test("W-10.16 rooms of the same number that are not ours do not count as made", async () => {
    const channelId = await stage.channel();
    const person = await stage.enter(channelId);
    const { room } = await stage.roomOf(channelId);
    await stage.leave(person);
    const stranger = { request: "create", room, secret: "another", admin_key: janus.keys.videoroom };
    await observer.message("videoroom", stranger);

    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    await observer.message("videoroom", { ...stranger, request: "destroy" });
    const again = await stage.enter(channelId);
    const client = await JanusClient.open(again.grant.options);
    expect(await client.join("videoroom", again.grant.options, again.userId)).toBe("joined");
    await client.close();
  });

  for (const plugin of plugins) {
    test(`W-10.19 when the ${plugin} room cannot be made, nothing is left, and the next select starts over`, async () => {
      const channelId = await stage.channel();
      const before = await observer.tokens();
      relay.spoil(({ body }) => body.request === "create" && body.admin_key === janus.keys[plugin]);
      await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
      relay.spoil(null);
      await stage.down(relay.janus);
      await stage.run(["probed", "cleaned up"]);
      await stage.empty(channelId);
      expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([null, null, null]);
      expect(await observer.tokens()).toEqual(before);

      const { userId, grant } = await stage.enter(channelId);
      const client = await JanusClient.open(grant.options);
      expect(await client.join("audiobridge", grant.options, userId)).toBe("joined");
      expect(await client.join("videoroom", grant.options, userId)).toBe("joined");
      await client.close();
    });
  }

  test("W-10.19 who fails to join a live conversation does not disturb those inside", async () => {
    const channelId = await stage.channel();
    const inside = await stage.enter(channelId);
    relay.spoil(({ body }) => body.request === "allowed" && body.action === "add");
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    relay.spoil(null);
    await stage.down(relay.janus);
    await stage.run(["probed", "restored", "cleaned up"]);
    await stage.settled();
    const own = [inside.grant.options.channelAuthToken];
    expect(await observer.allowed(await stage.roomOf(channelId))).toEqual([own, own, own]);
    expect(await stage.node.options(inside.grant.id)).toEqual(inside.grant.options);
  });

  test("W-10.6 a session whose handles cannot be had is ended again", async () => {
    const fresh = await Stage.open([relay.janus]);
    const before = await janus.sessions();
    relay.spoil(({ janus: request, plugin }) => request === "attach" && plugin === "janus.plugin.videoroom");
    await expect(fresh.enter(await fresh.channel())).rejects.toBeInstanceOf(MediaUnavailable);
    relay.spoil(null);
    expect(await janus.sessions()).toEqual(before);
    await fresh.down(relay.janus);
    await fresh.run(["probed"]);
    await fresh.enter(await fresh.channel());
    await fresh.close();
    expect(await janus.sessions()).toEqual(before);
  });

  test("W-14.11 a channel whose secret nobody can open any more gets another number", async () => {
    const channelId = await stage.channel();
    const { database, seal } = stage;
    const before = await new RoomNumbers({ database, seal: new Seal("a key that is gone by now") }).of(channelId);
    const numbers = new RoomNumbers({ database, seal });
    const after = await numbers.of(channelId);
    expect(after.room).not.toBe(before.room);
    expect(await numbers.of(channelId)).toEqual(after);
    expect((await stage.enter(channelId)).grant.options.audioRoomId).toBe(after.room);
  });

  test("W-10.27 no secret, key or token is logged, told or stored in plain", async () => {
    const { channelId, grant } = await stage.enter(await stage.channel());
    relay.spoil(({ body }) => body.request === "allowed");
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    relay.spoil(null);
    await stage.down(relay.janus);
    await stage.run(["probed", "restored", "cleaned up"]);
    const { secret } = await stage.roomOf(channelId);
    const { janusAuthToken, channelAuthToken } = grant.options;
    const tokens = [janusAuthToken, channelAuthToken].map(String);
    const secrets = [janus.adminSecret, secret, ...Object.values(janus.keys)];
    const rows = JSON.stringify([await stage.grants(), await stage.hostings()]);
    expect(stage.lines.join("")).toContain("media could not be prepared");
    for (const hidden of [...secrets, ...tokens]) {
      expect(stage.lines.join("")).not.toContain(hidden);
      expect(rows).not.toContain(hidden);
    }
    for (const hidden of secrets) expect(JSON.stringify([stage.told, grant])).not.toContain(hidden);
  });

  test("W-10.13 W-10.15 tokens that could not be removed are removed later", async () => {
    const person = await stage.enter(await stage.channel());
    relay.spoil(({ janus: request }) => request === "remove_token");
    await stage.forget(person.socketId);
    stage.node.leave(person.grant.id);
    await stage.down(relay.janus);
    expect(await observer.tokens()).toContain(person.grant.options.janusAuthToken ?? "");
    relay.spoil(null);
    await stage.settled();
    await stage.run(["probed", "cleaned up"]);
    await stage.ended(person.grant);
    expect(await observer.tokens()).not.toContain(person.grant.options.janusAuthToken ?? "");
  });
});
