import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { type Client, connectClient, disconnected, joined, left, moved, NO_ROOM, UNAVAILABLE } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { PATH, REFRESH_SECRET, SECRET, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

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

/** Waits for something that takes the time another process takes. */
async function eventually<T>(attempt: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result) return result;
    await Bun.sleep(20);
  }
}

describe.if(redis.available)("two nodes on one Redis", () => {
  let here: Stage;
  let there: Stage;
  beforeEach(async () => {
    [here, there] = [await stages.start({ env: shared }), await stages.start({ env: shared })];
  });
  afterEach(async () => {
    await here.stop();
    await there.stop();
    await remove();
  });

  test("T-6.8 members on both get the same notices and moves", async () => {
    const pin = await here.pin();
    const first = await here.member(pin);
    const second = await there.client({ generation: 2, transports: ["polling"] });
    second.emit("join_room", pin);
    for (const client of [first, second]) expect(await client.next()).toEqual(joined(second.person, pin));
    first.move(pin, 1, 2);
    for (const client of [first, second]) expect(await client.next()).toEqual(moved(1, 2));
    second.move(pin, 3, 4);
    for (const client of [first, second]) expect(await client.next()).toEqual(moved(3, 4));
    const third = await there.client();
    third.emit("join_room", pin);
    for (const client of [first, second]) expect(await client.next()).toEqual(joined(third.person, pin));
    third.emit("leave_room", pin);
    for (const client of [first, second]) expect(await client.next()).toEqual(left(third.person, pin));
    second.close();
    expect(await first.next()).toEqual(disconnected(second.person));
    first.move(pin, 5, 6);
    expect(await first.next()).toEqual(moved(5, 6));
    expect(await first.rest()).toEqual([]);
  });

  test("T-5.5 T-6.8 the moves of one sender keep their order across nodes, each once", async () => {
    const pin = await here.pin();
    const sender = await here.member(pin);
    const watchers = [await here.member(pin), await there.member(pin), await there.member(pin, { generation: 2 })];
    for (let i = 0; i < 500; i++) sender.move(pin, i / 10, i / 5);
    for (const watcher of watchers) {
      for (let i = 0; i < 500; ) {
        const [event, payload] = await watcher.next();
        if (event !== "move") continue;
        expect(payload).toEqual(moved(i / 10, i / 5)[1]);
        i++;
      }
    }
  });

  test("T-5.6 T-6.8 a position sent on one node is replayed on the other", async () => {
    const pin = await here.pin();
    const sharer = await here.member(pin);
    const watcher = await there.member(pin);
    for (let i = 1; i <= 5; i++) sharer.move(pin, i, i);
    await eventually(async () => Bun.deepEquals(await watcher.next(), moved(5, 5)));
    // The last of several quick positions is written a few milliseconds after it was sent.
    await eventually(async () => {
      const joiner = await there.client();
      await joiner.ask("join_room", pin);
      const told = await joiner.rest();
      await joiner.depart();
      return Bun.deepEquals(told, [joined(joiner.person, pin), moved(5, 5)]);
    });
    const single = await here.pin();
    const mover = await here.member(single);
    mover.move(single, 7, 7);
    const joiner = await eventually(async () => {
      const joiner = await there.client();
      await joiner.ask("join_room", single);
      return joiner.told.length === 3 && joiner;
    });
    expect(joiner.told[2]).toEqual(moved(7, 7));
  });

  test("T-4.10 a position forgotten on one node is not replayed on the other", async () => {
    const pin = await here.pin();
    const watcher = await there.member(pin);
    const sharer = await here.member(pin);
    for (let i = 1; i <= 5; i++) sharer.move(pin, i, i);
    await sharer.ask("leave_room", pin);
    // From here on nothing of it is on its way between the nodes.
    await eventually(async () => Bun.deepEquals(await watcher.next(), left(sharer.person, pin)));
    const joiner = await there.client();
    await joiner.ask("join_room", pin);
    expect(await joiner.rest()).toEqual([joined(joiner.person, pin)]);
  });

  test("T-6.2 a PIN of one node is a room on the other, and T-4.15 re-admits there", async () => {
    const pin = await here.pin();
    const viewer = await here.member(pin);
    const sharer = await there.member(pin);
    sharer.close();
    await viewer.until("room");
    await viewer.until("room");
    const back = await here.client({ person: sharer.person });
    back.move(pin, 1, 2);
    expect(await viewer.next()).toEqual(moved(1, 2));
  });

  test("T-6.5 expiry ends the memberships of every node", async () => {
    const clock = new ManualClock(Date.now());
    const env = { ...shared, TRACKER_ROOM_TTL: "20" };
    const [one, two] = [await stages.start({ env, clock }), await stages.start({ env, clock })];
    const pin = await one.pin();
    const clients = [await one.member(pin), await two.member(pin)];
    clock.advance(19_000);
    for (const client of clients) expect((await client.rest()).filter(([event]) => event === "error")).toEqual([]);
    clock.advance(2_000);
    for (const client of clients) expect(await client.next()).toEqual(NO_ROOM);
    clients[0]!.move(pin, 1, 2);
    expect(await clients[0]!.next()).toEqual(NO_ROOM);
    for (const stage of [one, two]) await stage.stop();
  });

  test("T-2.20 T-4.8 limits count over both nodes", async () => {
    const env = { ...shared, TRACKER_MAX_SOCKETS_PER_USER: "2", TRACKER_JOIN_FAILS_USER: "2" };
    const [one, two] = [await stages.start({ env }), await stages.start({ env })];
    const person = await one.person();
    const [first, second] = [await one.client({ person }), await two.client({ person })];
    const third = await two.client({ person, patient: true });
    expect(await third.until("error")).toMatchObject({ details: { type: "too_many_connections" } });
    first.emit("join_room", "000000");
    expect(await first.next()).toEqual(NO_ROOM);
    second.emit("join_room", "000000");
    expect(await second.next()).toEqual(NO_ROOM);
    first.emit("join_room", "000000");
    expect((await first.next())[1]).toMatchObject({ details: { type: "rate_limit_exceeded" } });
    // Five a minute are more than noise can take apart.
    const register = (stage: Stage) => stage.call("POST", "/user", {});
    for (let i = 0; i < 5; i++) expect((await register(i % 2 ? one : two)).status).toBe(400);
    for (const stage of [one, two]) expect((await register(stage)).status).toBe(429);
    for (const stage of [one, two]) await stage.stop();
  });

  test("T-10.1 a drained socket's rooms go to the account's next socket on another node, without a notice", async () => {
    const pin = await here.pin();
    const watcher = await here.member(pin);
    const viewer = await there.member(pin);
    expect(await watcher.next()).toEqual(joined(viewer.person, pin));
    await there.gateway.gateway.stop();
    await viewer.until("disconnect");
    const back = await here.client({ person: viewer.person });
    await back.settle();
    watcher.move(pin, 1, 2);
    expect(await watcher.next()).toEqual(moved(1, 2));
    expect(await back.next()).toEqual(moved(1, 2));
    expect(await watcher.rest()).toEqual([]);
  });

  test("T-10.2 detailed members on another node get their form of a move", async () => {
    const pin = await here.pin();
    const sender = await here.member(pin);
    const detailed = await there.member(pin, { auth: { v: 2 } });
    await sender.until("room");
    const seen = await eventually(async () => {
      sender.move(pin, 1, 2);
      await sender.settle();
      return detailed.told.find(([event]) => event === "move");
    });
    expect(seen[1]).toMatchObject({ details: { msg: { lat: 1, long: 2 }, meta: { room_id: pin } } });
    // A node that gets its first member later learns it from the room.
    const third = await stages.start({ env: shared });
    const late = await third.member(pin);
    late.move(pin, 9, 9);
    const meta = async () => detailed.told.find((told) => JSON.stringify(told).includes('"lat":9'));
    expect((await eventually(meta))[1]).toMatchObject({ details: { meta: { username: late.person.username } } });
    await third.stop();
  });

  test("T-6.9 a WebSocket client needs no stickiness, a polling session is known to its node alone", async () => {
    const { token } = await here.person();
    const open = await (
      await fetch(`${here.url}${PATH}?EIO=4&transport=polling`, { headers: { authorization: token } })
    ).text();
    const { sid } = JSON.parse(open.slice(1)) as { sid: string };
    const elsewhere = await fetch(`${there.url}${PATH}?EIO=4&transport=polling&sid=${sid}`);
    expect([elsewhere.status, await elsewhere.json()]).toEqual([400, { code: 1, message: "Session ID unknown" }]);
    for (const stage of [here, there]) {
      const raw = await RawSocket.open(stage.url, { token });
      await raw.connect();
      raw.close();
    }
  });
});

describe.if(redis.available)("a node that ends", () => {
  afterEach(() => remove());

  test("T-6.7 after a restart PINs live, recorded accounts come back by move, and the replay works", async () => {
    const before = await stages.start({ env: shared });
    const [pin, other] = [await before.pin(), await before.pin()];
    const sharer = await before.member(pin);
    const viewer = await before.member(other);
    for (let i = 1; i <= 5; i++) sharer.move(pin, i, i);
    await sharer.settle();
    await before.stop();

    const after = await stages.start({ env: shared });
    const joiner = await after.client();
    await joiner.ask("join_room", pin);
    expect(await joiner.rest()).toEqual([joined(joiner.person, pin), moved(5, 5)]);
    const back = await after.client({ person: sharer.person });
    back.move(pin, 6, 6);
    expect(await joiner.next()).toEqual(moved(6, 6));
    const returned = await after.client({ person: viewer.person });
    returned.move(other, 1, 2);
    expect(await returned.next()).toEqual(moved(1, 2));
    await after.stop();
  });

  test("T-5.9 the sockets of a killed node are taken leave of once, and their rooms resumed", async () => {
    const survivor = await stages.start({ env: shared });
    const witness = await stages.start({ env: shared });
    const database = await stages.databaseUrl();
    const victim: GatewayProcess = await startProcess({
      env: {
        ...shared,
        ...(database === undefined ? {} : { DATABASE_URL: database }),
        PROTOCOLS: "tracker",
        TRACKER_JWT_SECRET: SECRET,
        TRACKER_REFRESH_SECRET: REFRESH_SECRET,
        LOG_LEVEL: "info",
      },
    });
    try {
      const [pin, elsewhere] = [await survivor.pin(), await survivor.pin()];
      const watchers: Client[] = [await survivor.member(pin), await witness.member(pin)];
      const outsider = await survivor.member(elsewhere);
      const person = await survivor.person();
      const doomed = await connectClient(victim.url, person);
      await doomed.join(pin);
      for (const watcher of watchers) {
        await eventually(async () => Bun.deepEquals(await watcher.next(), joined(person, pin)));
      }
      victim.child.kill("SIGKILL");
      for (const watcher of watchers) expect(await watcher.next()).toEqual(disconnected(person));
      await eventually(async () => {
        const client = await survivor.client({ person });
        await client.settle();
        watchers[0]!.move(pin, 1, 2);
        await watchers[0]!.settle();
        if ((await client.rest()).length > 0) return true;
        client.close();
        return null;
      });
      for (const watcher of watchers) {
        expect(watcher.told.filter((told) => JSON.stringify(told).includes("disconnected"))).toHaveLength(1);
      }
      expect(await outsider.rest()).toEqual([]);
    } finally {
      await victim.cleanUp();
      await survivor.stop();
      await witness.stop();
    }
  });
});

describe.if(redis.available)("Redis away", () => {
  afterEach(() => remove());

  test("T-6.10 PINs 503, joins and re-admissions service_unavailable, members inside keep moving, nobody is closed", async () => {
    const target = new URL(redis.url);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 6379) });
    const stage = await stages.startTimed({ ...shared, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    try {
      const [pin, other] = [await stage.pin(), await stage.pin()];
      const first = await stage.member(pin);
      const second = await stage.member(pin);
      const recorded = await stage.member(other);
      recorded.close();
      await first.rest();
      proxy.cut();
      const owner = await stage.person();
      const ask = () => stage.call("GET", "/track/generate-pin", undefined, { authorization: `Bearer ${owner.token}` });
      for (let i = 0; i < 3; i++) {
        const answer = await ask();
        expect([answer.status, answer.body]).toEqual([
          503,
          { details: { type: "service_unavailable", msg: "Service unavailable" } },
        ]);
      }
      first.emit("join_room", other);
      expect(await first.next()).toEqual(UNAVAILABLE);
      const back = await stage.client({ person: recorded.person });
      back.move(other, 1, 2);
      expect(await back.next()).toEqual(UNAVAILABLE);
      for (let i = 0; i < 20; i++) first.move(pin, i, i);
      for (let i = 0; i < 20; i++) expect(await second.next()).toEqual(moved(i, i));
      second.emit("leave_room", pin);
      expect(await first.until("room")).toEqual(left(second.person, pin)[1]);
      // Long enough for several attempts to write what cannot be written.
      await stage.pass(5_000);
      for (const client of [first, second, back]) expect(client.socket.connected).toBe(true);

      proxy.restore();
      await eventually(async () => (await ask()).status === 200);
      await eventually(async () => {
        back.emit("move", { lat: 1, long: 2, roomId: other });
        return Bun.deepEquals(await back.next(), moved(1, 2));
      });
      // What could not be written meanwhile is written now: that somebody left, and the last position.
      second.move(pin, 1, 2);
      expect(await second.next()).toEqual(NO_ROOM);
      await stage.pass(2_000);
      const joiner = await eventually(async () => {
        const client = await stage.client();
        await client.ask("join_room", pin);
        const told = await client.rest();
        return told.length === 2 && told;
      });
      expect(joiner[1]).toEqual(moved(19, 19));
    } finally {
      proxy.restore();
      await stage.stop();
      await proxy.close();
    }
  });
});

describe.if(redis.available)("a PIN used again", () => {
  afterEach(() => remove());

  test("T-6.4 a room ends by its own time, even where the store would keep it longer", async () => {
    const stage = await stages.startTimed(shared);
    const pin = await stage.pin();
    const sharer = await stage.member(pin);
    sharer.close();
    stage.clock.advance(1_800_000);
    const person = await stage.person({ user_id: sharer.person.user_id });
    const client = await stage.client({ person });
    client.emit("join_room", pin);
    expect(await client.next()).toEqual(NO_ROOM);
    client.move(pin, 1, 1);
    expect(await client.next()).toEqual(NO_ROOM);
    await stage.stop();
  });

  test("T-6.6 the new room neither holds nor reaches members of the earlier one", async () => {
    const { Redis } = await import("ioredis");
    const stage = await stages.start({ env: shared });
    const client = new Redis(redis.url);
    try {
      const pin = await stage.pin();
      const earlier = await stage.member(pin);
      earlier.move(pin, 1, 1);
      await earlier.settle();
      // The store forgets the room before its time, and another one gets its PIN.
      const key = await eventually(async () => (await client.keys(`${shared.KEY_PREFIX}*room:${pin}*`))[0]);
      const record = await client.hgetall(key);
      await client.del(key);
      const fresh = Object.entries(record).filter(([field]) => !/^(in|at):/.test(field));
      await client.hset(key, { ...Object.fromEntries(fresh), instance: "another-life" });
      await client.expire(key, 60);
      const later = await stage.client();
      await later.ask("join_room", pin);
      expect(await later.rest()).toEqual([joined(later.person, pin)]);
      later.move(pin, 2, 2);
      expect(await later.next()).toEqual(moved(2, 2));
      expect(await earlier.rest()).toEqual([moved(1, 1)]);
      earlier.move(pin, 3, 3);
      expect(await earlier.next()).toEqual(moved(3, 3));
      expect(await later.rest()).toEqual([]);
      // A late write of the earlier room changes nothing in the new one.
      await earlier.settle();
      const third = await stage.client();
      await third.ask("join_room", pin);
      expect(await third.rest()).toEqual([joined(third.person, pin), moved(2, 2)]);
      // Nor does a note of the earlier room lead into the new one, of which the account is now recorded as well.
      const phone = await stage.client({ person: earlier.person });
      earlier.drop();
      const tablet = await stage.client({ person: earlier.person });
      await tablet.join(pin);
      phone.close();
      await later.rest();
      const resumed = await stage.client({ person: earlier.person });
      await resumed.settle();
      later.move(pin, 2, 2);
      await later.settle();
      expect(await resumed.rest()).toEqual([]);
    } finally {
      client.disconnect();
      await stage.stop();
    }
  });
});
