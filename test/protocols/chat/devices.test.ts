import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Client, confirmed, ends, received } from "./client.ts";
import { outcome, type Person, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
afterEach(() => stage.leave());
afterAll(() => stages.stop());
let stage: Stage;

/** Frames that a gateway has taken from its sockets so far. */
async function framesReceived({ gateway }: Stage): Promise<number> {
  const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  return Number(/^patchbay_rawsocket_frames_received_total\{.*protocol="chat".*\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

describe("CHAT_SINGLE_DEVICE=on", () => {
  beforeAll(async () => {
    stage = await stages.start();
  });

  test("C-6.10 the newest connection of a user wins", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const b = await stage.client(bobby!);
    const first = await stage.client(alice!);
    const second = await stage.client(alice!);
    expect(await outcome(first)).toEqual(told(ends.newDevice));
    await b.say(room, "where are you");
    expect(await second.next()).toEqual(received(room, bobby!.id, "where are you"));
    expect(b.isClosed).toBe(false);
  });

  test("C-6.10 of simultaneous connections exactly one is left", async () => {
    const alice = await stage.person();
    const room = await stage.room(alice);
    const clients = await Promise.all(Array.from({ length: 8 }, () => stage.client(alice)));
    const closed = new Set<Client>();
    for (const client of clients) void client.closed.then(() => closed.add(client));
    while (closed.size < 7) await Promise.race(clients.filter((one) => !closed.has(one)).map(({ closed }) => closed));
    const [left, ...more] = clients.filter((client) => !closed.has(client));
    expect(more).toEqual([]);
    expect((await left!.say(room, "alone")).confirmed).toBe(true);
    for (const client of closed) expect(client.rest()).toEqual(told(ends.newDevice).frames);
  });

  test("C-6.11 the older one is told before the newer upgrade is answered", async () => {
    const alice = await stage.person();
    const events: string[] = [];
    const first = await stage.client(alice);
    first.socket.addEventListener("message", () => events.push("told"));
    const second = stage.knock(`/?token=${alice.token}`);
    second.socket.addEventListener("open", () => events.push("opened"));
    await second.opened();
    await first.closed;
    expect(events).toEqual(["told", "opened"]);
  });

  test("C-6.12 what a replaced connection has sent is handled, and confirmed there within a moment", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const b = await stage.client(bobby!);
    const first = await stage.client(alice!);
    const before = await framesReceived(stage);
    const ids = ["one", "two", "three"].map((text) => first.send(room, text));
    while ((await framesReceived(stage)) < before + 3);
    const second = await stage.client(alice!);
    await first.closed;
    for (const text of ["one", "two", "three"]) expect(await b.next()).toEqual(received(room, alice!.id, text));
    await second.say(room, "four");
    // Each is confirmed once, on the old socket or, where that was too late, on the new one.
    const told = [...first.frames, ...second.frames].filter(({ type }) => type === "MessageSentConfirmation");
    expect(told.filter(({ data }) => ids.includes(data.message_id as string)).length).toBe(3);
    expect(new Set(told.map(({ data }) => data.message_id)).size).toBe(4);
    expect(told.every(({ data }) => data.confirmed)).toBe(true);
  });

  test("C-6.12 a confirmation that takes longer goes to the newest connection", async () => {
    const release = Promise.withResolvers<void>();
    const hook = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async () => {
        await release.promise;
        return Response.json({ allowed: true });
      },
    });
    const env = { CHAT_MODERATION_URL: hook.url.href, CHAT_MODERATION_TIMEOUT_MS: "5000" };
    const slow = await stages.start({ env });
    const alice = await slow.person();
    const room = await slow.room(alice);
    const first = await slow.client(alice);
    const asked = first.send(room, "slow");
    const waiting = first.send(room, "behind it");
    while ((await framesReceived(slow)) < 2);
    const second = await slow.client(alice);
    expect(await outcome(first)).toEqual(told(ends.newDevice));
    release.resolve();
    expect([await second.next(), await second.next()]).toEqual([confirmed(asked), confirmed(waiting)]);
    expect(await slow.texts(alice, room)).toEqual(["slow", "behind it"]);
    await hook.stop(true);
  });
});

describe("CHAT_SINGLE_DEVICE=off", () => {
  let several: Stage;
  let alice: Person;
  beforeAll(async () => {
    several = await stages.start({ env: { CHAT_SINGLE_DEVICE: "off", CHAT_MAX_SOCKETS_PER_USER: "2" } });
    stage = several;
    alice = await several.person();
  });

  test("C-6.13 a user may hold so many sockets, one more closes the oldest", async () => {
    const bobby = await several.person();
    const room = await several.room(alice, bobby);
    const b = await several.client(bobby);
    const clients = [await several.client(alice), await several.client(alice), await several.client(alice)];
    expect(await outcome(clients[0]!)).toEqual(told(ends.newDevice));
    await b.say(room, "to all of you");
    for (const client of clients.slice(1)) {
      expect(await client.next()).toEqual(received(room, bobby.id, "to all of you"));
    }
  });

  test("C-5.4 no socket of the sender gets his own message", async () => {
    const bobby = await several.person();
    const room = await several.room(alice, bobby);
    const [first, second, b] = [await several.client(alice), await several.client(alice), await several.client(bobby)];
    await first.say(room, "mine");
    expect(await b.next()).toEqual(received(room, alice.id, "mine"));
    await b.say(room, "answer");
    for (const client of [first, second]) expect(await client.next()).toEqual(received(room, bobby.id, "answer"));
  });

  test("a kick counts and ends all of them", async () => {
    const clara = await several.person();
    const clients = [await several.client(clara), await several.client(clara)];
    const { body } = await several.administer("POST", `/admin/chat/users/${clara.id}/kick`);
    expect(body).toMatchObject({ data: { closed: 2 } });
    for (const client of clients) expect(await outcome(client)).toEqual(told(ends.kicked));
  });

  test("MAX_CONNECTIONS_PER_USER of the gateway is a limit as well", async () => {
    const narrow = await stages.start({ env: { CHAT_SINGLE_DEVICE: "off", MAX_CONNECTIONS_PER_USER: "1" } });
    const first = await narrow.client(alice);
    await narrow.client(alice);
    expect(await outcome(first)).toEqual(told(ends.newDevice));
  });
});

describe("C-10.1 sockets that ask for more", () => {
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

  test("get ids and times, what their user sent from elsewhere, and whether to come back", async () => {
    const several = await stages.start({ env: { CHAT_SINGLE_DEVICE: "off" } });
    const [alice, bobby] = await several.people(2);
    const room = await several.room(alice!, bobby!);
    const [sender, twin, plain] = [
      await several.client(alice!, "&v=2"),
      await several.client(alice!, "&v=2"),
      await several.client(alice!),
    ];
    const [b, old] = [await several.client(bobby!, "&v=2"), await several.client(bobby!)];
    const id = sender.send(room, "Hi");
    const more = { id: expect.any(Number), created_at: time };
    const { type, data } = await sender.next();
    expect({ type, data }).toEqual({
      type: "MessageSentConfirmation",
      data: { confirmed: true, reason: "", message_id: id, ...more },
    });
    const message = { room_id: room, sender_id: alice!.id, message: "Hi", id: data.id, created_at: data.created_at };
    expect((await b.next()).data).toEqual(message);
    expect((await twin.next()).data).toEqual({ ...message, message_temp_id: id });
    expect(await old.next()).toEqual(received(room, alice!.id, "Hi"));
    expect((await several.call("GET", `/rooms/${room}`, { as: bobby! })).body).toMatchObject({
      messages: [{ id: data.id, created_at: data.created_at }],
    });
    // Repeated, it is the same message.
    sender.send(room, "Hi", id);
    expect(await sender.next()).toEqual({ type, data });
    sender.send(room, "Hi again", id);
    expect((await sender.next()).data).toEqual({
      confirmed: false,
      reason: "message_temp_id was already used",
      message_id: id,
    });
    expect(plain.rest()).toEqual([]);
    sender.raw("nonsense");
    expect((await sender.next()).data).toEqual({ ...ends.badFrame, retry: false });
    const stopped = several.gateway.gateway.stop();
    expect((await twin.next()).data).toEqual({ ...ends.drain, retry: true });
    expect((await plain.next()).data).toEqual({ ...ends.drain });
    await stopped;
  });

  test("are told so when they are not let in, too", async () => {
    const client = await stage.knock("/chat/ws?v=2&token=forged").opened();
    expect((await client.next()).data).toEqual({ ...ends.badToken, retry: false });
  });
});
