import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq } from "drizzle-orm";
import { MediaUnavailable, noOptions } from "../../../../src/protocols/workspaces/media/media.ts";
import { RoomNumbers } from "../../../../src/protocols/workspaces/media/room-numbers.ts";
import { mediaGrants, mediaHostings, mediaRooms } from "../../../../src/protocols/workspaces/media/tables.ts";
import { Seal } from "../../../../src/protocols/workspaces/seal.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { HANGS } from "../stage.ts";
import { JanusClient } from "./client.ts";
import { Observer } from "./observer.ts";
import { type Answered, type Relay, startRelay } from "./relay.ts";
import { Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

/** Path of a plugin's handle within a session. */
const HANDLE = /^\/janus\/\d+\/\d+$/;
const plugins = ["audiobridge", "videoroom", "textroom"] as const;

describe.skipIf(!janusAvailable)("rooms for media", () => {
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

  const creations = () => relay.requests.filter(({ body }) => body.request === "create").map(({ body }) => body);

  test("W-10.4 W-10.7 requests are JSON by POST, each with a transaction of its own; plugins are asked through their handle", async () => {
    const before = relay.requests.length;
    await stage.leave(await stage.enter(await stage.channel()));
    const requests = relay.requests.slice(before);
    expect(new Set(requests.map(({ fields }) => fields.transaction)).size).toBe(requests.length);
    const transaction = expect.stringMatching(/^[0-9a-f-]{36}$/);
    for (const { janus: kind, method, path, type, fields } of requests) {
      expect([method, type]).toEqual(["POST", expect.stringContaining("application/json")]);
      if (path.startsWith("/admin")) expect(fields).toMatchObject({ transaction, admin_secret: janus.adminSecret });
      else {
        expect(fields).toMatchObject({ transaction, token: expect.stringMatching(/^[0-9a-f]{50}$/) });
        expect(fields).not.toHaveProperty("admin_secret");
      }
      if (kind === "message") expect([path, fields.body]).toEqual([expect.stringMatching(HANDLE), expect.any(Object)]);
    }
    const kinds = requests.map(({ janus: kind }) => kind);
    for (const kind of ["message", "add_token", "remove_token"]) expect(kinds).toContain(kind);
  });

  test("W-10.7 an answer counts by what Janus says of it and by its error code, not by the plugin's own word", async () => {
    const channelId = await stage.channel();
    const inPlugin = (answer: Answered, more: object): Answered =>
      answer.plugindata
        ? { ...answer, plugindata: { ...answer.plugindata, data: { ...answer.plugindata.data, ...more } } }
        : answer;
    const word = (said: string) => Object.fromEntries(plugins.map((plugin) => [plugin, said]));
    relay.retell((_, answer) => inPlugin(answer, word("not at all")));
    await stage.enter(channelId);
    const refusal = { error_code: 499, error: "not today", ...word("success") };
    relay.retell(({ body }, answer) => (body.request === "allowed" ? inPlugin(answer, refusal) : answer));
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    relay.retell(({ janus: kind }, answer) => (kind === "message" ? { ...answer, janus: "ack" } : answer));
    await expect(stage.enter(channelId)).rejects.toBeInstanceOf(MediaUnavailable);
    relay.retell(null);
    await stage.enter(channelId);
  });

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
    const users: string[] = [];
    for (let count = 0; count < 100; count++) users.push(await stage.user());
    const before = creations().length;
    const people = await Promise.all(users.map((user) => stage.enter(channelId, stage.node, user)));
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
    await using fresh = await Stage.open([relay.janus]);
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

  test("W-14.11 a live conversation whose secrets nobody can open any more does not keep others out", async () => {
    const inside = await stage.enter(await stage.channel());
    const { channelId } = inside;
    const lost = new Seal("a key that is gone by now").seal("anything");
    await stage.database.orm.update(mediaRooms).set({ secret: lost }).where(eq(mediaRooms.channelId, channelId));
    await stage.database.orm.update(mediaHostings).set({ secret: lost }).where(eq(mediaHostings.channelId, channelId));
    const tokens = { serverToken: lost, channelToken: lost };
    await stage.database.orm.update(mediaGrants).set(tokens).where(eq(mediaGrants.channelId, channelId));
    expect(await stage.node.options(inside.grant.id)).toEqual(noOptions);
    const { options } = (await stage.enter(channelId)).grant;
    expect(options.audioRoomId).not.toBe(inside.grant.options.audioRoomId);
    const client = await JanusClient.open(options);
    expect(await client.join("audiobridge", options, "somebody")).toBe("joined");
    await client.close();
  });

  test("W-13.8 W-14.11 what nobody can open any more is dropped in a day, but for what a socket still holds", async () => {
    await using fresh = await Stage.open([relay.janus]);
    const enter = async () => fresh.enter(await fresh.channel());
    const [held, lost, ended] = [await enter(), await enter(), await enter()];
    const sealed = new Seal("a key that is gone by now").seal("anything");
    const { orm } = fresh.database;
    await orm.update(mediaHostings).set({ secret: sealed });
    await orm.update(mediaGrants).set({ serverToken: sealed, channelToken: sealed });
    for (const { socketId } of [lost, ended]) await fresh.forget(socketId);
    const [endedAt, id] = [new Date(), String(ended.grant.id)];
    await orm.update(mediaGrants).set({ endedAt }).where(eq(mediaGrants.id, id));
    await fresh.run(["cleaned up", "swept"]);
    expect(await fresh.grants()).toHaveLength(3);
    fresh.clock.shift(86_400_001);
    await fresh.run(["cleaned up", "swept"]);
    expect((await fresh.grants()).map((row) => row.id)).toEqual([String(held.grant.id)]);
    expect((await fresh.hostings()).map((row) => row.channelId)).toEqual([held.channelId]);
    await fresh.close();
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
