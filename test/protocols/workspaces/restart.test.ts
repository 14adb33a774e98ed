import { afterAll, expect, test } from "bun:test";
import { workspaces } from "../../../src/protocols/workspaces/protocol.ts";
import { startGateway } from "../../support/gateway.ts";
import { eventually, SETTINGS, Stage, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

test("W-11.27 a lone node restarts: all offline, sessions and members survive, an overdue invite is reported once", async () => {
  const env = { WORKSPACES_INVITE_TIMEOUT: "1" };
  const before = await stages.start({ env });
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

  const after = await stages.start({ env });
  expect(await after.seen(workspace, alice, bob)).toBe("offline");
  expect(await after.inside(channel, alice)).toEqual([]);
  const a = await after.client(alice, workspace);
  expect(await a.until("invite-response")).toEqual({ inviteId, userId: bob.id, response: "no-response" });
  const back = await after.connect(bob);
  expect(await back.auth(workspace, { prevSocketId: b.id })).toMatchObject({
    reconnected: false,
    onlineStatus: "online",
  });
  await after.stop();
});

test("a reload keeps sockets, statuses and conversations; events go on", async () => {
  const databaseUrl = await stages.databaseUrl();
  const gateway = await startGateway({
    protocols: [workspaces],
    env: { ...SETTINGS, ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }) },
  });
  const stage = new Stage(gateway, null);
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
  await stage.stop();
});
