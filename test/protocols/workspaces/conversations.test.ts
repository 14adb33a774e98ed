import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Client } from "./client.ts";
import { eventually, HANGS, type Json, MEDIA, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
let alice: Person;
let bob: Person;
let workspace: string;
let channel: string;
let a: Client;
let b: Client;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
beforeEach(async () => {
  stage.leave();
  alice = await stage.person("Alice Adams");
  workspace = await stage.workspace(alice);
  bob = await stage.member(workspace, alice, "Bob Brown");
  channel = await stage.channel(workspace, alice);
  a = await stage.client(alice, workspace);
  b = await stage.client(bob, workspace);
  await a.rest();
});

/** Whether a channel is gone; time goes on until it is. */
async function ended(id: string): Promise<boolean> {
  await stage.pass(1_000);
  return (await stage.get(`/channels/${id}`, alice)).status === 404;
}

const errorOf = ({ status, body }: { status: number; body: Json }) => [status, body.message];

describe("selecting", () => {
  test("W-4.70 W-10.3 W-15.21 options without media servers, and the refusals of repeats and strangers", async () => {
    const answer = await stage.must(stage.select(b, channel));
    expect(answer).toEqual({
      connectionOptions: {
        janusServerUrl: null,
        janusWsServerUrl: null,
        janusAuthToken: null,
        channelAuthToken: null,
        audioRoomId: null,
        videoRoomId: null,
      },
    });
    expect(errorOf(await stage.select(b, channel))).toEqual([400, "Channel already selected"]);
    expect(errorOf(await stage.select(b, crypto.randomUUID()))).toEqual([404, "Not found"]);
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    expect(errorOf(await stage.select(b, secret))).toEqual([403, "Access denied"]);
    expect(errorOf(await stage.select(b, channel, { ...MEDIA, camera: 1 }))).toEqual([
      400,
      "Invalid request payload input",
    ]);
    await stage.must(stage.unselect(b, channel));
    expect(errorOf(await stage.unselect(b, channel))).toEqual([400, "Channel is not selected"]);
  });

  test("W-6.34 W-6.36 one socket from X to Y; two devices in one channel", async () => {
    const other = await stage.channel(workspace, alice);
    await stage.must(stage.select(b, channel));
    await a.rest();
    await stage.must(stage.select(b, other));
    expect(await a.rest()).toEqual([
      ["user-unselected-channel", { userId: bob.id, channelId: channel, socketId: b.id }],
      ["user-selected-channel", { userId: bob.id, channelId: other, userMediaState: MEDIA, socketId: b.id }],
    ]);
    const phone = await stage.client(bob, workspace);
    await stage.must(stage.select(phone, other));
    expect(await a.names()).toEqual(["user-selected-channel"]);
    expect(await phone.names()).toEqual(["user-selected-channel", "user-changed-device"]);
    // The first device is out, without a word about it (W-15.13).
    expect(errorOf(await stage.unselect(b, other))).toEqual([400, "Channel is not selected"]);
    a.emit("conversation-broadcast", "x");
    expect(await stage.inside(other, alice)).toEqual([bob.id]);
  });

  test("W-8.8 W-8.10 W-6.19 media states keep their start times; event and REST agree", async () => {
    await stage.must(stage.select(b, channel, { ...MEDIA, screen: true }));
    await a.rest();
    const set = async (media: object) => {
      await stage.must(stage.post(`/user/media-state?socketId=${b.id}`, bob, media));
      const [[event, payload]] = (await a.rest()) as [[string, { userMediaState: Json }]];
      expect(event).toBe("media-state-updated");
      const [shown] = await stage.must(stage.get(`/channels/${channel}/active-users`, alice));
      expect(shown).toEqual({ ...payload.userMediaState, userId: bob.id });
      return payload.userMediaState;
    };
    const first = await set({ ...MEDIA, screen: true, camera: true, speaking: true, startScreenTs: "forged" });
    const since = new Date(stage.clock!.now()).toISOString();
    expect(first).toEqual({
      ...MEDIA,
      screen: true,
      camera: true,
      speaking: true,
      startCameraTs: since,
      startSpeakingTs: since,
    });
    stage.clock!.advance(1_000);
    expect((await set({ ...MEDIA, camera: true, speaking: true })).startCameraTs).toBe(since);
    const muted = await set({ ...MEDIA, microphone: false, speaking: true });
    expect(muted).toEqual({ ...MEDIA, microphone: false, speaking: false });
    expect(errorOf(await stage.post(`/user/media-state?socketId=${a.id}`, alice, MEDIA))).toEqual([
      400,
      "Socket connection not in a channel",
    ]);
  });

  test("W-8.11 usage and calls are counted", async () => {
    await stage.must(stage.select(b, channel));
    await stage.must(stage.select(a, channel));
    await stage.must(stage.unselect(a, channel));
    await stage.must(stage.select(a, channel));
    const { channels, users } = await stage.must(stage.get(`/workspaces/${workspace}`, alice));
    const relation = channels.find(({ id }: Json) => id === channel).userRelation;
    expect(relation).toEqual({ role: "admin", usageCount: 2, latestUsage: expect.any(String) });
    const other = users.find(({ id }: Json) => id === bob.id);
    expect([other.callsCount, typeof other.latestCall]).toEqual([2, "string"]);
  });

  test("W-8.12 W-4.74 muting asks for one conversation", async () => {
    await stage.must(stage.select(b, channel));
    const mute = () => stage.post(`/mute-for-all?socketId=${a.id}`, alice, { userId: bob.id });
    expect(errorOf(await mute())).toEqual([400, "Users are not in the same channel"]);
    await stage.must(stage.select(a, await stage.channel(workspace, alice)));
    expect(errorOf(await mute())).toEqual([400, "Users are not in the same channel"]);
    await b.rest();
    await stage.must(stage.select(a, channel));
    expect((await mute()).text).toBe("ok");
    expect((await b.names()).filter((name) => name === "muted-for-all")).toHaveLength(1);
  });

  test("W-8.4 many parallel selects of one user end as one after the other", async () => {
    const others = await Promise.all([1, 2, 3].map(() => stage.channel(workspace, alice)));
    await Promise.all(others.map((one) => stage.select(b, one)));
    const inside = await Promise.all(others.map((one) => stage.inside(one, alice)));
    expect(inside.flat()).toEqual([bob.id]);
    const told = (await a.rest()).filter(([event]) => event.startsWith("user-"));
    expect(told.map(([event]) => event.split("-")[1])).toEqual([
      "selected",
      "unselected",
      "selected",
      "unselected",
      "selected",
    ]);
  });
});

describe("status", () => {
  test("W-7.4 W-7.5 W-7.7 W-7.9 chosen for all devices until the last is gone", async () => {
    await stage.must(stage.status(b, "offline"));
    expect(await a.rest()).toEqual([["online-status-updated", { userId: bob.id, onlineStatus: "offline" }]]);
    expect(await b.names()).toEqual(["online-status-updated", "my-online-status-updated"]);
    const phone = await stage.connect(bob);
    expect(await phone.auth(workspace, { onlineStatus: "online" })).toMatchObject({ onlineStatus: "offline" });
    await stage.must(stage.status(b, "idle", "sleep"));
    await stage.must(stage.status(phone, "online", "sleep"));
    expect(await a.rest()).toEqual([]);
    b.emit("logout");
    phone.emit("logout");
    await b.until("disconnect");
    await phone.until("disconnect");
    expect(await a.rest()).toEqual([]);
    const back = await stage.connect(bob);
    expect(await back.auth(workspace)).toMatchObject({ onlineStatus: "online" });
    expect(await a.rest()).toEqual([["online-status-updated", { userId: bob.id, onlineStatus: "online" }]]);
    const sleepy = await stage.post(`/user/online-status?socketId=${back.id}`, bob, {
      onlineStatus: "offline",
      cause: "sleep",
    });
    expect(sleepy.status).toBe(400);
  });

  test("W-7.8 an idle that came from auth is cleared by a wake", async () => {
    b.emit("logout");
    await b.until("disconnect");
    const back = await stage.connect(bob);
    expect(await back.auth(workspace, { onlineStatus: "idle" })).toMatchObject({ onlineStatus: "idle" });
    await a.rest();
    await stage.must(stage.status(back, "online", "sleep"));
    expect(await a.rest()).toEqual([["online-status-updated", { userId: bob.id, onlineStatus: "online" }]]);
  });

  test("W-7.10 W-8.18 W-8.19 a lost socket: silence for the grace, then offline, once", async () => {
    b.drop();
    await b.until("disconnect");
    const unknown = "Unknow socket connection";
    const media = () => stage.post(`/user/media-state?socketId=${b.id}`, bob, MEDIA);
    await eventually(async () => (await media()).body.message === unknown);
    await stage.pass(4_000);
    expect(await a.rest()).toEqual([]);
    await stage.pass(2_000);
    expect(await a.next()).toEqual(["online-status-updated", { userId: bob.id, onlineStatus: "offline" }]);
    await stage.pass(20_000);
    expect(await a.rest()).toEqual([]);
  });
});

describe("channels that end", () => {
  test("W-6.37 the last one out of a temporary channel ends it, unless its lifespan is not over", async () => {
    const brief = await stage.channel(workspace, alice, { isTemporary: true });
    const lasting = await stage.channel(workspace, alice, { isTemporary: true, lifespan: 60_000 });
    const invite = { userId: alice.id, channelId: brief, workspaceId: workspace, message: {}, isResponseNeeded: true };
    await stage.must(stage.select(b, brief));
    await stage.must(stage.post("/send-invite", bob, invite));
    await a.rest();
    await stage.must(stage.unselect(b, brief));
    expect(await a.names()).toEqual(["user-unselected-channel", "invite-cancelled", "channel-deleted"]);
    await stage.must(stage.select(b, lasting));
    await stage.must(stage.unselect(b, lasting));
    expect(await a.names()).toEqual(["user-selected-channel", "user-unselected-channel"]);
    await stage.pass(145_000);
    await eventually(() => ended(lasting));
    expect(await a.until("channel-deleted")).toMatchObject({ channelId: lasting });
    expect(await a.names()).not.toContain("channel-deleted");
  });

  test("W-6.37 W-4.56 W-4.57 the last one out ends it also by losing it; one who was not inside does not", async () => {
    const leave = (id: string) => stage.post(`/channels/${id}/leave`, bob);
    const putOut = (id: string) => stage.post(`/channels/${id}/delete-users`, alice, { users: [bob.id] });
    for (const lose of [leave, putOut]) {
      const brief = await stage.channel(workspace, alice, { isTemporary: true });
      const idle = await stage.channel(workspace, alice, { isTemporary: true });
      const invite = {
        userId: alice.id,
        channelId: brief,
        workspaceId: workspace,
        message: {},
        isResponseNeeded: true,
      };
      await stage.must(stage.select(b, brief));
      await stage.must(stage.post("/send-invite", bob, invite));
      await Promise.all([a.rest(), b.rest()]);
      await stage.must(lose(brief));
      expect(await a.names()).toEqual(["user-unselected-channel", "invite-cancelled", "channel-deleted"]);
      expect((await b.names())[0]).toBe("user-unselected-channel");
      expect((await stage.get(`/channels/${brief}`, alice)).status).toBe(404);
      await stage.must(lose(idle));
      expect(await a.names()).toEqual([]);
      expect((await stage.get(`/channels/${idle}`, alice)).status).toBe(200);
    }
  });

  test("W-8.14 a talk nobody enters ends after ten minutes", async () => {
    const { channel: talk } = await stage.must(
      stage.post(`/workspaces/${workspace}/private-talk`, alice, { users: [bob.id] }),
    );
    await stage.pass(590_000);
    expect((await stage.get(`/channels/${talk.id}`, alice)).status).toBe(200);
    await stage.pass(40_000);
    await eventually(() => ended(talk.id));
  });
});

describe("talks, members and guests", () => {
  test("W-4.51 W-6.45 a talk of two is found again; its order of events", async () => {
    const open = (users: string[]) => stage.post(`/workspaces/${workspace}/private-talk`, alice, { users });
    expect(errorOf(await open([alice.id]))).toEqual([400, "Choose users for private talk"]);
    expect(errorOf(await open([crypto.randomUUID()]))).toEqual([400, "Not all users are in the same workspace"]);
    const { channel: talk } = await stage.must(open([bob.id, bob.id]));
    expect([talk.name, talk.isPrivate, talk.isTemporary]).toEqual(["Alice, Bob", true, true]);
    expect(await a.names()).toEqual(["channel-created"]);
    const told = await b.rest();
    expect(told.slice(-2)).toEqual([
      ["channel-created", { channelId: talk.id, workspaceId: workspace }],
      [
        "invite",
        {
          inviteId: expect.any(String),
          isResponseNeeded: true,
          userId: alice.id,
          workspaceId: workspace,
          channelId: talk.id,
          message: { action: "invite", channelId: talk.id, isResponseNeeded: true },
        },
      ],
    ]);
    expect((await stage.must(open([bob.id]))).channel.id).toBe(talk.id);
    const other = stage.post(`/workspaces/${workspace}/private-talk`, bob, { users: [alice.id] });
    expect((await stage.must(other)).channel.id).toBe(talk.id);
    expect(await a.rest()).toEqual([]);
    // Entering the talk takes the invite back (W-6.33).
    await stage.must(stage.select(b, talk.id));
    expect(await b.names()).toEqual(["user-selected-channel", "invite-cancelled"]);
  });

  test("W-4.55 W-4.56 W-4.57 W-4.58 W-6.32 members of a private channel", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await a.rest();
    await b.rest();
    const change = (what: string, who: Person, users: string[]) =>
      stage.post(`/channels/${secret}/${what}`, who, { users });
    expect((await change("add-users", bob, [bob.id])).status).toBe(403);
    expect(errorOf(await change("add-users", alice, [crypto.randomUUID()]))).toEqual([
      400,
      "Not all users are in the same workspace",
    ]);
    stage.clock!.advance(1_000);
    await stage.must(change("add-users", alice, [bob.id, alice.id]));
    expect(await b.rest()).toEqual([["channel-created", { channelId: secret, workspaceId: workspace }]]);
    await stage.must(stage.select(b, secret));
    expect(await a.names()).toEqual(["user-selected-channel"]);
    expect(errorOf(await change("delete-users", alice, [alice.id]))).toEqual([400, "Last admin in channel"]);
    const role = (who: Person, userId: string, name: string) =>
      stage.post(`/channels/${secret}/permissions`, who, { userId, role: name });
    expect(errorOf(await role(alice, alice.id, "user"))).toEqual([400, "Last admin in channel"]);
    expect(errorOf(await role(alice, crypto.randomUUID(), "user"))).toEqual([400, "User is not channel member"]);
    const members = await stage.must(stage.get(`/channels/${secret}/members`, bob));
    expect(members.map(({ channelRelation }: Json) => channelRelation.role)).toEqual(["admin", "user"]);
    // The last admin leaves: the longest member follows; then the last member, and the channel ends.
    await stage.must(stage.post(`/channels/${secret}/leave`, alice));
    expect(await a.names()).toEqual(["channel-deleted"]);
    const renamed = await stage.must(stage.post(`/channels/${secret}`, bob, { name: "Now mine" }));
    expect(renamed.channel.name).toBe("Now mine");
    expect((await b.names()).at(-1)).toBe("channel-updated");
    await stage.must(stage.post(`/channels/${secret}/leave`, bob));
    expect(await b.names()).toEqual(["user-unselected-channel", "channel-deleted", "channel-deleted"]);
    expect((await stage.get(`/channels/${secret}`, bob)).status).toBe(404);
  });

  test("W-4.60 W-8.16 a guest comes by token, and goes with the last socket", async () => {
    const guest = await stage.guest(channel, alice, "A Guest");
    const [[event, joined]] = (await a.rest()) as [[string, Json]];
    expect([event, joined.user.temporaryUser, joined.user.role]).toEqual(["user-joined", true, undefined]);
    const g = await stage.client(guest, workspace);
    await stage.must(stage.select(g, channel));
    await a.rest();
    await stage.channel(workspace, alice, { name: "Not for guests" });
    expect((await stage.must(stage.get(`/workspaces/${workspace}`, guest))).channels).toHaveLength(1);
    await a.rest();
    g.emit("logout");
    expect(await a.next()).toEqual(["online-status-updated", { userId: guest.id, onlineStatus: "offline" }]);
    expect(await a.next()).toEqual([
      "user-unselected-channel",
      { userId: guest.id, channelId: channel, socketId: g.id },
    ]);
    expect(await a.next()).toEqual(["user-leaved-workspace", { userId: guest.id, workspaceId: workspace }]);
    expect((await stage.get("/me", guest)).body.message).toBe("Bad token");
  });

  test("W-4.61 W-6.40 deactivating a token puts its guests out", async () => {
    const guest = await stage.guest(channel, alice);
    const g = await stage.client(guest, workspace);
    const { id, token } = await stage.must(stage.get(`/channels/${channel}/invite`, bob));
    await stage.must(stage.post(`/channel-invites/${id}/deactivate`, bob));
    expect(await g.until("kicked-from-workspace")).toEqual({ workspaceId: workspace });
    expect(errorOf(await stage.post(`/channels/join/${token}`, null, { name: "X" }))).toEqual([
      400,
      "Invalid invite code",
    ]);
    expect(errorOf(await stage.get(`/channels/${channel}/invite`, bob))).toEqual([404, "InviteNotFound"]);
  });
});

describe("invites", () => {
  const invite = (more: object = {}) => ({
    userId: bob.id,
    channelId: channel,
    workspaceId: workspace,
    message: { any: ["thing"] },
    isResponseNeeded: true,
    ...more,
  });

  test("W-9.4 W-9.6 W-9.7 W-6.44 into a private channel; repeats are one; without an answer nothing is kept", async () => {
    const secret = await stage.channel(workspace, alice, { isPrivate: true });
    await b.rest();
    const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite({ channelId: secret })));
    expect(await b.names()).toEqual(["channel-created", "invite"]);
    const again = await stage.must(stage.post("/send-invite", alice, invite({ channelId: secret })));
    expect([again.inviteId, await b.rest()]).toEqual([inviteId, []]);
    const loose = await stage.must(stage.post("/send-invite", alice, invite({ isResponseNeeded: false })));
    expect(errorOf(await stage.post("/invite-response", bob, { inviteId: loose.inviteId }))).toEqual([
      400,
      "Message not found",
    ]);
    await stage.must(stage.post(`/channels/${secret}/delete-users`, alice, { users: [bob.id] }));
    expect(await b.names()).toEqual(["invite", "invite-cancelled", "channel-deleted"]);
    await stage.pass(45_000);
    expect((await a.names()).filter((name) => name === "invite-response")).toEqual([]);
  });

  test("W-4.76 W-9.3 many at once: doubles, oneself, strangers and who is there already", async () => {
    const carol = await stage.member(workspace, alice);
    await stage.must(stage.select(b, channel));
    const users = [carol.id, carol.id, alice.id, bob.id, crypto.randomUUID()];
    const { userId: _, ...body } = invite();
    const { invites } = await stage.must(stage.post("/send-invites", alice, { ...body, users }));
    expect(invites).toEqual([
      { userId: carol.id, status: "ok", invite: expect.any(String) },
      { userId: alice.id, status: "ok" },
      { userId: bob.id, status: "ok" },
      { userId: users[4], status: "error" },
    ]);
    expect(errorOf(await stage.post("/send-invite", alice, invite()))).toEqual([400, "User is already in the channel"]);
    expect(
      errorOf(
        await stage.post("/send-invite/slack", alice, { userId: bob.id, channelId: channel, workspaceId: workspace }),
      ),
    ).toEqual([400, "Workspace not connected slack"]);
  });

  test("W-9.9 nobody answers: no-response, once, to all devices of the sender", async () => {
    const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite()));
    await stage.pass(39_000);
    expect(await a.rest()).toEqual([]);
    await stage.pass(3_000);
    expect(await a.next()).toEqual(["invite-response", { inviteId, userId: bob.id, response: "no-response" }]);
    await stage.pass(20_000);
    expect(await a.rest()).toEqual([]);
  });
});
