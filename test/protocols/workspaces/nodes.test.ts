import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { connectClient } from "./client.ts";
import { eventually, MEDIA, type Person, SETTINGS, Stage, Stages } from "./stage.ts";

setDefaultTimeout(90_000);

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

/** Environment of nodes that share a Redis, of this test alone. */
let shared: Record<string, string>;
let remove: () => Promise<void>;
beforeEach(() => {
  const prefix = freshPrefix(redis.url);
  remove = prefix.remove;
  shared = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
});
afterEach(() => remove());

/** A node in a process of its own. */
async function nodeProcess(env: Record<string, string> = {}): Promise<GatewayProcess & { stage: Stage }> {
  const database = await stages.databaseUrl();
  const node = await startProcess({
    env: {
      ...SETTINGS,
      ...shared,
      ...(database === undefined ? {} : { DATABASE_URL: database }),
      // Its first line says where it listens.
      LOG_LEVEL: "info",
      ...env,
    },
  });
  return Object.assign(node, { stage: new Stage({ url: node.url, stop: () => node.cleanUp() }, null) });
}

const reconnecting = (who: Person, data: boolean) => [
  "conversation-broadcast",
  { action: "socket-reconnecting", userId: who.id, data },
];

describe.if(redis.available)("two nodes on one Redis", () => {
  let here: Stage;
  let there: Stage;
  let alice: Person;
  let bob: Person;
  let workspace: string;
  let channel: string;
  beforeEach(async () => {
    [here, there] = [await stages.start({ env: shared }), await stages.start({ env: shared })];
    alice = await here.person("Alice Adams");
    workspace = await here.workspace(alice);
    bob = await here.member(workspace, alice, "Bob Brown");
    channel = await here.channel(workspace, alice);
  });
  afterEach(async () => {
    await here.stop();
    await there.stop();
  });

  test("W-6.35 W-6.36 W-1.19 device switch between nodes, by REST on either, in order", async () => {
    const other = await here.channel(workspace, alice);
    const watcher = await there.client(alice, workspace);
    const one = await here.client(bob, workspace);
    const two = await there.client(bob, workspace, { generation: 4 });
    await watcher.until("online-status-updated");
    // The socket of the other node is named here, and the other way round (W-11.23).
    expect((await there.select(one, other)).status).toBe(200);
    for (const client of [watcher, one, two]) await client.until("user-selected-channel");
    expect((await here.select(two, channel)).status).toBe(200);
    const selected = { userId: bob.id, channelId: channel, userMediaState: MEDIA, socketId: two.id };
    const left = { userId: bob.id, channelId: other, socketId: one.id };
    for (const client of [one, two]) {
      expect(await client.next()).toEqual(["user-selected-channel", selected]);
      expect(await client.next()).toEqual(["user-changed-device", null]);
      expect(await client.next()).toEqual(["user-unselected-channel", left]);
    }
    expect(await watcher.next()).toEqual(["user-selected-channel", selected]);
    expect(await watcher.next()).toEqual(["user-unselected-channel", left]);
    // What one says in the conversation reaches the other node's participants, and nobody who is out of it.
    await here.select(watcher, channel);
    await two.until("user-selected-channel");
    watcher.emit("conversation-broadcast", { action: "hand-up", data: { state: true } });
    expect(await two.until("conversation-broadcast")).toEqual({
      action: "hand-up",
      data: { state: true },
      userId: alice.id,
    });
    expect((await one.rest()).filter(([event]) => event === "conversation-broadcast")).toEqual([]);
  });

  test("W-7.2 W-7.10 status over devices on two nodes", async () => {
    const watcher = await here.client(alice, workspace);
    const one = await here.client(bob, workspace);
    expect(await watcher.next()).toEqual(["online-status-updated", { userId: bob.id, onlineStatus: "online" }]);
    const two = await there.client(bob, workspace);
    await there.must(there.status(two, "idle", "sleep"));
    await there.must(there.status(two, "online", "sleep"));
    await there.must(there.status(one, "idle", "sleep"));
    await here.must(here.status(two, "idle", "sleep"));
    expect(await watcher.next()).toEqual(["online-status-updated", { userId: bob.id, onlineStatus: "idle" }]);
    expect(await here.seen(workspace, alice, bob)).toBe("idle");
    one.emit("logout");
    two.emit("logout");
    expect(await watcher.next()).toEqual(["online-status-updated", { userId: bob.id, onlineStatus: "offline" }]);
  });

  test("W-8.22 W-8.24 a take-over from another node soft-closes the old socket", async () => {
    const watcher = await here.client(alice, workspace);
    const old = await here.client(bob, workspace);
    await here.select(old, channel);
    await here.select(watcher, channel);
    await watcher.until("user-selected-channel");
    await watcher.until("user-selected-channel");
    const fresh = await there.connect(bob);
    expect(await fresh.auth(workspace, { prevSocketId: old.id })).toMatchObject({
      reconnected: true,
      channelId: channel,
    });
    expect(await watcher.next()).toEqual(reconnecting(bob, false) as never);
    expect(await old.until("disconnect")).toBe("transport close");
    expect((await here.unselect(old, channel)).body.message).toBe("Channel is not selected");
    await here.must(here.unselect(fresh, channel));
    expect(await watcher.next()).toEqual([
      "user-unselected-channel",
      { userId: bob.id, channelId: channel, socketId: fresh.id },
    ]);
  });

  test("W-6.40 W-9 invites and a kick reach the other node; only that workspace's sockets are closed", async () => {
    const elsewhere = await here.workspace(bob, "Another place");
    const sender = await here.client(alice, workspace);
    const target = await there.client(bob, workspace);
    const apart = await there.client(bob, elsewhere);
    const invite = { userId: bob.id, channelId: channel, workspaceId: workspace, message: {}, isResponseNeeded: true };
    const { inviteId } = await here.must(here.post("/send-invite", alice, invite));
    expect(await target.until("invite")).toMatchObject({ inviteId, userId: alice.id });
    await there.must(there.post("/invite-response", bob, { inviteId }));
    expect(await sender.until("invite-response")).toEqual({ inviteId, userId: bob.id, response: {} });
    await here.must(here.delete(`/workspaces/${workspace}/members/${bob.id}`, alice));
    expect(await target.until("kicked-from-workspace")).toEqual({ workspaceId: workspace });
    expect(await target.next()).toEqual(["disconnect", "io server disconnect"]);
    expect((await apart.names()).at(-1)).toBe("kicked-from-workspace");
    expect(apart.socket.connected).toBe(true);
  });

  test("W-2.11 signing out closes the session's sockets on every node, and no others", async () => {
    const mine = await there.client(bob, workspace);
    const { credentials } = await here.must(
      here.post("/signin", null, { credentials: { email: bob.email, password: "a password" } }),
    );
    const other = await there.client(bob, workspace, { token: credentials.accessToken });
    await here.must(here.post("/signout", bob));
    expect(await mine.until("disconnect")).toBe("io server disconnect");
    await other.settle();
    expect(other.socket.connected).toBe(true);
  });

  test("W-8.4 parallel selects of one user on two nodes end as one after the other", async () => {
    const [one, two] = [await here.client(bob, workspace), await there.client(bob, workspace)];
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all([here.select(one, channel), there.select(two, channel)]);
      for (const { status, body } of answers) {
        if (status !== 200) expect(body.message).toBe("Channel already selected");
      }
      expect(await here.inside(channel, alice)).toEqual([bob.id]);
    }
  });
});

describe.if(redis.available)("a node that ends", () => {
  test("W-7.11 W-11.22 kill -9: its users leave and go offline, once, within the contract's times; others are untouched", async () => {
    const survivor = await stages.start({ env: shared });
    const witness = await stages.start({ env: shared });
    const victim = await nodeProcess();
    try {
      const alice = await survivor.person("Alice Adams");
      const workspace = await survivor.workspace(alice);
      const bob = await survivor.member(workspace, alice, "Bob Brown");
      const carol = await survivor.member(workspace, alice, "Carol Clark");
      const channel = await survivor.channel(workspace, alice);
      const watchers = [await survivor.client(alice, workspace), await witness.client(alice, workspace)];
      const other = await witness.client(carol, workspace);
      const idle = await connectClient(victim.url, bob);
      await idle.auth(workspace);
      const dan = await survivor.member(workspace, alice, "Dan Drake");
      const talker = await connectClient(victim.url, dan);
      await talker.auth(workspace);
      await survivor.must(survivor.select(talker, channel));
      await survivor.must(survivor.select(other, channel));
      for (const client of [...watchers, other]) await client.until("user-selected-channel");
      await other.until("user-selected-channel");
      const died = Date.now();
      victim.child.kill("SIGKILL");
      expect(await other.until("conversation-broadcast")).toEqual(reconnecting(dan, true)[1]);
      expect(Date.now() - died).toBeLessThan(20_000);
      for (const client of watchers) {
        for (;;) {
          const update = (await client.until("online-status-updated")) as { userId: string; onlineStatus: string };
          if (update.userId === bob.id && update.onlineStatus === "offline") break;
        }
      }
      expect(Date.now() - died).toBeLessThan(30_000);
      // The one in the conversation has a minute; he comes back on another node and it goes on.
      const back = await witness.connect(dan);
      expect(await back.auth(workspace, { prevSocketId: talker.id })).toMatchObject({ reconnected: true });
      expect(await other.until("conversation-broadcast")).toEqual(reconnecting(dan, false)[1]);
      for (const client of [...watchers, other]) {
        await client.settle();
        const offline = [["online-status-updated", { userId: bob.id, onlineStatus: "offline" }]];
        const told = client.told.filter(
          ([event, payload]) => event === "online-status-updated" && JSON.stringify(payload).includes("offline"),
        );
        expect(told as unknown).toEqual(offline);
        expect(client.told.filter(([event]) => event === "user-unselected-channel")).toEqual([]);
      }
    } finally {
      await victim.cleanUp();
      await survivor.stop();
      await witness.stop();
    }
  });

  test("W-11.22 a node that was held up and given up by mistake: its sockets count again, on the same sockets", async () => {
    const survivor = await stages.start({ env: shared });
    const sleeper = await nodeProcess();
    try {
      const alice = await survivor.person("Alice Adams");
      const workspace = await survivor.workspace(alice);
      const bob = await survivor.member(workspace, alice, "Bob Brown");
      const watcher = await survivor.client(alice, workspace);
      const held = await connectClient(sleeper.url, bob);
      await held.auth(workspace);
      expect(await watcher.until("online-status-updated")).toEqual({ userId: bob.id, onlineStatus: "online" });
      sleeper.child.kill("SIGSTOP");
      expect(await watcher.until("online-status-updated")).toEqual({ userId: bob.id, onlineStatus: "offline" });
      sleeper.child.kill("SIGCONT");
      expect(await watcher.until("online-status-updated")).toEqual({ userId: bob.id, onlineStatus: "online" });
      await survivor.must(survivor.status(held, "idle"));
      expect(await held.until("my-online-status-updated")).toEqual({ onlineStatus: "idle" });
    } finally {
      await sleeper.cleanUp();
      await survivor.stop();
    }
  });

  test("W-8.19 W-9.10 restart of the only node: what came due meanwhile fires once, the rest survives", async () => {
    const times = { WORKSPACES_INVITE_TIMEOUT: "3", WORKSPACES_GRACE: "2", WORKSPACES_GRACE_IN_CHANNEL: "20" };
    const before = await nodeProcess(times);
    let after: Stage | undefined;
    try {
      const { stage } = before;
      const alice = await stage.person("Alice Adams");
      const workspace = await stage.workspace(alice);
      const bob = await stage.member(workspace, alice, "Bob Brown");
      const channel = await stage.channel(workspace, alice);
      const b = await connectClient(stage.url, bob);
      await b.auth(workspace);
      await stage.must(stage.select(b, channel));
      const second = await stage.channel(workspace, alice);
      const message = { workspaceId: workspace, message: {}, isResponseNeeded: true };
      const invite = { userId: bob.id, channelId: second, ...message };
      const { inviteId } = await stage.must(stage.post("/send-invite", alice, invite));
      before.child.kill("SIGKILL");
      await before.cleanUp();
      await Bun.sleep(3_000);

      after = await stages.start({ env: { ...shared, ...times } });
      const a = await after.client(alice, workspace);
      expect(await a.until("invite-response")).toEqual({ inviteId, userId: bob.id, response: "no-response" });
      // His session, membership and conversation survived: he takes it over.
      const back = await after.connect(bob);
      expect(await back.auth(workspace, { prevSocketId: b.id })).toMatchObject({
        reconnected: true,
        channelId: channel,
      });
      expect(await after.inside(channel, alice)).toEqual([bob.id]);
      await Bun.sleep(2_500);
      expect(a.told.filter(([event]) => event === "invite-response")).toHaveLength(1);
    } finally {
      await before.cleanUp();
      await after?.stop();
    }
  });
});

describe.if(redis.available)("stores away", () => {
  test("W-11.25 Redis away: sockets stay, reading works, the rest gets 503; back up nobody is offline", async () => {
    const target = new URL(redis.url);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 6379) });
    const stage = await stages.start({ env: { ...shared, REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
    try {
      const alice = await stage.person();
      const workspace = await stage.workspace(alice);
      const channel = await stage.channel(workspace, alice);
      const client = await stage.client(alice, workspace);
      proxy.cut();
      await eventually(async () => (await stage.select(client, channel)).status === 503);
      expect((await stage.select(client, channel)).body).toEqual({
        statusCode: 503,
        error: "Service Unavailable",
        message: "Service is temporarily unavailable",
      });
      expect((await stage.get(`/workspaces/${workspace}`, alice)).status).toBe(200);
      const late = await stage.connect(alice);
      expect(await late.auth(workspace)).toEqual({ event: "auth", message: "System error" });
      await client.settle();
      expect(client.socket.connected).toBe(true);
      proxy.restore();
      await eventually(async () => (await stage.select(client, channel)).status === 200);
      expect(await stage.seen(workspace, alice, alice)).toBe("online");
      expect(await late.auth(workspace)).toMatchObject({ userId: alice.id });
    } finally {
      proxy.restore();
      await stage.stop();
      await proxy.close();
    }
  });
});

describe.if((await stages.databaseUrl()) !== undefined)("Postgres away", () => {
  test("W-11.26 REST gets 503 and auth System error; sockets stay, and a loss meanwhile is made good", async () => {
    const target = new URL((await stages.databaseUrl()) as string);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 5432) });
    const through = new URL(target);
    through.host = `127.0.0.1:${proxy.port}`;
    const stage = await stages.start({ env: { DATABASE_URL: through.href } });
    try {
      const alice = await stage.person();
      const workspace = await stage.workspace(alice);
      const bob = await stage.member(workspace, alice);
      const [a, b] = [await stage.client(alice, workspace), await stage.client(bob, workspace)];
      const late = await stage.connect(bob);
      proxy.cut();
      const answer = await stage.get(`/workspaces/${workspace}`, alice);
      expect([answer.status, answer.body.message]).toEqual([503, "Service is temporarily unavailable"]);
      expect(await late.auth(workspace)).toEqual({ event: "auth", message: "System error" });
      b.drop();
      await b.until("disconnect");
      await a.settle();
      expect(a.socket.connected).toBe(true);
      proxy.restore();
      await eventually(async () => (await stage.get(`/workspaces/${workspace}`, alice)).status === 200);
      for (;;) {
        const update = await a.until("online-status-updated");
        if (Bun.deepEquals(update, { userId: bob.id, onlineStatus: "offline" })) break;
      }
    } finally {
      proxy.restore();
      await stage.stop();
      await proxy.close();
    }
  });
});
