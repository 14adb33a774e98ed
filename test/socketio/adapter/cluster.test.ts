import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket as Client } from "socket.io-client";
import type { Socket as ClientV2 } from "socket.io-client-v2";
import { type Backplane, BackplaneUnavailable } from "../../../src/backplane/backplane.ts";
import { openBackplane } from "../../../src/backplane/open.ts";
import { systemClock } from "../../../src/clock.ts";
import { createMetrics } from "../../../src/observe/metrics.ts";
import { core } from "../../../src/socketio/core.ts";
import { ManualClock } from "../../support/clock.ts";
import { quietLog } from "../../support/quiet-log.ts";
import { Random } from "../../support/random.ts";
import { freshPrefix, startRedisServer, testRedis } from "../../support/redis.ts";
import { WireClient } from "../../support/wire.ts";
import { holdLimit, once, until } from "../events.ts";
import { declare, Station } from "../station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const redis = await testRedis();
const deps = { clock: systemClock, log: quietLog, metrics: createMetrics().gateway };

describe.if(redis.available)("two nodes", () => {
  const prefix = freshPrefix(redis.url);
  let backplanes: Backplane[];
  let clock: ManualClock;
  let here: Station;
  let there: Station;

  beforeAll(async () => {
    const settings = { redisUrl: redis.url, keyPrefix: prefix.keyPrefix };
    backplanes = await Promise.all([openBackplane(settings, deps), openBackplane(settings, deps)]);
  });

  afterAll(async () => {
    await Promise.all(backplanes.map((backplane) => backplane.close()));
    await prefix.remove();
  });

  let installation = 0;
  beforeEach(async () => {
    const name = `cluster-${++installation}`;
    const namespaces = { "/": declare(), "/b": declare() };
    clock = new ManualClock();
    here = new Station(namespaces, { clock, name, backplane: backplanes[0]! });
    there = new Station(namespaces, { clock, name, backplane: backplanes[1]! });
    await until(async () => (await here.namespace().adapter.serverCount()) === 2);
    await until(async () => (await there.namespace().adapter.serverCount()) === 2);
  });

  afterEach(async () => {
    await Promise.all([here.stop(), there.stop()]);
  });

  async function connect(station: Station, options = {}): Promise<Client> {
    const client = station.client("/", { transports: ["websocket"], ...options });
    await once(client, "connect");
    return client;
  }

  const socketOf = (station: Station, client: Client | ClientV2) =>
    station.namespace().sockets.get(client.id as string)!;

  test("a broadcast reaches members on both nodes, of both generations and on every transport", async () => {
    const clients: (Client | ClientV2)[] = [];
    for (const station of [here, there]) {
      for (const transports of [["websocket"], ["polling"]]) {
        clients.push(station.client("/", { transports }), station.clientV2("/", { transports }));
      }
    }
    await Promise.all(clients.map((client) => once(client, "connect")));
    for (const station of [here, there]) for (const peer of station.peers) peer.socket.join("r");
    const heard = clients.map((client) => once(client, "x"));
    here.namespace().to("r").emit("x", { text: "grüße\n✓" });
    for (const values of await Promise.all(heard)) expect(values).toEqual([{ text: "grüße\n✓" }]);
    const bytes = clients.map((client) => once(client, "x"));
    there.namespace().emit("x", Buffer.from([0, 10, 255]), "and", Buffer.from("\n"));
    for (const [first, and, second] of await Promise.all(bytes)) {
      expect([...new Uint8Array(first as ArrayBuffer)]).toEqual([0, 10, 255]);
      expect(and).toBe("and");
      expect([...new Uint8Array(second as ArrayBuffer)]).toEqual([10]);
    }
  });

  test("T-6.8 W-1.19 what one node sends to several rooms reaches a socket elsewhere in that order", async () => {
    const random = new Random(11);
    const client = await connect(there);
    const rooms = ["a", "b", "c", "d"];
    void socketOf(there, client).join(rooms);
    const heard: number[] = [];
    client.on("n", (number: number) => heard.push(number));
    for (let number = 0; number < 500; number++) {
      const kind = random.below(4);
      const namespace = here.namespace();
      if (kind === 0) namespace.emit("n", number);
      else if (kind === 1) namespace.to(client.id as string).emit("n", number);
      else if (kind === 2) namespace.to(random.pick(rooms)).emit("n", number, Buffer.from("x"));
      else namespace.to(random.pick(rooms)).emit("n", number);
      if (random.chance(0.02)) await Bun.sleep(1);
    }
    await until(() => heard.length >= 500);
    expect(heard).toEqual(Array.from({ length: 500 }, (_, number) => number));
  });

  test("local stays here; exceptions, several rooms and volatile hold on both nodes", async () => {
    const [mine, theirs] = [await connect(here), await connect(there)];
    for (const [station, client] of [
      [here, mine],
      [there, theirs],
    ] as const)
      void socketOf(station, client).join(["r", "s"]);
    const heard: Record<string, unknown[]> = { mine: [], theirs: [] };
    mine.onAny((name) => heard.mine?.push(name));
    theirs.onAny((name) => heard.theirs?.push(name));
    const namespace = here.namespace();
    namespace.local.emit("local all");
    namespace.local.to("r").emit("local room");
    namespace.except(theirs.id as string).emit("not them");
    socketOf(here, mine).to("r").emit("not me");
    namespace.to("r").to("s").emit("once");
    namespace.volatile.to("r").emit("volatile");
    namespace.to(theirs.id as string).emit("end");
    namespace.to(mine.id as string).emit("end");
    await until(() => heard.mine?.at(-1) === "end" && heard.theirs?.at(-1) === "end");
    expect(heard).toEqual({
      mine: ["local all", "local room", "not them", "once", "volatile", "end"],
      theirs: ["not me", "once", "volatile", "end"],
    });
  });

  test("a volatile broadcast leaves out who cannot take it there", async () => {
    const client = await WireClient.open(`${there.url}/io/?EIO=3&transport=websocket`);
    await client.next();
    await client.next();
    client.pause();
    const [socket] = there.namespace().sockets.values();
    const engine = socket!.conn as unknown as { readonly bufferedBytes: number };
    // Well beyond what the system may still take meanwhile.
    while (engine.bufferedBytes < 300_000) socket!.emit("block", "y".repeat(50_000));
    const watcher = await connect(there);
    const arrived = once(watcher, "firm");
    here.namespace().volatile.emit("volatile");
    here.namespace().emit("firm");
    await arrived;
    client.resume();
    const names: string[] = [];
    while (names.at(-1) !== "firm") names.push(JSON.parse((await client.next())!.text.slice(2))[0]);
    expect(new Set(names)).toEqual(new Set(["block", "firm"]));
    client.destroy();
  });

  test("namespaces of other names hear nothing of it", async () => {
    const client = there.client("/b", { transports: ["websocket"] });
    await once(client, "connect");
    const heard: unknown[] = [];
    client.onAny((name) => heard.push(name));
    here.namespace().emit("root");
    here.namespace("/b").emit("b");
    await until(() => heard.length > 0);
    expect(heard).toEqual(["b"]);
  });

  test("socketsJoin, socketsLeave and disconnectSockets act on every node", async () => {
    const [mine, theirs] = [await connect(here), await connect(there)];
    here.namespace().socketsJoin(["r", "s"]);
    await until(() => socketOf(there, theirs).rooms.has("r"));
    expect([...socketOf(here, mine).rooms]).toEqual([mine.id as string, "r", "s"]);
    there
      .namespace()
      .in("r")
      .except(theirs.id as string)
      .socketsLeave("s");
    await until(() => !socketOf(here, mine).rooms.has("s"));
    expect(socketOf(there, theirs).rooms.has("s")).toBe(true);
    there.namespace().local.socketsLeave("s");
    expect(socketOf(there, theirs).rooms.has("s")).toBe(false);
    here.namespace().in("r").local.disconnectSockets(true);
    expect((await once(mine, "disconnect"))[0]).toBe("io server disconnect");
    expect(theirs.connected).toBe(true);
    here.namespace().in("r").disconnectSockets();
    expect((await once(theirs, "disconnect"))[0]).toBe("io server disconnect");
  });

  test("fetchSockets finds sockets of both nodes, without the credentials they brought", async () => {
    const headers = { authorization: "Bearer secret", cookie: "secret", "x-app": "1" };
    const [mine, theirs] = [
      await connect(here),
      await connect(there, { extraHeaders: headers, auth: { token: "secret" } }),
    ];
    void socketOf(there, theirs).join("r");
    socketOf(there, theirs).data = { user: 7 };
    const sockets = await here.namespace().fetchSockets();
    expect(sockets.map(({ id }) => id).sort()).toEqual([mine.id as string, theirs.id as string].sort());
    const [remote, ...others] = await here.namespace().in("r").fetchSockets();
    expect(others).toEqual([]);
    expect([remote?.id, [...(remote?.rooms ?? [])], remote?.data]).toEqual([
      theirs.id as string,
      [theirs.id as string, "r"],
      { user: 7 },
    ]);
    expect(remote?.handshake).toMatchObject({ address: "127.0.0.1", xdomain: false, auth: {} });
    expect(remote?.handshake.headers["x-app"]).toBe("1");
    expect(JSON.stringify(remote?.handshake)).not.toContain("secret");
    const heard = once(theirs, "x");
    remote?.emit("x", 1);
    expect(await heard).toEqual([1]);
    expect(await here.namespace().in("r").local.fetchSockets()).toEqual([]);
    expect(await here.namespace().allSockets()).toEqual(new Set([mine.id as string, theirs.id as string]));
  });

  test("a broadcast with acknowledgements collects those of all nodes, binary ones too", async () => {
    const [mine, theirs] = [await connect(here), await connect(there)];
    mine.on("x", (answer) => answer("mine"));
    theirs.on("x", (answer) => answer(Buffer.from("theirs")));
    const answers = await here.namespace().timeout(60_000).emitWithAck("x");
    expect(
      answers
        .map((answer: unknown) => (typeof answer === "string" ? answer : Buffer.from(answer as Uint8Array).toString()))
        .sort(),
    ).toEqual(["mine", "theirs"]);
    // To one socket elsewhere, as `RemoteSocket.emit` does it.
    const [remote] = await here
      .namespace()
      .in(theirs.id as string)
      .fetchSockets();
    const answer = await remote?.timeout(60_000).emitWithAck("x");
    expect(Buffer.from(answer).toString()).toBe("theirs");
  });

  test("a client elsewhere that does not acknowledge makes the broadcast fail in time", async () => {
    const [mine, theirs] = [await connect(here), await connect(there)];
    mine.on("x", (answer) => answer("mine"));
    theirs.on("x", () => {});
    using limit = holdLimit();
    const asked = here
      .namespace()
      .timeout(limit.ms)
      .emitWithAck("x")
      .catch((error) => error);
    const waited = () => [mine, theirs].map((client, node) => core(socketOf(node ? there : here, client)).acks.size);
    await until(() => Bun.deepEquals(waited(), [0, 1]));
    limit.end();
    const failure = await asked;
    expect(failure).toBeInstanceOf(Error);
    expect(failure.responses).toEqual(["mine"]);
    // Nothing is kept for an answer that nobody waits for.
    clock.advance(limit.ms);
    expect(waited()).toEqual([0, 0]);
  });

  test("serverSideEmit reaches the other node, with and without an answer", async () => {
    const heard: unknown[] = [];
    there.namespace().on("news" as never, ((...values: unknown[]) => void heard.push(values)) as never);
    there.namespace().on(
      "question" as never,
      ((value: string, answer: (value: unknown) => void) => {
        answer(`${value}!`);
        answer("twice");
      }) as never,
    );
    here.namespace().on("news" as never, (() => void heard.push("here")) as never);
    here.namespace().serverSideEmit("news", 1, { two: 2 });
    expect(await here.namespace().serverSideEmitWithAck("question", "why")).toEqual(["why!"]);
    expect(heard).toEqual([[1, { two: 2 }]]);
  });

  test("a node that closes its endpoint is not waited for any more", async () => {
    await connect(here);
    await there.mount.close();
    await until(async () => (await here.namespace().adapter.serverCount()) === 1);
    expect(await here.namespace().fetchSockets()).toHaveLength(1);
    expect(await here.namespace().serverSideEmitWithAck("question")).toEqual([]);
  });

  test("a node that is silent makes requests fail in time, with the answers that came", async () => {
    await there.mount.close();
    const silent = backplanes[1]!;
    const set = `socketio:cluster-${installation}:/io:/`;
    await silent.presence.join(set, silent.node, silent.node);
    let failure: unknown;
    here
      .namespace()
      .timeout(100)
      .fetchSockets()
      .catch((error) => {
        failure = error;
      });
    await until(() => {
      clock.advance(100);
      return failure !== undefined;
    });
    expect(failure).toMatchObject({ name: "MissingAnswers", answers: [] });
    await silent.presence.leave(set, silent.node, silent.node);
  });
});

describe("without the backplane", () => {
  test("V-6.13 broadcasts go on here, and what needs other nodes fails instead of hanging", async () => {
    const server = await startRedisServer();
    if (server === null) return;
    const backplane = await openBackplane({ redisUrl: server.url, keyPrefix: "alone:" }, deps);
    const station = new Station({ "/": declare() }, { backplane });
    try {
      const client = station.client("/", { transports: ["websocket"] });
      await once(client, "connect");
      const namespace = station.namespace();
      void namespace.sockets.get(client.id as string)?.join("r");
      await server.kill();
      await until(() => !backplane.up);
      const heard = once(client, "x");
      namespace.to("r").emit("x", 1);
      expect(await heard).toEqual([1]);
      expect(await namespace.adapter.serverCount()).toBe(1);
      expect(await namespace.fetchSockets().catch((error) => error)).toBeInstanceOf(BackplaneUnavailable);
      const failure = await namespace.serverSideEmitWithAck("x").catch((error) => error);
      expect(failure).toBeInstanceOf(BackplaneUnavailable);
      client.on("ask", (answer) => answer("here"));
      expect(await namespace.timeout(60_000).emitWithAck("ask")).toEqual(["here"]);
    } finally {
      await station.stop();
      await backplane.close();
      await server.close();
    }
  });
});
