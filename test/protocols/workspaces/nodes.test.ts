import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { ManualClock } from "../../support/clock.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { type Client, connectClient } from "./client.ts";
import { eventually, HANGS, MEDIA, type Person, RunningTime, SETTINGS, Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

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

/** What the events about somebody say of him. */
interface Told {
  readonly onlineStatus: string;
  readonly channelId: string;
  readonly socketId: string;
}

/** How somebody is seen, and where, at the end of events about him. */
function seenAtTheEnd(story: readonly (readonly [string, unknown])[]) {
  let status: string | undefined;
  let place: Told | undefined;
  for (const [event, payload] of story) {
    const told = payload as Told;
    if (event === "online-status-updated") status = told.onlineStatus;
    else if (event === "user-selected-channel") place = told;
    // A device that comes in from another one's channel is told of before that one's leaving (W-6.35).
    else if (event === "user-unselected-channel" && place?.socketId === told.socketId) place = undefined;
  }
  return { status, place };
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

  test("W-11.24 a polling session is unknown on another node; a websocket needs no stickiness", async () => {
    const polling = "/socket.io/?EIO=3&transport=polling";
    const opened = await (await fetch(here.url + polling)).text();
    const [, sid] = /"sid":"([^"]+)"/.exec(opened) ?? [];
    const strayed = await fetch(`${there.url}${polling}&sid=${sid}`);
    expect([strayed.status, await strayed.json()]).toEqual([400, { code: 1, message: "Session ID unknown" }]);
    const client = await there.client(bob, workspace);
    await here.must(here.select(client, channel));
    expect(await client.until("user-selected-channel")).toMatchObject({ socketId: client.id });
  });

  test("W-1.19 W-8.4 actions of one user at once on three nodes: everybody hears them in one order, as they ended", async () => {
    const third = await stages.start({ env: shared });
    try {
      const nodes = [here, there, third];
      const places = [channel, await here.channel(workspace, alice), await here.channel(workspace, alice)];
      const watchers = await Promise.all(nodes.map((node) => node.client(alice, workspace)));
      const devices = await Promise.all(nodes.slice(0, 2).map((node) => node.client(bob, workspace)));
      const everybody = [...watchers, ...devices];
      await here.must(here.select(devices[0]!, channel));
      for (const client of everybody) await client.until("user-selected-channel");
      const from = everybody.map((client) => client.told.length);
      // Each action is asked of another node than the one before, and many are under way.
      let turn = 0;
      const lane = async (moves: number) => {
        for (let move = 0; move < moves; move++) {
          const at = turn++;
          const node = nodes[at % 3]!;
          const device = devices[Math.floor(at / 3) % 2]!;
          // Whatever is refused, because it waited too long for its turn (W-8.3), is told to nobody.
          if (at % 4 === 3) await node.status(device, ["online", "idle", "offline"][Math.floor(at / 4) % 3]!);
          else if (at % 4 === 2) await node.unselect(device, places[Math.floor(at / 4) % 3]!);
          else await node.select(device, places[Math.floor(at / 2) % 3]!);
        }
      };
      await Promise.all(Array.from({ length: 6 }, () => lane(40)));
      // What every node says last has come when all that was said before has.
      const last = await Promise.all(nodes.map((node) => node.channel(workspace, alice)));
      for (const client of everybody) {
        while (!last.every((id) => client.told.some(([, told]) => (told as { channelId?: string })?.channelId === id)))
          await client.next();
      }
      const stories = everybody.map((client, index) =>
        client.told.slice(from[index]).filter(([event]) => /^(user-(un)?selected|online-status)/.test(event)),
      );
      expect(stories[0]!.length).toBeGreaterThan(100);
      for (const story of stories) expect(story).toEqual(stories[0]!);
      const end = seenAtTheEnd(stories[0]!);
      expect(await here.seen(workspace, alice, bob)).toBe(end.status);
      const where = await Promise.all(
        places.map(async (id) => ((await here.inside(id, alice)).length > 0 ? [id] : [])),
      );
      expect(where.flat()).toEqual(end.place ? [end.place.channelId] : []);
    } finally {
      await third.stop();
    }
  });

  test("W-6.41 a channel that ends on one node while people enter it on another: its end is the last that is told", async () => {
    const watcher = await here.client(alice, workspace);
    const people = await Promise.all(
      Array.from({ length: 5 }, async () => there.client(await here.member(workspace, alice), workspace)),
    );
    let entered = 0;
    for (let round = 0; round < 30; round++) {
      const doomed = await here.channel(workspace, alice);
      const entering = people.map((client) => there.select(client, doomed));
      if (round % 2 === 0) await Promise.race(entering);
      await here.must(here.delete(`/channels/${doomed}`, alice));
      for (const { status } of await Promise.all(entering)) if (status === 200) entered++;
      // Who is told of a channel of the other node has been told of all that node said before.
      const last = await there.channel(workspace, alice);
      while (((await watcher.until("channel-created")) as Told).channelId !== last);
      const story = watcher.told.filter(([, told]) => (told as Told | null)?.channelId === doomed);
      expect(story.at(-1)?.[0]).toBe("channel-deleted");
      const of = (name: string) => story.filter(([event]) => event === name).length;
      expect(of("user-unselected-channel")).toBe(of("user-selected-channel"));
    }
    expect(entered).toBeGreaterThanOrEqual(15);
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
    // What stays of a lost connection is shorter here than the contract's 60 s, so that its end can be awaited.
    const env = { ...shared, WORKSPACES_GRACE_IN_CHANNEL: "15" };
    const [survivor, witness] = [await stages.start({ env }), await stages.start({ env })];
    const victim = await nodeProcess();
    try {
      const alice = await survivor.person("Alice Adams");
      const workspace = await survivor.workspace(alice);
      const [bob, carol, dan, eve] = [
        await survivor.member(workspace, alice, "Bob Brown"),
        await survivor.member(workspace, alice, "Carol Clark"),
        await survivor.member(workspace, alice, "Dan Drake"),
        await survivor.member(workspace, alice, "Eve Evans"),
      ];
      const channel = await survivor.channel(workspace, alice);
      const watchers = [await survivor.client(alice, workspace), await witness.client(alice, workspace)];
      const other = await witness.client(carol, workspace);
      await survivor.must(survivor.select(other, channel));
      const onVictim = async (person: Person) => {
        const client = await connectClient(victim.url, person);
        await client.auth(workspace);
        return client;
      };
      await onVictim(bob);
      const [talker, lost] = [await onVictim(dan), await onVictim(eve)];
      await survivor.must(survivor.select(talker, channel));
      await survivor.must(survivor.select(lost, channel));
      const selects = async (client: Client) => {
        for (let select = 0; select < 3; select++) await client.until("user-selected-channel");
      };
      for (const client of [...watchers, other]) await selects(client);

      using since = new RunningTime();
      victim.child.kill("SIGKILL");
      // Told to the conversation; then one of the two comes back on another node, and it goes on.
      const told = [await other.until("conversation-broadcast"), await other.until("conversation-broadcast")];
      expect(told).toContainEqual(reconnecting(dan, true)[1]);
      expect(told).toContainEqual(reconnecting(eve, true)[1]);
      expect(since.milliseconds).toBeLessThan(20_000);
      const back = await witness.connect(dan);
      expect(await back.auth(workspace, { prevSocketId: talker.id })).toMatchObject({ reconnected: true });
      expect(await other.until("conversation-broadcast")).toEqual(reconnecting(dan, false)[1]);
      const offline = (person: Person) => ["online-status-updated", { userId: person.id, onlineStatus: "offline" }];
      const left = ["user-unselected-channel", { userId: eve.id, channelId: channel, socketId: lost.id }];
      for (const client of [...watchers, other]) {
        while (!client.told.some((event) => Bun.deepEquals(event, offline(bob)))) await client.next();
        expect(since.milliseconds).toBeLessThan(30_000);
        while (!client.told.some((event) => Bun.deepEquals(event, left))) await client.next();
        expect(since.milliseconds).toBeLessThan(25_000 + 15_000);
        await client.settle();
        const departures = client.told.filter((event) => /offline|unselected/.test(JSON.stringify(event)));
        expect(departures as unknown).toEqual([offline(bob), offline(eve), left]);
      }
      expect(await witness.inside(channel, alice)).toEqual([carol.id, dan.id].sort());
    } finally {
      await victim.cleanUp();
      await survivor.stop();
      await witness.stop();
    }
  });

  test("W-1.19 a node that hangs holds up whoever acted there once, and nobody twice", async () => {
    const [here, hung] = [await nodeProcess(), await nodeProcess()];
    try {
      const alice = await here.stage.person("Alice Adams");
      const workspace = await here.stage.workspace(alice);
      // More than a node has connections to the database.
      const clients: Client[] = [];
      for (let i = 0; i < 20; i++) {
        const member = await here.stage.member(workspace, alice);
        const client = await here.stage.client(member, workspace);
        await hung.stage.must(hung.stage.status(client, "idle"));
        clients.push(client);
      }
      hung.child.kill("SIGSTOP");
      const acting = clients.map((client) => here.stage.status(client, "online"));
      expect((await here.stage.get(`/workspaces/${workspace}`, alice)).status).toBe(200);
      for (const { status } of await Promise.all(acting)) expect(status).toBe(200);
      expect(here.output().split("a node did not say whether").length - 1).toBe(1);
    } finally {
      hung.child.kill("SIGCONT");
      await hung.cleanUp();
      await here.stage.stop();
    }
  });

  test("W-6.41 the end of a channel waits for no node that serves other protocols", async () => {
    const [here, other] = [await nodeProcess(), await startProcess({ env: { ...shared, PROTOCOLS: "tracker" } })];
    try {
      const alice = await here.stage.person("Alice Adams");
      const workspace = await here.stage.workspace(alice);
      const channel = await here.stage.channel(workspace, alice);
      await here.stage.must(here.stage.delete(`/channels/${channel}`, alice));
      here.child.kill("SIGTERM");
      await here.printed('"msg":"stopped"');
      expect(here.output()).not.toContain("a node did not say whether");
    } finally {
      await other.cleanUp();
      await here.stage.stop();
    }
  });

  test("W-1.21 W-1.15 SIGTERM: the conversation hears, sockets are closed softly and resume on another node", async () => {
    // Neither a grace nor the node's time to drain may end before everybody is back.
    const env = { ...shared, WORKSPACES_GRACE: "600", WORKSPACES_GRACE_IN_CHANNEL: "600", DRAIN_TIME: "600" };
    const survivor = await stages.start({ env });
    const leaving = await nodeProcess(env);
    try {
      const alice = await survivor.person("Alice Adams");
      const workspace = await survivor.workspace(alice);
      const channel = await survivor.channel(workspace, alice);
      const watcher = await survivor.client(alice, workspace);
      await survivor.must(survivor.select(watcher, channel));
      const bob = await survivor.member(workspace, alice, "Bob Brown");
      const clients: Client[] = [];
      for (const generation of [2, 4] as const) {
        const client = await connectClient(leaving.url, bob, { generation });
        await client.auth(workspace);
        clients.push(client);
      }
      const [talking, idle] = [clients[0]!, clients[1]!];
      await survivor.must(survivor.select(talking, channel));
      await watcher.rest();
      leaving.child.kill("SIGTERM");
      for (const client of clients) expect(await client.until("disconnect")).toBe("transport close");
      expect(await watcher.until("conversation-broadcast")).toEqual(reconnecting(bob, true)[1]);
      await expect(connectClient(leaving.url, bob)).rejects.toThrow("not connected");
      for (const old of [talking, idle]) {
        const back = await survivor.connect(bob);
        expect(await back.auth(workspace, { prevSocketId: old.id })).toMatchObject({ reconnected: true });
      }
      // It ends because nobody is left, long before it would have to.
      expect(await leaving.child.exited).toBe(0);
      await leaving.cleanUp();
      expect(leaving.output()).toContain('"cut":0');
      expect(await watcher.rest()).toEqual([reconnecting(bob, false) as never]);
      expect(await survivor.inside(channel, alice)).toEqual([alice.id, bob.id].sort());
    } finally {
      await leaving.cleanUp();
      await survivor.stop();
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
    const times = { WORKSPACES_INVITE_TIMEOUT: "1200", WORKSPACES_GRACE_IN_CHANNEL: "60" };
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

      // It starts after the invite came due; its time goes on when the sender is back.
      const clock = new ManualClock(Date.now() + 1_200_000);
      after = await stages.start({ env: { ...shared, ...times }, clock });
      const a = await after.client(alice, workspace);
      await after.pass(5_000);
      expect(await a.until("invite-response")).toEqual({ inviteId, userId: bob.id, response: "no-response" });
      // His session, membership and conversation survived: he takes it over.
      const back = await after.connect(bob);
      expect(await back.auth(workspace, { prevSocketId: b.id })).toMatchObject({
        reconnected: true,
        channelId: channel,
      });
      expect(await after.inside(channel, alice)).toEqual([bob.id]);
      await after.pass(10_000);
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
  test("W-8.3 a user somebody else holds for more than 5 s gets 503, and nothing has happened", async () => {
    const stage = await stages.start();
    const sql = postgres((await stages.databaseUrl()) as string, { max: 1 });
    try {
      const alice = await stage.person();
      const workspace = await stage.workspace(alice);
      const client = await stage.client(alice, workspace);
      await client.rest();
      await sql.begin(async (tx) => {
        await tx`select id from workspaces.users where id = ${alice.id} for update`;
        // Waiting for one another as well: without a limit on that it would take them 30 s.
        using since = new RunningTime();
        for (const { status, body } of await Promise.all(Array.from({ length: 6 }, () => stage.status(client, "idle"))))
          expect([status, body.message]).toEqual([503, "Service is temporarily unavailable"]);
        expect(since.milliseconds).toBeLessThan(20_000);
      });
      expect(await client.rest()).toEqual([]);
      await stage.must(stage.status(client, "idle"));
      expect(await client.names()).toEqual(["online-status-updated", "my-online-status-updated"]);
    } finally {
      await sql.end();
      await stage.stop();
    }
  });

  test("W-5.11 W-7.9 a socket that is closed while its user is held so goes as one that is lost", async () => {
    const stage = await stages.start({ env: { WORKSPACES_GRACE: "1" } });
    const sql = postgres((await stages.databaseUrl()) as string, { max: 1 });
    try {
      const alice = await stage.person();
      const workspace = await stage.workspace(alice);
      const bob = await stage.member(workspace, alice);
      const client = await stage.client(bob, workspace);
      await sql.begin(async (tx) => {
        await tx`select id from workspaces.users where id = ${bob.id} for update`;
        for (let i = 0; i < 20; i++) client.socket.emit("auth", { token: "wrong", workspaceId: workspace });
        await client.until("disconnect");
        // Behind these the attempt to end it has failed as well.
        for (let i = 0; i < 2; i++) expect((await stage.status(client, "idle")).status).toBe(503);
      });
      await eventually(async () => (await stage.seen(workspace, alice, bob)) === "offline");
    } finally {
      await sql.end();
      await stage.stop();
    }
  });

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
