import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { type Client, confirmed, ends, received, tempId } from "./client.ts";
import { outcome, type Person, type Stage, Stages, sharesDatabase, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

/** A connection of the test's own, and how many others wait for a lock. */
async function observer() {
  const sql = postgres((await stages.databaseUrl()) as string, { max: 2 });
  const waiters = async () => {
    const rows = await sql`select from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`;
    return rows.length;
  };
  return { sql, waiters };
}

describe.if(redis.available && sharesDatabase)("two nodes", () => {
  let remove: () => Promise<void>;
  let shared: Record<string, string>;
  let here: Stage;
  let there: Stage;
  let alice: Person;
  let bobby: Person;
  beforeEach(async () => {
    const prefix = freshPrefix(redis.url);
    remove = prefix.remove;
    shared = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
    [here, there] = [await stages.start({ env: shared }), await stages.start({ env: shared })];
    [alice, bobby] = [await here.person(), await here.person()];
  });
  afterEach(async () => {
    await here.stop();
    await there.stop();
    await remove();
  });

  test("C-6.2 C-6.3 two apps: one room, messages both ways, each confirmed once and received once", async () => {
    const room = await here.room(alice, bobby);
    expect(await there.room(bobby, alice)).toBe(room);
    const [a, b] = [await here.client(alice), await there.client(bobby)];
    const expected: string[] = [];
    for (let i = 0; i < 20; i++) {
      const [mine, yours] = [`from here ${i}`, `from there ${i}`];
      const first = a.send(room, mine);
      expect(await a.next()).toEqual(confirmed(first));
      expect(await b.next()).toEqual(received(room, alice.id, mine));
      const second = b.send(room, yours);
      expect(await b.next()).toEqual(confirmed(second));
      expect(await a.next()).toEqual(received(room, bobby.id, yours));
      expected.push(mine, yours);
    }
    for (const stage of [here, there]) {
      const { body } = await stage.call("GET", `/rooms/${room}`, { as: alice });
      const { messages } = body as { messages: { id: number; message: string }[] };
      expect(messages.map(({ message }) => message)).toEqual(expected);
      expect(messages.map(({ id }) => id)).toEqual(messages.map(({ id }) => id).toSorted((x, y) => x - y));
    }
    expect([...a.rest(), ...b.rest()]).toEqual([]);
  });

  test("C-3.15 C-4.9 a room asked for on both at once is one, and a send on both at once is one message", async () => {
    const rooms = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? here : there).room(i % 4 < 2 ? alice : bobby, alice, bobby)),
    );
    expect(new Set(rooms).size).toBe(1);
    const several = await Promise.all(
      [0, 1].map(() => stages.start({ env: { ...shared, CHAT_SINGLE_DEVICE: "off" } })),
    );
    const watcher = await several[0]!.client(bobby);
    const senders = [await several[0]!.client(alice), await several[0]!.client(alice), await several[1]!.client(alice)];
    for (let i = 0; i < 20; i++) {
      const id = tempId();
      const answers = await Promise.all(senders.map((client) => client.say(rooms[0]!, `once ${i}`, id)));
      expect(answers.map(({ confirmed }) => confirmed)).toEqual([true, true, true]);
      expect(await watcher.next()).toEqual(received(rooms[0]!, alice.id, `once ${i}`));
    }
    expect((await here.texts(bobby, rooms[0]!)).length).toBe(20);
  });

  test("C-5.7 ids rise in commit order in a room that both nodes write to", async () => {
    const room = await here.room(alice, bobby);
    const [a, b] = [await here.client(alice), await there.client(bobby)];
    // Somebody reads on from the last id he knows; an id that appears below it later would be missed.
    const clara = await here.person();
    await here.call("PUT", "/rooms", { as: alice, body: { room_id: room, users_to_add: [clara.id] } });
    let sending = true;
    const seen: string[] = [];
    const read = async () => {
      let after = 0;
      for (let last = false; ; last = !sending) {
        const { body } = await there.call("GET", `/rooms/${room}?after=${after}&limit=200`, { as: clara });
        const { messages } = body as { messages: { id: number; message: string }[] };
        seen.push(...messages.map(({ message }) => message));
        after = messages.at(-1)?.id ?? after;
        if (last && messages.length === 0) return;
        await Bun.sleep(60);
      }
    };
    const send = async (client: Client, name: string) => {
      const ids = Array.from({ length: 150 }, (_, i) => client.send(room, `${name} ${i}`));
      for (const id of ids) expect((await client.confirmation(id)).confirmed).toBe(true);
    };
    const reading = read();
    await Promise.all([send(a, "a"), send(b, "b")]);
    sending = false;
    await reading;
    expect(seen.length).toBe(300);
    expect(seen).toEqual(await here.texts(alice, room));
    for (const name of ["a", "b"]) {
      expect(seen.filter((text) => text.startsWith(name))).toEqual(
        Array.from({ length: 150 }, (_, i) => `${name} ${i}`),
      );
    }
  });

  test("C-5.7 a message that has its id keeps later ones of the room waiting until it is committed", async () => {
    const room = await here.room(alice, bobby);
    const [a, b] = [await here.client(alice), await there.client(bobby)];
    const { sql, waiters } = await observer();
    await sql
      .begin(async (tx) => {
        // Somebody else's row of the same key, not yet committed, holds the statement up after it took its id.
        await tx`insert into chat.messages (room_id, sender_id, temp_id, message, created_at)
          values (${room}, ${alice.id}, 'held', 'x', now())`;
        a.send(room, "first", "held");
        while ((await waiters()) < 1) await Bun.sleep(5);
        b.send(room, "second", "free");
        while ((await waiters()) < 2 && b.frames.length === 0) await Bun.sleep(5);
        expect(b.frames).toEqual([]);
        throw new Error("rolled back");
      })
      .catch((error) => expect(error.message).toBe("rolled back"));
    expect(await a.next()).toEqual(confirmed("held"));
    expect((await b.confirmation("free")).confirmed).toBe(true);
    expect(await here.texts(alice, room)).toEqual(["first", "second"]);
    await sql.end();
  });

  test("C-3.26 C-5.6 a statement that waited for a removal counts the removed user as gone", async () => {
    const room = await here.room(alice, bobby);
    const [a, b] = [await here.client(alice), await there.client(bobby)];
    const { sql, waiters } = await observer();
    await sql.begin(async (tx) => {
      await tx`update chat.rooms set participants = array_remove(participants, ${bobby.id}::uuid) where id = ${room}`;
      a.send(room, "without you", "mine");
      b.send(room, "still in?", "yours");
      while ((await waiters()) < 2) await Bun.sleep(5);
    });
    expect(await a.next()).toEqual(confirmed("mine"));
    expect(await outcome(b)).toMatchObject({ frames: [{ data: { reason: "not a participant of this room" } }, {}] });
    expect(await here.texts(alice, room)).toEqual(["without you"]);
    await sql.end();
  });

  test("C-6.10 the newest connection wins over nodes, and of simultaneous ones exactly one is left", async () => {
    const first = await here.client(alice);
    const second = await there.client(alice);
    expect(await outcome(first)).toEqual(told(ends.newDevice));
    const clients = await Promise.all(Array.from({ length: 6 }, (_, i) => (i % 2 ? here : there).client(alice)));
    expect(await outcome(second)).toEqual(told(ends.newDevice));
    const closed = new Set<Client>();
    for (const client of clients) void client.closed.then(() => closed.add(client));
    while (closed.size < 5) await Promise.race(clients.filter((one) => !closed.has(one)).map(({ closed }) => closed));
    const [left] = clients.filter((client) => !closed.has(client));
    const room = await here.room(alice);
    expect((await left!.say(room, "alone")).confirmed).toBe(true);
  });

  test("C-3.30 ban and kick reach the sockets of the other node", async () => {
    const a = await there.client(alice);
    const kick = await here.administer("POST", `/admin/chat/users/${alice.id}/kick`, { reason: "be nice" });
    expect(kick.body).toMatchObject({ data: { closed: 1 } });
    expect(await outcome(a)).toEqual(told({ code: 4004, reason: "be nice" }));
    const again = await there.client(alice);
    await here.administer("POST", `/admin/chat/users/${alice.id}/ban`, {});
    expect(await outcome(again)).toEqual(told(ends.banned));
    expect(await outcome(await there.client(alice))).toEqual(told(ends.banned));
  });

  test("C-3.30 C-5.5 between nodes neither a ban nor a message waits for any clock of ours", async () => {
    const [near, far] = [await stages.startTimed(shared), await stages.startTimed(shared)];
    const [carol, david] = [await near.person(), await near.person()];
    const room = await near.room(carol, david);
    const [c, d] = [await near.client(carol), await far.client(david)];
    for (let i = 0; i < 10; i++) {
      await c.say(room, String(i));
      expect(await d.next()).toEqual(received(room, carol.id, String(i)));
    }
    await near.administer("POST", `/admin/chat/users/${david.id}/ban`, {});
    expect(await outcome(d)).toEqual(told(ends.banned));
    expect([near.clock.elapsed(), far.clock.elapsed()]).toEqual([0, 0]);
    await near.stop();
    await far.stop();
  });

  test("C-3.26 a removal on one node stops delivery on the other with its answer", async () => {
    const room = await here.room(alice, bobby);
    const [a, b] = [await here.client(alice), await there.client(bobby)];
    const own = await there.room(bobby, alice);
    expect(own).toBe(room);
    for (let i = 0; i < 10; i++) {
      await a.say(room, `in ${i}`);
      await here.call("PUT", "/rooms", { as: alice, body: { room_id: room, users_to_remove: [bobby.id] } });
      await a.say(room, `out ${i}`);
      await here.call("PUT", "/rooms", { as: alice, body: { room_id: room, users_to_add: [bobby.id] } });
    }
    await a.say(room, "end");
    for (let i = 0; i < 10; i++) expect((await b.next()).data.message).toBe(`in ${i}`);
    expect((await b.next()).data.message).toBe("end");
  });

  test("C-6.12 a late confirmation follows its user to the other node", async () => {
    const release = Promise.withResolvers<void>();
    const hook = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async () => {
        await release.promise;
        return Response.json({ allowed: true });
      },
    });
    const env = { ...shared, CHAT_MODERATION_URL: hook.url.href, CHAT_MODERATION_TIMEOUT_MS: "5000" };
    const slow = await stages.start({ env });
    const room = await slow.room(alice);
    const first = await slow.client(alice);
    const id = first.send(room, "slow");
    const second = await there.client(alice);
    expect(await outcome(first)).toEqual(told(ends.newDevice));
    release.resolve();
    expect(await second.next()).toEqual(confirmed(id));
    await hook.stop(true);
  });

  test("C-6.4 with Redis away sends are stored and confirmed, delivery here goes on, nobody is closed", async () => {
    const target = new URL(redis.url);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 6379) });
    const cut = await stages.start({ env: { ...shared, REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
    try {
      const clara = await here.person();
      const room = await here.room(alice, bobby, clara);
      const [a, b, c] = [await cut.client(alice), await cut.client(bobby), await there.client(clara)];
      await a.say(room, "before");
      expect(await b.next()).toEqual(received(room, alice.id, "before"));
      expect(await c.next()).toEqual(received(room, alice.id, "before"));
      proxy.cut();
      for (let i = 0; i < 5; i++) {
        expect((await a.say(room, `away ${i}`)).confirmed).toBe(true);
        expect(await b.next()).toEqual(received(room, alice.id, `away ${i}`));
      }
      expect((await there.texts(clara, room)).length).toBe(6);
      expect(await cut.call("GET", "/rooms", { as: alice })).toMatchObject({ status: 200 });
      // New sockets come in as well, and replace older ones of this node.
      const again = await cut.client(bobby);
      expect(await outcome(b)).toEqual(told(ends.newDevice));
      await a.say(room, "to the new one");
      expect(await again.next()).toEqual(received(room, alice.id, "to the new one"));
      for (const client of [a, again, c]) expect(client.isClosed).toBe(false);
      proxy.restore();
      // What waited arrives, then what is new, each once.
      for (let i = 0; i < 5; i++) expect(await c.next()).toEqual(received(room, alice.id, `away ${i}`));
      expect(await c.next()).toEqual(received(room, alice.id, "to the new one"));
    } finally {
      proxy.restore();
      await cut.stop();
      await proxy.close();
    }
  });
});

test.if(redis.available && sharesDatabase)(
  "C-5.7 C-6.4 what a sender said on a node that was cut off does not come behind what he said elsewhere since",
  async () => {
    const target = new URL(redis.url);
    const proxy = await startProxy({ host: target.hostname, port: Number(target.port || 6379) });
    const prefix = freshPrefix(redis.url);
    const shared = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix };
    const cut = await stages.start({ env: { ...shared, REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
    const other = await stages.start({ env: shared });
    const listening = await stages.startTimed(shared);
    const said = (round: number) => [1, 2, 3, 4].map((number) => `elsewhere ${round} ${number}`);
    try {
      const [alice, bobby, clara] = await cut.people(3);
      const room = await other.room(alice!, bobby!, clara!);
      const listener = await listening.client(clara!);
      const witness = await cut.client(bobby!);
      for (const [round, wait] of [600, 0].entries()) {
        const here = await cut.client(alice!);
        await here.say(room, `begun ${round}`);
        expect(await listener.next()).toEqual(received(room, alice!.id, `begun ${round}`));
        proxy.cut();
        await here.say(room, `cut off ${round}`);
        const there = await other.client(alice!);
        // Going on there every half a second, which is no reason to take the one that is cut off for late later.
        for (const text of said(round)) {
          await there.say(room, text);
          expect(await listener.next()).toEqual(received(room, alice!.id, text));
          listening.clock.advance(wait);
        }
        proxy.restore();
        await witness.say(room, `back ${round}`);
        // Within a second of its time a message is delivered all the same (C-5.5).
        if (wait === 0) expect(await listener.next()).toEqual(received(room, alice!.id, `cut off ${round}`));
        expect(await listener.next()).toEqual(received(room, bobby!.id, `back ${round}`));
      }
      expect(await other.texts(clara!, room)).toEqual(
        [0, 1].flatMap((round) => [`begun ${round}`, `cut off ${round}`, ...said(round), `back ${round}`]),
      );
    } finally {
      proxy.restore();
      for (const stage of [cut, other, listening]) await stage.stop();
      await proxy.close();
      await prefix.remove();
    }
  },
);

test("C-6.6 one node works fully without Redis", async () => {
  const alone = await stages.start();
  const [alice, bobby] = await alone.people(2);
  const room = await alone.room(alice!, bobby!);
  const [a, b] = [await alone.client(alice!), await alone.client(bobby!)];
  await a.say(room, "Hi");
  expect(await b.next()).toEqual(received(room, alice!.id, "Hi"));
  const { body } = await alone.administer("POST", `/admin/chat/users/${bobby!.id}/kick`);
  expect(body).toMatchObject({ data: { closed: 1 } });
  expect(await outcome(b)).toEqual(told(ends.kicked));
});
