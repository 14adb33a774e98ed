import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { dig, draft, pageIn, type Stage, Stages, T } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

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

describe("what the browser test page sends (V-11.8)", () => {
  test("V-4.9 create_room without a shop, but with buyer_info", async () => {
    const [seller, buyer] = [await stage.person(), await stage.client({ role: "BUYER" })];
    const { id } = buyer.person;
    await buyer.rest();
    const wish = { type: "BS", creator: id, buyer: id, seller: seller.id, buyer_info: { name: "Ann" } };
    buyer.emit("create_room", wish);
    const made = { ...wish, _id: `${id}.${seller.id}`, room_id: `${id}.${seller.id}`, shop_id: "" };
    expect(await buyer.next()).toEqual(["create_room", made]);
  });
});

describe("new_message", () => {
  test("V-5.1 V-5.2 V-5.4 reaches every socket of both once, the echo before the acknowledgement", async () => {
    const { room, buyer, seller } = await stage.meeting();
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
    const { room, buyer, seller } = await stage.meeting();
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
    const { room, buyer, seller } = await at.meeting();
    const again = draft(room, "buyer", "once", { client_message_id: "c1" });
    const first = await buyer.ask("new_message", again);
    expect(first).toEqual({ status: true, message: { ...again, _id: expect.any(String), created_at: T } });
    expect(await buyer.ask("new_message", again)).toEqual({ ...first, duplicate: true });
    expect(await buyer.rest()).toEqual([
      ["new_message", first.message],
      ["new_message", first.message],
    ]);
    expect(await seller.rest()).toEqual([["new_message", first.message]]);
    expect(await at.unseenOf(room)).toBe(1);
    expect(await buyer.ask("new_message", { ...again, content: "other" })).not.toHaveProperty("duplicate");
    expect(
      await seller.ask("new_message", draft(room, "seller", "once", { client_message_id: "c1" })),
    ).not.toHaveProperty("duplicate");
    // Longer than the heartbeat: connections end on the way.
    clock.advance(301_000);
    const back = await at.client({ person: room.buyer, role: "BUYER" });
    expect(await back.ask("new_message", again)).not.toHaveProperty("duplicate");
    expect(await at.unseenOf(room)).toBe(3);
  });

  test("V-4.18 equal requests that race give one row", async () => {
    const there = await stages.start();
    const { room, buyer } = await stage.meeting();
    const other = await there.client({ person: room.buyer, role: "BUYER" });
    for (let i = 0; i < 10; i++) {
      const same = draft(room, "buyer", "race", { client_message_id: `race ${i}` });
      const answers = await Promise.all([buyer.ask("new_message", same), other.ask("new_message", same)]);
      expect(dig(answers, 0, "message", "_id")).toEqual(dig(answers, 1, "message", "_id"));
      expect(answers.filter((answer) => answer.duplicate === true)).toHaveLength(1);
    }
    expect(await stage.unseenOf(room)).toBe(10);
  });

  test("V-4.16 V-6.6 V-6.8 a deleted room takes messages, which bring it back", async () => {
    const { room, buyer, seller } = await stage.meeting();
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

describe("what an event may hold", () => {
  test("V-4.1 V-4.2 V-4.10 numbers as ids, keys nobody knows, texts as they are", async () => {
    const { room, buyer, seller } = await stage.meeting();
    const content = "  <b>&amp;</b>\t\u200b\n ";
    const wish = draft(room, "buyer", content, {
      from: Number(room.buyer.id),
      to: Number(room.seller.id),
      more: { x: 1 },
    });
    const { message } = await buyer.ask("new_message", wish);
    expect(message).toEqual({ ...draft(room, "buyer", content), _id: expect.any(String), created_at: T });
    expect(await seller.next()).toEqual(["new_message", message]);
  });

  test("V-4.15 contents up to their lengths, counted in characters", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_MAX_CONTENT_CHARS: "10" } });
    const { room, buyer } = await at.meeting();
    const address = (length: number) => `https://x.example/${"y".repeat(length - 18)}`;
    for (const [type, fits, tooLong] of [
      ["TEXT", "x".repeat(10), "x".repeat(11)],
      ["TEXT", "😀".repeat(10), "😀".repeat(11)],
      ["EMOJI", "x".repeat(200), "x".repeat(201)],
      ["EMOJI", "😀".repeat(200), "😀".repeat(201)],
      ["IMAGE", address(2048), address(2049)],
      ["IMAGE", "http://x.example/y.png", "https://"],
    ] as const) {
      const send = (content: string) => buyer.ask("new_message", draft(room, "buyer", content, { type }));
      expect(await send(fits)).toMatchObject({ status: true, message: { type, content: fits } });
      expect(await send(tooLong)).toEqual({ status: false, code: "BAD_REQUEST", message: "Invalid content" });
    }
  });

  test("V-4.7 V-2.4 the side is that of the room: the socket's role does not limit it, that of the token does", async () => {
    const room = await stage.room();
    const asSeller = await stage.client({ person: room.buyer, role: "SELLER" });
    expect(await asSeller.ask("new_message", draft(room, "buyer", "x"))).toMatchObject({ status: true });
    const sellerOnly = await stage.person(room.buyer.id, { role: "SELLER" });
    const limited = await stage.client({ person: sellerOnly, role: "SELLER" });
    const forbidden = { status: false, code: "FORBIDDEN", message: "Forbidden" };
    expect(await limited.ask("new_message", draft(room, "buyer", "x"))).toEqual(forbidden);
  });

  test("V-4.8 of several faults the first in this order is told: rate, payload, person, room, block", async () => {
    const env = { CONVERSATIONS_MESSAGES_PER_MINUTE: "5" };
    const at = await stages.start({ env, clock: new ManualClock(Date.now()) });
    const { room, buyer } = await at.meeting();
    await at.call(room.seller, "POST", `/rooms/${room.id}/block`, { role: "SELLER", block: true });
    const elsewhere = { room_id: `${room.buyer.id}.nobody` };
    const code = async (change: Record<string, unknown>) =>
      (await buyer.ask("new_message", draft(room, "buyer", "x", change))).code;
    expect(await code({ ...elsewhere, content: " " })).toBe("BAD_REQUEST");
    expect(await code(elsewhere)).toBe("FORBIDDEN");
    expect(await code({ ...elsewhere, to: "nobody" })).toBe("ROOM_NOT_FOUND");
    expect(await code({ client_message_id: "c" })).toBe("BLOCKED");
    expect(await code({})).toBe("BLOCKED");
    expect(await code({ content: " " })).toBe("RATE_LIMITED");
  });
});

describe("typing", () => {
  test("V-5.5 reaches the other sockets of both, never the emitting one", async () => {
    const { room, buyer, seller } = await stage.meeting();
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

describe("block", () => {
  test("V-6.9 V-3.14 V-3.28 one holder; messages and typing of both are refused, the rest goes on", async () => {
    const { room, buyer, seller } = await stage.meeting();
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
