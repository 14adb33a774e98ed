import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { janusAvailable, startJanus, type TestJanus } from "../../support/janus.ts";
import { JanusClient } from "./media/client.ts";
import { environmentOf } from "./media/stage.ts";
import { HANGS, type Json, MEDIA, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
/** A media server, where there is one on this machine. */
let janus: TestJanus | null = null;
beforeAll(async () => {
  janus = janusAvailable ? await startJanus() : null;
  stage = await stages.startTimed(janus ? environmentOf([janus]) : {});
});
afterAll(async () => {
  await stages.stop();
  await janus?.close();
});

/** Selects a channel, and joins its rooms with what it was given, as the client does. */
async function enter(client: Client, channel: string): Promise<Json> {
  const { connectionOptions: options } = await stage.must(stage.select(client, channel));
  if (janus) await join(options, client.person);
  else expect(Object.values(options)).toEqual(Array(6).fill(null));
  return options;
}

async function join(options: Json, { id }: Person): Promise<void> {
  const media = await JanusClient.open(options);
  expect(await media.join("audiobridge", options, id)).toBe("joined");
  expect(await media.join("videoroom", options, id)).toBe("joined");
  await media.close();
}

/** The script of the existing desktop client, from the first start to the last, on Socket.IO 2.4. */
test("a desktop session: sign up, join, talk on two devices, drop out and come back, invite, mute, kick", async () => {
  const alice = await stage.person("Alice Adams");
  const workspace = await stage.workspace(alice, "Our place");
  const bob = await stage.member(workspace, alice, "Bob Brown");
  const [channel, other] = [await stage.channel(workspace, alice), await stage.channel(workspace, alice)];
  const a = await stage.client(alice, workspace);
  const phone = await stage.connect(bob);
  const first = await phone.auth(workspace, { onlineStatus: "online", prevSocketId: null });
  expect(first).toEqual({ userId: bob.id, transaction: "auth", reconnected: false, onlineStatus: "online" });
  expect(await a.next()).toEqual(["online-status-updated", { userId: bob.id, onlineStatus: "online" }]);

  // Select on one device, then on another in another channel: selected, changed device, unselected (W-6.35).
  await enter(phone, other);
  const desk = await stage.client(bob, workspace);
  await a.until("user-selected-channel");
  const options = await enter(desk, channel);
  expect(await phone.rest()).toEqual([
    ["user-selected-channel", { userId: bob.id, channelId: other, userMediaState: MEDIA, socketId: phone.id }],
    ["user-selected-channel", { userId: bob.id, channelId: channel, userMediaState: MEDIA, socketId: desk.id }],
    ["user-changed-device", null],
    ["user-unselected-channel", { userId: bob.id, channelId: other, socketId: phone.id }],
  ]);
  expect(await a.names()).toEqual(["user-selected-channel", "user-unselected-channel"]);
  await desk.rest();
  phone.emit("logout");
  expect(await phone.until("disconnect")).toBe("io server disconnect");

  // A network drop, and back inside the grace: the conversation goes on under the new id.
  await stage.select(a, channel);
  await a.rest();
  const before = desk.id;
  desk.drop();
  await desk.until("disconnect");
  expect(await a.next()).toEqual([
    "conversation-broadcast",
    { action: "socket-reconnecting", userId: bob.id, data: true },
  ]);
  await stage.pass(30_000);
  const back = await stage.connect(bob);
  const resumed = await back.auth(workspace, { prevSocketId: before });
  // It keeps its old options, so these are still the ones that count (W-15.17).
  const { janusAuthToken: serverAuthToken, ...kept } = options;
  expect(resumed).toMatchObject({ reconnected: true, channelId: channel, serverAuthToken, ...kept });
  if (janus) await join(options, bob);
  expect(await a.rest()).toEqual([
    ["conversation-broadcast", { action: "socket-reconnecting", userId: bob.id, data: false }],
  ]);
  await stage.pass(60_000);
  expect(await stage.inside(channel, alice)).toEqual([alice.id, bob.id].sort());
  await a.rest();

  // And outside: he left, and starts anew.
  const lost = back.id;
  back.drop();
  await back.until("disconnect");
  await a.next();
  await stage.pass(61_000);
  expect(await a.until("user-unselected-channel")).toEqual({ userId: bob.id, channelId: channel, socketId: lost });
  const again = await stage.connect(bob);
  expect(await again.auth(workspace, { prevSocketId: lost })).toMatchObject({ reconnected: false });

  await invites(stage, { alice, bob, workspace, channel, a, b: again });
  await moods(stage, { bob, workspace, a, b: again });

  // Mute for all, then out.
  await stage.select(again, channel);
  await again.rest();
  expect((await stage.post(`/mute-for-all?socketId=${a.id}`, alice, { userId: bob.id })).text).toBe("ok");
  expect(await again.rest()).toEqual([["muted-for-all", { fromUserId: alice.id, socketId: again.id }]]);
  await a.rest();
  await stage.must(stage.delete(`/workspaces/${workspace}/members/${bob.id}`, alice));
  expect(await again.until("kicked-from-workspace")).toEqual({ workspaceId: workspace });
  expect(await again.next()).toEqual(["disconnect", "io server disconnect"]);
  expect(await a.rest()).toEqual([
    ["user-unselected-channel", { userId: bob.id, channelId: channel, socketId: again.id }],
    ["user-leaved-workspace", { userId: bob.id, workspaceId: workspace }],
  ]);
});

type Client = Awaited<ReturnType<Stage["client"]>>;

async function invites(
  stage: Stage,
  {
    alice,
    bob,
    workspace,
    channel,
    a,
    b,
  }: Record<"alice" | "bob", Person> & Record<"workspace" | "channel", string> & Record<"a" | "b", Client>,
): Promise<void> {
  const message = { action: "invite", note: "come" };
  const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message, isResponseNeeded: true };
  await a.rest();
  await b.rest();
  const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite));
  expect(await b.rest()).toEqual([
    [
      "invite",
      { inviteId, isResponseNeeded: true, userId: alice.id, workspaceId: workspace, channelId: channel, message },
    ],
  ]);
  await stage.must(stage.post("/invite-response", bob, { inviteId, response: { state: "later" } }));
  expect(await a.rest()).toEqual([["invite-response", { inviteId, userId: bob.id, response: { state: "later" } }]]);
  const second = (await stage.must(stage.post("/send-invite", alice, invite))).inviteId;
  await stage.pass(41_000);
  expect(await a.until("invite-response")).toEqual({ inviteId: second, userId: bob.id, response: "no-response" });
  expect((await stage.post("/invite-response", bob, { inviteId: second })).body.message).toBe("Message not found");
  await b.rest();
}

async function moods(
  stage: Stage,
  { bob, workspace, a, b }: { bob: Person; workspace: string; a: Client; b: Client },
): Promise<void> {
  const tablet = await stage.client(bob, workspace);
  await b.rest();
  await stage.must(stage.status(b, "idle", "sleep"));
  expect(await a.rest()).toEqual([]);
  await stage.must(stage.status(tablet, "idle", "sleep"));
  expect(await a.rest()).toEqual([["online-status-updated", { userId: bob.id, onlineStatus: "idle" }]]);
  await stage.must(stage.status(b, "online", "sleep"));
  expect(await a.rest()).toEqual([["online-status-updated", { userId: bob.id, onlineStatus: "online" }]]);
  await stage.must(stage.status(b, "idle"));
  expect(await b.names()).toEqual([
    "online-status-updated",
    "online-status-updated",
    "online-status-updated",
    "my-online-status-updated",
  ]);
  await stage.must(stage.status(b, "online"));
  await a.rest();
  await b.rest();
  tablet.close();
}
