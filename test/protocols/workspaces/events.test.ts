import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Client, Told } from "./client.ts";
import { HANGS, type Json, MEDIA, PASSWORD, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

/** Two generations of clients hear the same: an administrator on each, a user, a guest, and one who is elsewhere. */
let alice: Person;
let bob: Person;
let carol: Person;
let workspace: string;
let elsewhere: string;
let channel: string;
let a: Client;
let a4: Client;
let b: Client;
let c: Client;
/** Bob again, in another workspace of his. */
let b2: Client;
beforeEach(async () => {
  stage.leave();
  alice = await stage.person("Alice Adams");
  workspace = await stage.workspace(alice, "A workspace");
  bob = await stage.member(workspace, alice, "Bob Brown");
  elsewhere = await stage.workspace(bob, "Elsewhere");
  channel = await stage.channel(workspace, alice, { name: "Talk" });
  carol = await stage.guest(channel, alice, "Carol Clark");
  a = await stage.client(alice, workspace);
  a4 = await stage.client(alice, workspace, { generation: 4, transports: ["polling", "websocket"] });
  b = await stage.client(bob, workspace);
  c = await stage.client(carol, workspace, { generation: 4 });
  b2 = await stage.client(bob, elsewhere);
  await quiet();
});

const everybody = () => [a, a4, b, c, b2];
const quiet = async () => {
  for (const client of everybody()) if (client.socket.connected) await client.rest();
};

/** What each was told by an action; whoever is not named heard nothing. */
async function heard(expected: Partial<Record<"a" | "b" | "c" | "b2", readonly Told[]>>): Promise<void> {
  expect(await a.rest()).toEqual((expected.a ?? []) as Told[]);
  expect(await a4.rest()).toEqual((expected.a ?? []) as Told[]);
  expect(await b.rest()).toEqual((expected.b ?? []) as Told[]);
  expect(await c.rest()).toEqual((expected.c ?? []) as Told[]);
  expect(await b2.rest()).toEqual((expected.b2 ?? []) as Told[]);
}

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
const selected = (client: Client, channelId: string): Told => [
  "user-selected-channel",
  { userId: client.person.id, channelId, userMediaState: MEDIA, socketId: client.id },
];
const unselected = (client: Client, channelId: string): Told => [
  "user-unselected-channel",
  { userId: client.person.id, channelId, socketId: client.id },
];
const created = (channelId: string): Told => ["channel-created", { channelId, workspaceId: workspace }];
const deleted = (channelId: string): Told => ["channel-deleted", { channelId, workspaceId: workspace }];
const status = (who: Person, onlineStatus: string): Told => ["online-status-updated", { userId: who.id, onlineStatus }];
const ended: Told = ["disconnect", "io server disconnect"];

/** A person as others see him (W-3.14). */
const viewOf = (who: Person, more: object = {}) => ({
  id: who.id,
  name: who.name,
  createdAt: time,
  updatedAt: time,
  isEmailVerified: expect.any(Boolean),
  ...more,
});

describe("workspaces", () => {
  test("W-6.4 workspace-updated to all of the workspace", async () => {
    await stage.must(stage.post(`/workspaces/${workspace}`, alice, { name: "Renamed" }));
    const view = { id: workspace, name: "Renamed", createdAt: time, updatedAt: time, creatorId: alice.id };
    const event: Told = ["workspace-updated", { workspace: view }];
    await heard({ a: [event], b: [event], c: [event] });
  });

  test("W-6.5 W-6.9 W-6.43 somebody joins: the workspace hears of him, then he of the workspace", async () => {
    const { code } = await stage.must(stage.post(`/workspaces/${workspace}/invites`, alice));
    const dan = await stage.person("Dan Drake");
    const own = await stage.workspace(dan);
    const d = await stage.client(dan, own);
    await stage.must(stage.post(`/join/${code}`, dan));
    const joined: Told = ["user-joined", { user: viewOf(dan) }];
    await heard({ a: [joined], b: [joined], c: [joined] });
    const view = { id: workspace, name: "A workspace", createdAt: time, updatedAt: time, creatorId: alice.id };
    expect(await d.rest()).toEqual([["workspace-added", { workspace: { ...view, userRelation: { role: "user" } } }]]);
  });

  test("W-6.10 W-6.23 W-6.40 a member leaves: out of his channel, its channels, the workspace, his sockets there", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await stage.must(stage.post(`/channels/${secret}/add-users`, alice, { users: [bob.id] }));
    await stage.must(stage.select(b, channel));
    await quiet();
    await stage.must(stage.post(`/workspaces/${workspace}/leave`, bob));
    const left: Told = ["user-leaved-workspace", { userId: bob.id, workspaceId: workspace }];
    const kicked: Told = ["kicked-from-workspace", { workspaceId: workspace }];
    expect(await a.rest()).toEqual([unselected(b, channel), left]);
    expect(await c.rest()).toEqual([unselected(b, channel), left]);
    await b.until("disconnect");
    const told = b.told.slice(b.told.findLastIndex(([event]) => event === "user-unselected-channel"));
    expect(told.slice(0, 1)).toEqual([unselected(b, channel)]);
    expect(told.slice(1, -3).map(([event]) => event)).toEqual([
      "channel-deleted",
      "channel-deleted",
      "channel-deleted",
    ]);
    expect(told.slice(-3)).toEqual([left, kicked, ended]);
    // His sockets elsewhere hear what goes to him, and stay.
    expect(await b2.names()).toEqual([
      "channel-deleted",
      "channel-deleted",
      "channel-deleted",
      "kicked-from-workspace",
    ]);
    expect(b2.socket.connected).toBe(true);
  });

  test("W-6.42 a workspace is deleted: out of channels, invites back, everybody out, the sockets closed", async () => {
    const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message: {}, isResponseNeeded: true };
    await stage.must(stage.select(c, channel));
    const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite));
    await quiet();
    await stage.must(stage.delete(`/workspaces/${workspace}`, alice, { name: "A workspace" }));
    const kicked: Told = ["kicked-from-workspace", { workspaceId: workspace }];
    for (const client of [a, a4, c]) {
      await client.until("disconnect");
      expect(client.told.slice(-3)).toEqual([unselected(c, channel), kicked, ended]);
    }
    await b.until("disconnect");
    expect(b.told.slice(-4)).toEqual([unselected(c, channel), ["invite-cancelled", { inviteId }], kicked, ended]);
    expect(await b2.rest()).toEqual([["invite-cancelled", { inviteId }], kicked]);
  });
});

describe("channels", () => {
  test("W-6.6 W-6.8 W-13.12 a private channel is made and deleted before all, by its ids alone", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await heard({ a: [created(secret)], b: [created(secret)], c: [created(secret)] });
    await stage.must(stage.delete(`/channels/${secret}`, alice));
    await heard({ a: [deleted(secret)], b: [deleted(secret)], c: [deleted(secret)] });
  });

  test("W-6.6 W-6.8 one person gains and loses a channel: the others hear nothing", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await quiet();
    await stage.must(stage.post(`/channels/${secret}/add-users`, alice, { users: [bob.id] }));
    await heard({ b: [created(secret)], b2: [created(secret)] });
    await stage.must(stage.post(`/channels/${secret}/delete-users`, alice, { users: [bob.id] }));
    await heard({ b: [deleted(secret)], b2: [deleted(secret)] });
  });

  test("W-6.7 W-6.32 channel-updated to its members, from the moment they are in and until they are out", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    const rename = async (name: string) => {
      await stage.must(stage.post(`/channels/${secret}`, alice, { name }));
      const view = { id: secret, name, creatorId: alice.id, isPrivate: true, isTemporary: false };
      return ["channel-updated", { channel: { ...view, createdAt: time, updatedAt: time } }] satisfies Told;
    };
    await quiet();
    await heard({ a: [await rename("One")] });
    await stage.must(stage.post(`/channels/${secret}/add-users`, alice, { users: [bob.id] }));
    await quiet();
    const two = await rename("Two");
    await heard({ a: [two], b: [two] });
    await stage.must(stage.post(`/channels/${secret}/delete-users`, alice, { users: [bob.id] }));
    await quiet();
    await heard({ a: [await rename("Three")] });
    // The same again changes nothing, and is not told.
    await stage.must(stage.post(`/channels/${secret}`, alice, { name: "Three" }));
    await heard({});
  });

  test("W-6.41 a channel is deleted: out of it, invites back, gone", async () => {
    const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message: {}, isResponseNeeded: true };
    await stage.must(stage.select(c, channel));
    await stage.must(stage.select(a, channel));
    const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite));
    await quiet();
    await stage.must(stage.delete(`/channels/${channel}`, alice));
    const cancelled: Told = ["invite-cancelled", { inviteId }];
    const told = await b.rest();
    expect(told.slice(0, 2)).toContainEqual(unselected(a, channel));
    expect(told.slice(0, 2)).toContainEqual(unselected(c, channel));
    expect(told.slice(2)).toEqual([cancelled, deleted(channel)]);
    expect((await a.names()).join()).toBe("user-unselected-channel,user-unselected-channel,channel-deleted");
    expect(await b2.rest()).toEqual([cancelled]);
  });
});

describe("people", () => {
  test("W-6.11 user-updated to every workspace of the person, without the address", async () => {
    await stage.must(stage.post("/profile", bob, { name: "Robert Brown", lang: "en" }));
    const event: Told = ["user-updated", { user: viewOf({ ...bob, name: "Robert Brown" }, { lang: "en" }) }];
    await heard({ a: [event], b: [event], c: [event], b2: [event] });
  });

  test("W-6.12 W-6.14 what concerns the person alone goes to all of his sockets", async () => {
    await stage.must(stage.post("/me/app-settings", bob, { theme: "dark" }));
    const user = viewOf(bob, { email: bob.email, socialAuth: {}, appSettings: { theme: "dark" } });
    const event: Told = ["me-updated", { user, whatWasUpdated: "app-settings" }];
    await heard({ b: [event], b2: [event] });
    await stage.must(stage.post("/password", bob, { oldPassword: PASSWORD, password: "another one" }));
    for (const client of [b, b2]) {
      await client.until("disconnect");
      const own = client.told.filter(([name]) => name !== "online-status-updated").slice(-2);
      expect(own).toEqual([["password-changed", null], ended]);
    }
  });

  test("W-6.18 W-6.13 W-6.38 a status goes to every workspace of the person, then to himself", async () => {
    await stage.must(stage.status(b, "idle"));
    const own: Told[] = [status(bob, "idle"), ["my-online-status-updated", { onlineStatus: "idle" }]];
    await heard({ a: [status(bob, "idle")], b: own, c: [status(bob, "idle")], b2: own });
    // The same again: no change to see, and still an answer to himself.
    await stage.must(stage.status(b, "idle"));
    await heard({ b: own.slice(1), b2: own.slice(1) });
  });

  test("W-2.25 W-6.30 W-6.1 W-7.10 the first connection: status, then success; the second one success alone", async () => {
    const dan = await stage.member(workspace, alice);
    await quiet();
    const d = await stage.client(dan, workspace);
    const success = { userId: dan.id, transaction: "auth", reconnected: false, onlineStatus: "online" };
    expect(d.told.slice(1)).toEqual([status(dan, "online"), ["auth-success", success]]);
    await heard({ a: [status(dan, "online")], b: [status(dan, "online")], c: [status(dan, "online")] });
    const second = await stage.client(dan, workspace, { generation: 4 });
    expect(second.told.slice(1)).toEqual([["auth-success", success]]);
    await heard({});
    expect(await d.rest()).toEqual([]);
  });

  test("W-6.39 a guest's last connection: offline, out of the channel, out of the workspace", async () => {
    await stage.must(stage.select(c, channel));
    await quiet();
    c.emit("logout");
    await c.until("disconnect");
    const told = [
      status(carol, "offline"),
      unselected(c, channel),
      ["user-leaved-workspace", { userId: carol.id, workspaceId: workspace }] satisfies Told,
    ];
    for (const client of [a, b]) for (const event of told) expect(await client.next()).toEqual(event);
  });
});

describe("conversations", () => {
  test("W-6.15 W-6.16 W-6.33 to the members of the channel: a guest of another one hears nothing", async () => {
    const other = await stage.channel(workspace, alice);
    await quiet();
    await stage.must(stage.select(b, other));
    await heard({ a: [selected(b, other)], b: [selected(b, other)] });
    await stage.must(stage.unselect(b, other));
    await heard({ a: [unselected(b, other)], b: [unselected(b, other)] });
  });

  test("W-6.34 another channel on the same device: out of the one, into the other", async () => {
    const brief = await stage.channel(workspace, alice, { isTemporary: true });
    await stage.must(stage.select(b, brief));
    await quiet();
    await stage.must(stage.select(b, channel));
    const told = [unselected(b, brief), deleted(brief), selected(b, channel)];
    await heard({ a: told, b: told, c: [deleted(brief), selected(b, channel)] });
  });

  test("W-6.35 W-6.36 W-6.17 W-15.12 another device: in another channel, then in the same", async () => {
    const phone = await stage.client(bob, workspace, { generation: 4 });
    const brief = await stage.channel(workspace, alice, { isTemporary: true });
    await stage.must(stage.select(b, brief));
    await quiet();
    await phone.rest();
    await stage.must(stage.select(phone, channel));
    const changed: Told = ["user-changed-device", null];
    const own = [selected(phone, channel), changed, unselected(b, brief), deleted(brief)];
    expect(await phone.rest()).toEqual(own);
    await heard({
      a: own.filter((event) => event !== changed),
      b: own,
      c: [selected(phone, channel), deleted(brief)],
      b2: [changed],
    });
    await stage.must(stage.select(b, channel));
    expect(await phone.rest()).toEqual([selected(b, channel), changed]);
    const seen = [selected(b, channel)];
    await heard({ a: seen, b: [...seen, changed], c: seen, b2: [changed] });
  });

  test("W-8.1 devices in different workspaces do not concern each other", async () => {
    const there = await stage.channel(elsewhere, bob);
    await stage.must(stage.select(b, channel));
    await quiet();
    await stage.must(stage.select(b2, there));
    await heard({ b2: [selected(b2, there)] });
    expect(await stage.inside(channel, alice)).toEqual([bob.id]);
    expect(await stage.inside(there, bob)).toEqual([bob.id]);
  });

  test("W-6.19 W-8.10 media-state-updated to the members, as it is stored", async () => {
    await stage.must(stage.select(b, channel));
    await quiet();
    const body = { ...MEDIA, screen: true, startScreenTs: "ignored" };
    await stage.must(stage.post(`/user/media-state?socketId=${b.id}`, bob, body));
    const userMediaState = { ...MEDIA, screen: true, startScreenTs: time };
    const event: Told = ["media-state-updated", { userId: bob.id, userMediaState, channelId: channel }];
    await heard({ a: [event], b: [event], c: [event] });
    const { users } = await stage.must(stage.get(`/channels/${channel}`, alice));
    expect(users).toEqual([{ ...userMediaState, userId: bob.id }]);
  });

  test("W-6.24 muted-for-all to all sockets of the one who is muted", async () => {
    await stage.must(stage.select(b, channel));
    await stage.must(stage.select(a, channel));
    await quiet();
    await stage.must(stage.post(`/mute-for-all?socketId=${a.id}`, alice, { userId: bob.id }));
    const event: Told = ["muted-for-all", { fromUserId: alice.id, socketId: b.id }];
    await heard({ b: [event], b2: [event] });
  });

  test("W-6.20 W-6.21 W-6.22 W-6.33 W-15.14 invites, their answers, and one that is taken back by coming", async () => {
    const message = { action: "invite", nested: [{ any: null }] };
    const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message, isResponseNeeded: true };
    const ask = async () => (await stage.must(stage.post("/send-invite", alice, invite))).inviteId as string;
    const first = await ask();
    const { userId: _, ...rest } = invite;
    const event: Told = ["invite", { inviteId: first, ...rest, userId: alice.id }];
    await heard({ b: [event], b2: [event] });
    await stage.must(stage.post("/invite-response", bob, { inviteId: first }));
    await heard({ a: [["invite-response", { inviteId: first, userId: bob.id, response: {} }]] });
    const second = await ask();
    await quiet();
    await stage.must(stage.select(b, channel));
    const cancelled: Told = ["invite-cancelled", { inviteId: second }];
    const seen = [selected(b, channel)];
    await heard({ a: seen, b: [...seen, cancelled], c: seen, b2: [cancelled] });
    expect(second).toEqual(uuid);
  });

  test("W-9.8 W-9.11 only the addressee answers, once; who loses the channel is asked no more", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    const invite = { channelId: secret, workspaceId: workspace, message: {}, isResponseNeeded: true };
    const { inviteId } = await stage.must(stage.post("/send-invite", alice, { ...invite, userId: bob.id }));
    const answer = (who: Person) => stage.post("/invite-response", who, { inviteId, response: { ok: true } });
    for (const who of [alice, carol]) expect((await answer(who)).body.message).toBe("Message not found");
    await stage.must(answer(bob));
    expect((await answer(bob)).body.message).toBe("Message not found");
    // The sender loses the channel while one waits.
    await stage.must(stage.post(`/channels/${secret}/permissions`, alice, { userId: bob.id, role: "admin" }));
    await stage.must(stage.post("/send-invite", bob, { ...invite, userId: alice.id }));
    await quiet();
    await stage.must(stage.post(`/channels/${secret}/delete-users`, alice, { users: [bob.id] }));
    expect(await a.names()).toEqual(["invite-cancelled"]);
  });

  test("W-9.1 W-9.2 who may not invite whom", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await quiet();
    const body = { userId: alice.id, channelId: channel, workspaceId: workspace, message: {} };
    const tried = async (who: Person, more: object) => {
      const { status: code, body: answer } = await stage.post("/send-invite", who, { ...body, ...more });
      return [code, answer.message];
    };
    expect(await tried(bob, { channelId: secret })).toEqual([403, "Access denied"]);
    expect(await tried(carol, {})).toEqual([403, "Access denied"]);
    expect(await tried(bob, { workspaceId: elsewhere })).toEqual([403, "Access denied"]);
    expect(await tried(bob, { workspaceId: crypto.randomUUID() })).toEqual([404, "Not found"]);
    expect(await tried(bob, { channelId: crypto.randomUUID() })).toEqual([404, "Not found"]);
    expect(await tried(bob, { userId: (await stage.person()).id })).toEqual([404, "User not found"]);
    await heard({});
  });

  test("W-7.13 W-4.6 who reads after an event reads at least what it said", async () => {
    const seen = [];
    for (const onlineStatus of ["idle", "online", "offline", "online"]) {
      const told = a.until("online-status-updated");
      const changing = stage.must(stage.status(b, onlineStatus));
      seen.push([((await told) as Json).onlineStatus, await stage.seen(workspace, alice, bob)]);
      await changing;
    }
    expect(seen).toEqual(["idle", "online", "offline", "online"].map((one) => [one, one]));
  });
});

describe("taking over", () => {
  const lose = async () => {
    b.drop();
    await b.until("disconnect");
    expect(await a.until("conversation-broadcast")).toEqual({
      action: "socket-reconnecting",
      userId: bob.id,
      data: true,
    });
  };

  test("W-8.17 W-8.20 W-8.22 W-8.23 W-6.30 back inside the grace: told to the conversation, then success", async () => {
    await stage.must(stage.select(a, channel));
    await stage.must(stage.select(b, channel));
    await stage.must(stage.post(`/user/media-state?socketId=${b.id}`, bob, { ...MEDIA, screen: true }));
    await lose();
    await quiet();
    // What is said meanwhile is not said again (W-1.20).
    a.emit("conversation-broadcast", "while he is away");
    await a.until("conversation-broadcast");
    const back = await stage.client(bob, workspace, { prevSocketId: b.id });
    const returned: Told = ["conversation-broadcast", { action: "socket-reconnecting", userId: bob.id, data: false }];
    const conversation = {
      channelId: channel,
      channelAuthToken: null,
      serverAuthToken: null,
      audioRoomId: null,
      videoRoomId: null,
      janusServerUrl: null,
      janusWsServerUrl: null,
    };
    const success = { userId: bob.id, transaction: "auth", reconnected: true, onlineStatus: "online" };
    expect(back.told.slice(1)).toEqual([returned, ["auth-success", { ...success, ...conversation }]]);
    expect(await a.rest()).toEqual([returned]);
    const { users } = await stage.must(stage.get(`/channels/${channel}`, alice));
    expect(users.find(({ userId }: Json) => userId === bob.id)).toMatchObject({ screen: true, startScreenTs: time });
    // The old id is unknown everywhere (W-8.24), and its time does nothing.
    expect((await stage.select(b, channel)).body.message).toBe("Socket not found");
    await stage.pass(70_000);
    expect((await a.names()).filter((name) => name !== "socket-api-error")).toEqual([]);
    back.emit("logout");
    expect(await a.until("user-unselected-channel")).toMatchObject({ socketId: back.id });
  });

  test("W-8.21 W-13.1 somebody else's, another workspace's and unknown sockets are no claim", async () => {
    await stage.must(stage.select(b, channel));
    await quiet();
    const dan = await stage.member(workspace, alice);
    for (const [who, where, prevSocketId] of [
      [dan, workspace, b.id],
      [bob, workspace, b2.id],
      [bob, elsewhere, b.id],
      [bob, workspace, "unknown"],
    ] as const) {
      const client = await stage.connect(who);
      const answer = await client.auth(where, { prevSocketId });
      expect(answer).toMatchObject({ userId: who.id, reconnected: false });
      expect(Object.keys(answer).sort()).toEqual(["onlineStatus", "reconnected", "transaction", "userId"]);
    }
    await b.settle();
    expect([b.socket.connected, b2.socket.connected]).toEqual([true, true]);
    expect(await stage.inside(channel, alice)).toEqual([bob.id]);
  });

  test("W-7.6 W-8.22 sleep of one device; a take-over keeps it asleep", async () => {
    await stage.must(stage.status(b2, "idle", "sleep"));
    await heard({});
    await stage.must(stage.status(b, "idle", "sleep"));
    await heard({
      a: [status(bob, "idle")],
      b: [status(bob, "idle")],
      c: [status(bob, "idle")],
      b2: [status(bob, "idle")],
    });
    const back = await stage.client(bob, workspace, { prevSocketId: b.id, onlineStatus: "online" });
    expect(back.told.at(-1)).toMatchObject(["auth-success", { reconnected: true, onlineStatus: "idle" }]);
    expect(await b.until("disconnect")).toBe("transport close");
    expect(await a.rest()).toEqual([]);
  });
});
