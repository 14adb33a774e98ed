import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { type Client, EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { dig, draft, pageIn, type Room, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

const T = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** A room with both people connected, everything about their coming taken. */
async function meeting(at: Stage = stage): Promise<{ room: Room; buyer: Client; seller: Client }> {
  const room = await at.room();
  const seller = await at.client({ person: room.seller });
  await seller.until("active_user_list");
  const buyer = await at.client({ person: room.buyer, role: "BUYER", generation: 4 });
  await buyer.until("active_user_list");
  await seller.until("user_status_change");
  return { room, buyer, seller };
}

const unseenOf = async (at: Stage, room: Room) =>
  (await at.call(room.seller, "GET", "/rooms/unseen?role=SELLER")).body.unseen_messages;

describe("create_room", () => {
  test("V-4.9 V-5.3 is told to all sockets of the creator, and no others", async () => {
    const [ann, bob] = [await stage.person(), await stage.person()];
    const [one, two] = [
      await stage.client({ person: ann, role: "BUYER" }),
      await stage.client({ person: ann, role: "BUYER" }),
    ];
    const other = await stage.client({ person: bob });
    // Everything about their coming is told.
    for (const client of [one, two, other]) await client.rest();
    const buyer_info = { name: "Ann", email: "ann@example.com" };
    const wish = { type: "BS", buyer: Number(ann.id), seller: bob.id, shop_id: 9, creator: ann.id, buyer_info };
    const answer = await one.ask("create_room", wish);
    const id = `${ann.id}.${bob.id}`;
    expect(answer).toMatchObject({ status: true, room: { _id: id, shop: {}, online: true, deleted_by_buyer: false } });
    const told = {
      _id: id,
      room_id: id,
      type: "BS",
      buyer: ann.id,
      seller: bob.id,
      shop_id: "9",
      creator: ann.id,
      buyer_info,
    };
    for (const client of [one, two]) expect(await client.until("create_room")).toEqual(told);
    // V-10.4: the other side is there.
    for (const client of [one, two]) {
      expect(await client.next()).toEqual([
        "user_status_change",
        { user_id: bob.id, user_role: "SELLER", room_id: id, status: true },
      ]);
    }
    // Again: told again, nothing new is made.
    expect(await one.ask("create_room", wish)).toMatchObject({ status: true });
    expect(await two.next()).toEqual(["create_room", told]);
    expect(await two.rest()).toEqual([]);
    expect(await other.rest()).toEqual([]);
    expect(dig((await stage.call(bob, "GET", "/rooms")).body, "rooms", 0)).toMatchObject({
      buyer_info: { name: "Ann", avatar: null, phone_number: null, email: "ann@example.com" },
    });
  });
});

describe("new_message", () => {
  test("V-5.1 V-5.2 V-5.4 reaches every socket of both once, the echo before the acknowledgement", async () => {
    const { room, buyer, seller } = await meeting();
    const second = await stage.client({ person: room.seller, role: "BUYER" });
    for (const client of [second, seller, buyer]) await client.rest();
    const raw = await RawSocket.join(stage.url, {
      token: room.buyer.token,
      user_id: room.buyer.id,
      user_role: "BUYER",
    });
    await raw.next();
    for (const client of [second, seller, buyer]) await client.rest();
    raw.send(`42${EVENTS},5${JSON.stringify(["new_message", draft(room, "buyer", "hi", { client_message_id: "" })])}`);
    const echo = await raw.next();
    expect(echo).toStartWith(`42${EVENTS},["new_message",`);
    const [, payload] = JSON.parse(echo!.slice(echo!.indexOf("[")));
    expect(payload).toEqual({
      ...draft(room, "buyer", "hi"),
      _id: expect.any(String),
      client_message_id: "",
      created_at: T,
    });
    expect(await raw.next()).toBe(`43${EVENTS},5${JSON.stringify([{ status: true, message: payload }])}`);
    for (const client of [seller, second, buyer]) expect(await client.rest()).toEqual([["new_message", payload]]);
    raw.close();
  });

  test("V-4.3 V-4.14 V-5.16 messages of one sender arrive in order, created_at rising by the millisecond at least", async () => {
    const { room, buyer, seller } = await meeting();
    for (let i = 0; i < 50; i++) {
      buyer.emit("new_message", draft(room, "buyer", String(i)));
      seller.emit("new_message", draft(room, "seller", `s${i}`));
    }
    const seen: { content: string; created_at: string }[] = [];
    while (seen.length < 100) seen.push(await seller.until("new_message"));
    const times = seen.map(({ created_at }) => created_at);
    expect(new Set(times).size).toBe(100);
    expect(times).toEqual(times.toSorted());
    const fromBuyer = seen.filter(({ content }) => !content.startsWith("s")).map(({ content }) => Number(content));
    expect(fromBuyer).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const { body } = await stage.call(room.buyer, "GET", `/messages?room_id=${room.id}&limit=200&created_at=1`);
    expect(pageIn(body).data.map(({ content }) => content)).toEqual(seen.map(({ content }) => content));
  });

  test("V-4.17 a repeated client_message_id is the same message within the window, and only with the same content", async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ clock });
    const { room, buyer, seller } = await meeting(at);
    const again = draft(room, "buyer", "once", { client_message_id: "c1" });
    const first = await buyer.ask("new_message", again);
    expect(first).toEqual({ status: true, message: { ...again, _id: expect.any(String), created_at: T } });
    expect(await buyer.ask("new_message", again)).toEqual({ ...first, duplicate: true });
    expect(await buyer.rest()).toEqual([
      ["new_message", first.message],
      ["new_message", first.message],
    ]);
    expect(await seller.rest()).toEqual([["new_message", first.message]]);
    expect(await unseenOf(at, room)).toBe(1);
    expect(await buyer.ask("new_message", { ...again, content: "other" })).not.toHaveProperty("duplicate");
    expect(
      await seller.ask("new_message", draft(room, "seller", "once", { client_message_id: "c1" })),
    ).not.toHaveProperty("duplicate");
    // Longer than the heartbeat: connections end on the way.
    clock.advance(301_000);
    const back = await at.client({ person: room.buyer, role: "BUYER" });
    expect(await back.ask("new_message", again)).not.toHaveProperty("duplicate");
    expect(await unseenOf(at, room)).toBe(3);
  });

  test("V-4.18 equal requests that race give one row", async () => {
    const there = await stages.start();
    const { room, buyer } = await meeting();
    const other = await there.client({ person: room.buyer, role: "BUYER" });
    for (let i = 0; i < 10; i++) {
      const same = draft(room, "buyer", "race", { client_message_id: `race ${i}` });
      const answers = await Promise.all([buyer.ask("new_message", same), other.ask("new_message", same)]);
      expect(dig(answers, 0, "message", "_id")).toEqual(dig(answers, 1, "message", "_id"));
      expect(answers.filter((answer) => answer.duplicate === true)).toHaveLength(1);
    }
    expect(await unseenOf(stage, room)).toBe(10);
  });

  test("V-4.16 V-6.6 V-6.8 a deleted room takes messages, which bring it back", async () => {
    const { room, buyer, seller } = await meeting();
    await buyer.ask("new_message", draft(room, "buyer", "before"));
    for (const person of [room.buyer, room.seller]) await stage.call(person, "DELETE", `/rooms/${room.id}`);
    expect(dig((await stage.call(room.seller, "GET", "/rooms")).body, "rooms")).toEqual([]);
    await buyer.ask("new_message", draft(room, "buyer", "after"));
    await seller.until("new_message", ({ content }: { content: string }) => content === "after");
    const { body } = await stage.call(room.seller, "GET", "/rooms");
    expect(dig(body, "rooms", 0)).toMatchObject({ deleted_by_seller: true, seller_unseen_messages: 1 });
    const page = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}&to=0`);
    expect(pageIn(page.body).data.map(({ content }) => content)).toEqual(["after"]);
  });
});

describe("typing", () => {
  test("V-5.5 reaches the other sockets of both, never the emitting one", async () => {
    const { room, buyer, seller } = await meeting();
    const second = await stage.client({ person: room.buyer, role: "BUYER" });
    await second.rest();
    const payload = { room_id: room.id, from: room.buyer.id, to: room.seller.id };
    for (const event of ["typing", "stop_typing"]) {
      expect(await buyer.ask(event, { ...payload, unknown: 1 })).toEqual({ status: true });
      for (const client of [seller, second]) expect(await client.until(event)).toEqual(payload);
    }
    for (const client of [buyer, seller, second])
      expect((await client.rest()).filter(([name]) => name.endsWith("typing"))).toEqual([]);
  });

  test("V-4.11 stop_typing without a room: the socket's role decides where there are two", async () => {
    const [ann, bob] = [await stage.person(), await stage.person()];
    const asBuyer = await stage.roomOf(ann, bob);
    const asSeller = await stage.roomOf(bob, ann);
    const watcher = await stage.client({ person: bob });
    for (const [role, room] of [
      ["BUYER", asBuyer],
      ["SELLER", asSeller],
    ] as const) {
      const client = await stage.client({ person: ann, role });
      client.emit("stop_typing", { from: ann.id, to: bob.id });
      expect(await watcher.until("stop_typing")).toEqual({ room_id: room.id, from: ann.id, to: bob.id });
    }
    const stranger = await stage.client();
    const { id } = stranger.person;
    expect(await stranger.ask("stop_typing", { from: id, to: bob.id })).toMatchObject({ code: "ROOM_NOT_FOUND" });
  });
});

describe("seen_messages", () => {
  test("V-4.12 V-4.19 V-5.6 marks up to the bound, counts the rest, tells the peer alone", async () => {
    const { room, buyer, seller } = await meeting();
    const sent: { _id: string; created_at: string }[] = [];
    for (const text of ["a", "b", "c"]) {
      const { message } = await buyer.ask<{ message: (typeof sent)[0] }>("new_message", draft(room, "buyer", text));
      sent.push(message);
    }
    const base = { room_id: room.id, from: room.seller.id, to: room.buyer.id };
    const byId = { ...base, last_message_id: sent[1]!._id };
    expect(await seller.ask("seen_messages", byId)).toEqual({ status: true, unseen: 1 });
    expect(await buyer.until("seen_messages")).toEqual({ ...byId, last_message_created_at: sent[1]!.created_at });
    // V-8.15: a message of another room is nothing; the time counts.
    const byTime = { ...base, last_message_id: "elsewhere", last_message_created_at: sent[0]!.created_at };
    expect(await seller.ask("seen_messages", byTime)).toEqual({ status: true, unseen: 1 });
    expect(await buyer.until("seen_messages")).toEqual({ ...byTime, last_message_id: null });
    // V-8.14: a time to come is cut to the newest message.
    const future = { ...base, last_message_created_at: Date.now() + 1e9 };
    expect(await seller.ask("seen_messages", future)).toEqual({ status: true, unseen: 0 });
    expect(await buyer.until("seen_messages")).toMatchObject({ last_message_created_at: sent[2]!.created_at });
    expect((await seller.rest()).filter(([event]) => event === "seen_messages")).toEqual([]);
    await buyer.ask("new_message", draft(room, "buyer", "d"));
    expect(await unseenOf(stage, room)).toBe(1);
  });

  test("V-3.26 by REST: up to a message, or to the newest; nothing is told where there is none", async () => {
    const { room, buyer } = await meeting();
    const seen = (body: object) =>
      stage.call(room.seller, "PUT", `/rooms/${room.id}/seen`, { role: "SELLER", ...body });
    expect((await seen({})).body).toMatchObject({ status: true, room: { seller_unseen_messages: 0 } });
    expect(await buyer.rest()).toEqual([]);
    const { message } = await buyer.ask<{ message: { _id: string; created_at: string } }>(
      "new_message",
      draft(room, "buyer", "a"),
    );
    await buyer.ask("new_message", draft(room, "buyer", "b"));
    expect((await seen({ up_to: message._id })).body).toMatchObject({ room: { seller_unseen_messages: 1 } });
    expect(await buyer.until("seen_messages")).toEqual({
      room_id: room.id,
      from: room.seller.id,
      to: room.buyer.id,
      last_message_id: message._id,
      last_message_created_at: message.created_at,
    });
    expect((await seen({ up_to: "elsewhere" })).body).toEqual({
      status: false,
      code: "BAD_REQUEST",
      message: "Invalid up_to",
    });
    expect((await seen({})).body).toMatchObject({ room: { seller_unseen_messages: 0 } });
  });
});

describe("presence", () => {
  test("V-5.13 a second socket, or the loss of one of two, is no news; V-5.15 the news comes before the list", async () => {
    const { room, buyer, seller } = await meeting();
    const second = await stage.client({ person: room.seller });
    expect(await second.next()).toEqual([
      "active_user_list",
      { user_id: room.seller.id, user_role: "SELLER", rooms: [{ room_id: room.id, status: true }] },
    ]);
    second.drop();
    await seller.until("active_user_list");
    expect(await buyer.rest()).toEqual([]);
    seller.drop();
    const news = { user_id: room.seller.id, user_role: "SELLER", room_id: room.id };
    expect(await buyer.next()).toEqual(["user_status_change", { ...news, status: false }]);
    const back = await stage.client({ person: room.seller });
    await back.until("active_user_list");
    expect(await buyer.rest()).toEqual([["user_status_change", { ...news, status: true }]]);
  });

  test("V-5.8 V-4.21 somebody without rooms gets no list, but an empty one when he asks", async () => {
    const client = await stage.client({ role: "BUYER" });
    expect(await client.rest()).toEqual([]);
    expect(await client.ask("get_active_users")).toEqual({ status: true });
    expect(await client.next()).toEqual([
      "active_user_list",
      { user_id: client.person.id, user_role: "BUYER", rooms: [] },
    ]);
  });

  test("V-6.11 with a grace, a socket that is soon back causes no event", async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ clock, env: { CONVERSATIONS_PRESENCE_GRACE_MS: "3000" } });
    const { room, buyer, seller } = await meeting(at);
    seller.close();
    const gone = async () => {
      const { body } = await at.call(room.buyer, "GET", `/rooms/${room.id}`);
      return dig(body, "room", "online") === false;
    };
    while (!(await gone())) await Bun.sleep(5);
    clock.advance(2_000);
    const back = await at.client({ person: room.seller });
    await back.until("active_user_list");
    clock.advance(5_000);
    expect(await buyer.rest()).toEqual([]);
    back.close();
    while (!(await gone())) await Bun.sleep(5);
    // The time to wait begins when the leaving is noted, a moment after it shows.
    while (buyer.told.at(-1)?.[0] !== "user_status_change" || !JSON.stringify(buyer.told.at(-1)).includes("false")) {
      clock.advance(100);
      await Bun.sleep(5);
    }
  });

  test("V-10.7 with RESEND_PRESENCE each list of rooms is followed by a list of active users", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_RESEND_PRESENCE: "true" } });
    const { room, buyer } = await meeting(at);
    await at.call(room.buyer, "GET", "/rooms?role=BUYER");
    expect(await buyer.until("active_user_list")).toMatchObject({ rooms: [{ room_id: room.id, status: true }] });
  });
});

describe("limits", () => {
  test("V-8.16 V-4.4 V-4.5 events over the rate are dropped and told", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_EVENTS_BURST: "2", CONVERSATIONS_EVENTS_PER_SECOND: "1" } });
    const { room, buyer } = await meeting(at);
    const typing = { room_id: room.id, from: room.buyer.id, to: room.seller.id };
    const limited = { code: "RATE_LIMITED", message: "Too many requests", retry_after_ms: expect.any(Number) };
    const answers = [1, 2, 3].map(() => buyer.ask("typing", typing));
    expect((await Promise.all(answers)).at(-1)).toEqual({ status: false, ...limited });
    for (let i = 0; i < 5; i++) buyer.emit("typing", typing);
    expect(await buyer.until("error_message")).toEqual({ event: "typing", ...limited });
  });

  test("V-8.16 messages of a user over all his sockets", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_MESSAGES_PER_MINUTE: "2" } });
    const { room, buyer } = await meeting(at);
    const second = await at.client({ person: room.buyer, role: "BUYER" });
    const send = (client: Client, text: string) => client.ask("new_message", draft(room, "buyer", text));
    expect(await send(buyer, "1")).toMatchObject({ status: true });
    expect(await send(second, "2")).toMatchObject({ status: true });
    expect(await send(second, "3")).toMatchObject({ status: false, code: "RATE_LIMITED" });
    expect(await unseenOf(at, room)).toBe(2);
  });

  test("V-7.11 who goes on regardless is dropped and may come back, V-7.12 who sends nothing but nonsense is put out", async () => {
    const at = await stages.start({
      env: { CONVERSATIONS_EVENTS_BURST: "100", CONVERSATIONS_BAD_EVENTS_PER_MINUTE: "5" },
    });
    const { id, token } = await at.person();
    const credentials = { token, user_id: id, user_role: "SELLER" };
    const fast = await RawSocket.join(at.url, credentials);
    for (let i = 0; i < 400; i++) fast.send(`42${EVENTS},["get_active_users"]`);
    expect(await fast.closed).toBe(4429);
    expect(fast.frames).not.toContain(`41${EVENTS},`);
    const wrong = await RawSocket.join(at.url, credentials);
    for (let i = 0; i < 6; i++) wrong.send(`42${EVENTS},["nonsense"]`);
    expect(await wrong.closed).toBe(4509);
    expect(wrong.frames.at(-1)).toBe(`41${EVENTS},`);
  });
});

describe("block", () => {
  test("V-6.9 V-3.28 one holder; messages and typing of both are refused, the rest goes on", async () => {
    const { room, buyer, seller } = await meeting();
    const block = (as: "buyer" | "seller", block: boolean) =>
      stage.call(room[as], "POST", `/rooms/${room.id}/block`, { block, role: as.toUpperCase() });
    expect((await block("seller", false)).body).toMatchObject({ status: true });
    expect((await block("seller", true)).body).toMatchObject({ status: true, room: { blocked_by: "SELLER" } });
    expect((await block("seller", true)).status).toBe(200);
    for (const wish of [true, false]) expect((await block("buyer", wish)).body).toMatchObject({ code: "FORBIDDEN" });
    const blocked = { status: false, code: "BLOCKED", message: "Room is blocked" };
    expect(await buyer.ask("new_message", draft(room, "buyer", "x"))).toEqual(blocked);
    expect(await seller.ask("new_message", draft(room, "seller", "x"))).toEqual(blocked);
    const typing = { room_id: room.id, from: room.buyer.id, to: room.seller.id };
    expect(await buyer.ask("typing", typing)).toEqual(blocked);
    expect(
      await seller.ask("seen_messages", {
        room_id: room.id,
        from: room.seller.id,
        to: room.buyer.id,
        last_message_created_at: 0,
      }),
    ).toMatchObject({ status: true });
    const lifted = await block("seller", false);
    expect(dig(lifted.body, "room")).not.toHaveProperty("blocked_by");
    expect(await buyer.ask("new_message", draft(room, "buyer", "x"))).toMatchObject({ status: true });
  });
});
