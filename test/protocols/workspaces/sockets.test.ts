import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Client } from "./client.ts";
import { HANGS, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
let alice: Person;
let bob: Person;
let workspace: string;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
// Of each test alone: what becomes of the sockets of one is not told to those of the next.
beforeEach(async () => {
  stage.leave();
  alice = await stage.person("Alice Adams");
  workspace = await stage.workspace(alice);
  bob = await stage.member(workspace, alice, "Bob Brown");
});

const AUTH_SHAPE = 'Invalid data format for "auth" event';
const BROADCAST_SHAPE = 'Invalid data format for "conversation-broadcast" event';
const failed = (event: string, message: string) => ["socket-api-error", { event, message }] as const;

describe("auth", () => {
  test("W-12.1 W-2.20 no object: one error, the socket stays and may try again", async () => {
    const client = await stage.connect(alice);
    for (const bad of [null, 5, "text", [], true]) {
      client.emit("auth", bad);
      expect(await client.next()).toEqual(failed("auth", AUTH_SHAPE));
    }
    client.emit("auth");
    expect(await client.next()).toEqual(failed("auth", AUTH_SHAPE));
    expect(await client.auth(workspace)).toMatchObject({ userId: alice.id });
  });

  test("W-5.2 W-12.2 both error events, in order, for every wrong field", async () => {
    const client = await stage.connect(alice);
    const good = { token: alice.token, workspaceId: workspace, transaction: "t1" };
    const wrong = [
      { ...good, extra: 1 },
      { ...good, onlineStatus: "busy" },
      { ...good, workspaceId: "not a uuid" },
      { ...good, token: "" },
      { ...good, token: "x".repeat(257) },
      { ...good, localTimeZone: "" },
      { ...good, prevSocketId: 5 },
      { ...good, localTimeZone: "nul\0" },
    ];
    for (const input of wrong) {
      client.emit("auth", input);
      expect(await client.next()).toEqual(["socket-api-error-t1", { message: AUTH_SHAPE }]);
      expect(await client.next()).toEqual(failed("auth", AUTH_SHAPE));
    }
  });

  test("W-5.3 W-12.3 a transaction that is none never becomes part of a name", async () => {
    const client = await stage.connect(alice);
    for (const transaction of ["", "x".repeat(129), 5, {}, null]) {
      client.emit("auth", { token: alice.token, workspaceId: workspace, transaction });
      expect(await client.next()).toEqual(failed("auth", AUTH_SHAPE));
    }
    expect(await client.rest()).toEqual([]);
  });

  test("W-12.4 W-5.2 W-5.3 one transaction for many at once: each failure reports on its own, success none", async () => {
    const client = await stage.connect(alice);
    const good = { token: alice.token, workspaceId: workspace, transaction: "same" };
    client.emit("auth", { ...good, token: "unknown" });
    client.emit("nothing", { transaction: "same" });
    client.emit("conversation-broadcast", { action: "x", transaction: "same" });
    client.emit("auth", good);
    const refusals: [string, string][] = [
      ["auth", "Invalid access token"],
      ["nothing", "Unknown event"],
      ["conversation-broadcast", "Not authenticated"],
    ];
    for (const [event, message] of refusals) {
      expect(await client.next()).toEqual(["socket-api-error-same", { message }]);
      expect(await client.next()).toEqual(failed(event, message));
    }
    expect((await client.names()).at(-1)).toBe("auth-success");
  });

  test("W-2.21 W-2.22 W-2.24 unknown tokens, workspaces of others and none, in the order of the checks", async () => {
    const client = await stage.connect(alice);
    expect(await client.auth(crypto.randomUUID(), { token: "0".repeat(64) })).toMatchObject({
      message: "Invalid access token",
    });
    expect(await client.auth(workspace, { token: "0".repeat(64) })).toEqual({
      event: "auth",
      message: "Invalid access token",
    });
    const foreign = await stage.workspace(await stage.person());
    for (const id of [foreign, crypto.randomUUID()]) {
      expect(await client.auth(id)).toEqual({ event: "auth", message: "Can't listen workspace events" });
    }
    expect(await client.auth(workspace)).toMatchObject({ userId: alice.id });
    // Who is known as somebody else already is still told first what is wrong with the rest.
    expect(await client.auth(workspace, { token: (await stage.person()).token })).toMatchObject({
      message: "Can't listen workspace events",
    });
  });

  test("W-2.26 W-2.28 W-13.15 again and again: nothing doubles; another user is refused", async () => {
    const [client, watcher] = [await stage.client(alice, workspace), await stage.client(bob, workspace)];
    await client.rest();
    await watcher.rest();
    for (let i = 0; i < 100; i++) {
      expect(await client.auth(workspace, { prevSocketId: null })).toMatchObject({ reconnected: false });
    }
    expect(await client.auth(workspace, { prevSocketId: client.id })).toMatchObject({ reconnected: true });
    expect(await client.auth(workspace, { token: bob.token })).toEqual({
      event: "auth",
      message: "Socket is already authenticated",
    });
    expect(await watcher.rest()).toEqual([]);
    await stage.channel(workspace, alice);
    expect(await client.names()).toEqual(["channel-created"]);
  });

  test("W-2.27 another workspace: the old one is left first and silent", async () => {
    const other = await stage.workspace(alice, "Another");
    const channel = await stage.channel(workspace, alice);
    const [client, watcher] = [await stage.client(alice, workspace), await stage.client(bob, workspace)];
    await stage.must(stage.select(client, channel));
    await watcher.rest();
    expect(await client.auth(other)).toMatchObject({ reconnected: false, onlineStatus: "online" });
    expect(await watcher.names()).toEqual(["user-unselected-channel"]);
    await client.rest();
    await stage.channel(workspace, alice);
    expect(await client.rest()).toEqual([]);
    expect((await stage.select(client, channel)).status).toBe(403);
  });

  test("W-2.29 W-2.30 a deadline, and an end to failing", async () => {
    for (const generation of [2, 4] as const) {
      for (const transports of [["polling"], ["websocket"]] as const) {
        const silent = await stage.connect(alice, { generation, transports });
        stage.clock!.advance(10_000);
        expect(await silent.next()).toEqual(failed("auth", "Authentication timeout"));
        expect(await silent.next()).toEqual(["disconnect", "transport close"]);
      }
    }
    const client = await stage.connect(alice);
    for (let i = 0; i < 20; i++) client.emit("auth", null);
    expect(await client.until("disconnect")).toBe("io server disconnect");
    expect(client.told.filter(([event]) => event === "socket-api-error")).toHaveLength(20);
  });

  test("W-2.23 too many connections of one user", async () => {
    const person = await stage.person();
    const own = await stage.workspace(person);
    for (let i = 0; i < 20; i++) await stage.client(person, own);
    const client = await stage.connect(person);
    expect(await client.auth(own)).toEqual({ event: "auth", message: "Too many connections" });
  });
});

describe("other events", () => {
  let channel: string;
  let client: Client;
  beforeEach(async () => {
    channel = await stage.channel(workspace, alice);
    client = await stage.client(alice, workspace);
  });

  test("W-5.5 W-5.1 W-12.6 before authentication, and names nobody knows", async () => {
    const stranger = await stage.connect(alice);
    stranger.emit("conversation-broadcast", "x");
    expect(await stranger.next()).toEqual(failed("conversation-broadcast", "Not authenticated"));
    stranger.emit("logout");
    expect(await stranger.next()).toEqual(failed("logout", "Not authenticated"));
    for (const name of ["nothing", "__proto__", "constructor", "toString", "x".repeat(80)]) {
      client.emit(name, { transaction: "t" });
      expect(await client.next()).toEqual(["socket-api-error-t", { message: "Unknown event" }]);
      expect(await client.next()).toEqual(failed(name.slice(0, 64), "Unknown event"));
    }
  });

  test("W-5.6 W-5.7 W-5.8 W-12.5 broadcasts that are none reach nobody", async () => {
    const listener = await stage.client(bob, workspace);
    client.emit("conversation-broadcast", { action: "hand-up", transaction: "t7", data: { state: true } });
    expect(await client.until("socket-api-error-t7")).toEqual({ message: "Channel is not selected" });
    await stage.must(stage.select(client, channel));
    await stage.must(stage.select(listener, channel));
    await client.rest();
    await listener.rest();
    const large = { action: "x", data: "y".repeat(16_384) };
    const nested = JSON.parse(`${'{"a":'.repeat(40)}1${"}".repeat(40)}`);
    const polluted = JSON.parse('{"action":"x","data":{"__proto__":{"a":1}}}');
    const wrong = [null, 5, [], true, "", "x".repeat(16_385), { data: 1 }, { action: "" }, large, polluted];
    for (const input of [...wrong, { action: "x", data: nested }, { action: "x", data: "\ud800" }]) {
      client.emit("conversation-broadcast", input);
      expect(await client.next()).toEqual(failed("conversation-broadcast", BROADCAST_SHAPE));
    }
    for (const action of ["socket-reconnecting", "media-server-state"]) {
      client.emit("conversation-broadcast", { action, data: true });
      expect(await client.next()).toEqual(failed("conversation-broadcast", "Action is reserved"));
    }
    expect(await listener.rest()).toEqual([]);
  });

  test("W-5.9 W-5.10 W-15.8 broadcasts reach the conversation and nobody else, in order", async () => {
    const listener = await stage.client(bob, workspace, { generation: 4 });
    const outsider = await stage.client(bob, workspace);
    await stage.must(stage.select(client, channel));
    await stage.must(stage.select(listener, channel));
    for (const one of [client, listener, outsider]) await one.rest();
    for (let i = 0; i < 50; i++) {
      client.emit("conversation-broadcast", {
        action: "mini-chat",
        data: { message: i },
        transaction: "t",
        extra: [i],
      });
    }
    client.emit("conversation-broadcast", "just text");
    for (const one of [client, listener]) {
      for (let i = 0; i < 50; i++) {
        const message = { action: "mini-chat", data: { message: i }, extra: [i], userId: alice.id };
        expect(await one.next()).toEqual(["conversation-broadcast", message]);
      }
      expect(await one.next()).toEqual(["conversation-broadcast", "just text"]);
    }
    expect(await outsider.rest()).toEqual([]);
  });

  test("W-5.11 W-6.39 logout is final and at once; the token stays good", async () => {
    const watcher = await stage.client(bob, workspace);
    const carol = await stage.member(workspace, alice);
    const client = await stage.client(carol, workspace);
    await stage.must(stage.select(client, channel));
    await watcher.rest();
    await client.rest();
    client.emit("logout", { any: "thing" });
    expect(await client.until("disconnect")).toBe("io server disconnect");
    expect(await watcher.next()).toEqual(["online-status-updated", { userId: carol.id, onlineStatus: "offline" }]);
    expect(await watcher.next()).toEqual([
      "user-unselected-channel",
      { userId: carol.id, channelId: channel, socketId: client.id },
    ]);
    expect((await stage.get("/me", carol)).status).toBe(200);
  });

  test("W-12.7 acknowledgements are never sent; further arguments are ignored", async () => {
    let answered = false;
    client.emit("conversation-broadcast", "x", "more", () => {
      answered = true;
    });
    expect(await client.until("socket-api-error")).toEqual({
      event: "conversation-broadcast",
      message: "Channel is not selected",
    });
    await client.settle();
    expect(answered).toBe(false);
  });

  test("W-12.8 W-12.9 binary and oversized packets are a soft close for their sender alone", async () => {
    for (const send of [
      (one: Client) => one.emit("auth", Buffer.from([1, 2, 3])),
      (one: Client) => one.emit("auth", { token: "x".repeat(70_000) }),
    ]) {
      const bad = await stage.client(bob, workspace);
      send(bad);
      expect(await bad.until("disconnect")).toBe("transport close");
    }
    await client.settle();
    expect(client.socket.connected).toBe(true);
  });

  test("W-1.5 W-1.6 W-1.12 W-15.11 both revisions, both transports, the upgrade; ids are as events name them", async () => {
    for (const generation of [2, 4] as const) {
      for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]] as const) {
        const one = await stage.client(bob, workspace, { generation, transports });
        await stage.must(stage.select(one, channel));
        expect(await one.until("user-selected-channel")).toMatchObject({ userId: bob.id, socketId: one.id });
        if (transports.length === 2) while (one.transport !== "websocket") await one.settle();
        one.emit("logout");
        await one.until("disconnect");
      }
    }
  });
});

describe("limits", () => {
  test("W-5.12 too many events are refused, ten seconds of them end the socket, whatever is done to the machine's time", async () => {
    await using limited = await stages.startTimed({ WORKSPACES_RATE_EVENTS: "20" });
    const person = await limited.person();
    const own = await limited.workspace(person);
    const client = await limited.client(person, own);
    for (let i = 0; i < 80; i++) client.emit("conversation-broadcast", { action: "x", transaction: `n${i}` });
    for (;;) {
      const [event, payload] = await client.next();
      if (event === "socket-api-error-n79") {
        expect(payload).toEqual({ message: "Too many requests" });
        break;
      }
    }
    const flood = () => {
      limited.clock!.advance(1_000);
      limited.clock!.adjust(10_000);
      for (let i = 0; i < 60; i++) client.emit("conversation-broadcast", "x");
    };
    for (let second = 1; second < 10; second++) {
      flood();
      await client.settle();
    }
    expect(client.socket.connected).toBe(true);
    flood();
    expect(await client.until("disconnect")).toBe("io server disconnect");
  });

  test("W-14.9 W-12.16 sockets of one address that never authenticate are turned away, others are not", async () => {
    await using limited = await stages.startTimed({ WORKSPACES_UNAUTH_PER_IP: "5" });
    const person = await limited.person();
    const own = await limited.workspace(person);
    const known = [];
    for (let i = 0; i < 8; i++) known.push(await limited.client(person, own));
    for (let i = 0; i < 5; i++) await limited.connect(person);
    await expect(limited.connect(person)).rejects.toThrow("not connected");
    for (const client of known) await client.settle();
  });

  test("W-15.20 while many come back, those who are in are answered before the crowd is through", async () => {
    await using crowded = await stages.startTimed({ WORKSPACES_INVITE_MAX_USES: "100" });
    const host = await crowded.person();
    const place = await crowded.workspace(host);
    const channel = await crowded.channel(place, host);
    const crowd: Client[] = [];
    while (crowd.length < 100) crowd.push(await crowded.connect(await crowded.guest(channel, host)));
    let inside = 0;
    /** How many came in while one waited for an answer. */
    const overtaken = await Promise.all(
      crowd.map(async (client) => {
        await client.auth(place);
        const before = ++inside;
        const asked = [`/workspaces/${place}`, `/workspaces/${place}/settings`];
        await Promise.all(asked.map((path) => crowded.must(crowded.get(path, client.person))));
        return inside - before;
      }),
    );
    const [slowest] = overtaken.sort((a, b) => b - a).slice(crowd.length / 20);
    expect(slowest).toBeLessThan(crowd.length / 2);
  });
});
