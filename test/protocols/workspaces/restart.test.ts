import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { workspaces } from "../../../src/protocols/workspaces/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import { startGateway } from "../../support/gateway.ts";
import { eventually, HANGS, SETTINGS, Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
afterAll(() => stages.stop());

test("W-11.27 a lone node restarts: all offline, sessions and members survive, an overdue invite is reported once", async () => {
  // Whatever the stop may take of the first node's time, the invite comes due while none runs.
  const env = { WORKSPACES_INVITE_TIMEOUT: "36000", WORKSPACES_ACCESS_TTL: "864000" };
  await using before = await stages.startTimed(env);
  const alice = await before.person("Alice Adams");
  const workspace = await before.workspace(alice);
  const bob = await before.member(workspace, alice, "Bob Brown");
  const channel = await before.channel(workspace, alice);
  const b = await before.client(bob, workspace);
  await before.must(before.select(b, channel));
  const second = await before.channel(workspace, alice);
  const message = { workspaceId: workspace, channelId: second, message: {}, isResponseNeeded: true };
  const { inviteId } = await before.must(before.post("/send-invite", alice, { ...message, userId: bob.id }));
  await before.stop();

  await using after = await stages.start({ env, clock: new ManualClock(Date.now() + 40_000_000) });
  expect(await after.seen(workspace, alice, bob)).toBe("offline");
  expect(await after.inside(channel, alice)).toEqual([]);
  const a = await after.client(alice, workspace);
  await after.pass(5_000);
  expect(await a.until("invite-response")).toEqual({ inviteId, userId: bob.id, response: "no-response" });
  const back = await after.connect(bob);
  expect(await back.auth(workspace, { prevSocketId: b.id })).toMatchObject({
    reconnected: false,
    onlineStatus: "online",
  });
  await after.pass(10_000);
  expect(a.told.filter(([event]) => event === "invite-response")).toHaveLength(1);
});

test("W-8.16 W-11.27 a guest whose socket ended with the only node is gone with it", async () => {
  await using before = await stages.start();
  const alice = await before.person("Alice Adams");
  const workspace = await before.workspace(alice);
  const channel = await before.channel(workspace, alice);
  const [here, expected] = [await before.guest(channel, alice), await before.guest(channel, alice)];
  await before.must(before.select(await before.client(here, workspace), channel));
  await before.stop();

  await using after = await stages.startTimed();
  await eventually(async () => {
    await after.pass(1_000);
    return (await after.get("/me", here)).status === 401;
  });
  // One who has not been here yet is waited for.
  expect((await after.get("/me", expected)).status).toBe(200);
});

test("a reload keeps sockets, statuses and conversations; events go on", async () => {
  const databaseUrl = await stages.databaseUrl();
  const gateway = await startGateway({
    protocols: [workspaces],
    env: { ...SETTINGS, ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }) },
  });
  await using stage = new Stage(gateway, null);
  const alice = await stage.person();
  const workspace = await stage.workspace(alice);
  const channel = await stage.channel(workspace, alice);
  const client = await stage.client(alice, workspace);
  await stage.must(stage.select(client, channel));
  await client.rest();
  await gateway.gateway.reload([workspaces]);
  expect(await stage.seen(workspace, alice, alice)).toBe("online");
  expect(await stage.inside(channel, alice)).toEqual([alice.id]);
  client.emit("conversation-broadcast", "still here");
  expect(await client.next()).toEqual(["conversation-broadcast", "still here"]);
  await stage.must(stage.status(client, "idle"));
  expect(await client.names()).toEqual(["online-status-updated", "my-online-status-updated"]);
  client.emit("logout");
  await client.until("disconnect");
  await eventually(async () => (await stage.seen(workspace, alice, alice)) === "offline");
});
