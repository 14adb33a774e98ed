import { afterAll, describe, expect, test } from "bun:test";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Client } from "./client.ts";
import { dig, draft, pageIn, type Room, type Stage, Stages, T } from "./stage.ts";

const redis = await testRedis();
const prefix = redis.available ? freshPrefix(redis.url) : null;
const stages = new Stages();
afterAll(async () => {
  await stages.stop();
  await prefix?.remove();
});

const ID = expect.stringMatching(/^.{1,36}$/);

/** A room as its seller gets it, with what differs. */
const roomOfSeller = ({ id, buyer, seller }: Room, more: object) => ({
  _id: id,
  type: "BS",
  creator: buyer.id,
  buyer: buyer.id,
  seller: seller.id,
  shop_id: "7",
  created_at: T,
  updated_at: T,
  __v: 0,
  buyer_info: { name: "Ann", avatar: null, phone_number: null, email: null },
  ...more,
});

const messageOf = ({ id, buyer, seller }: Room, from: "buyer" | "seller", content: string, seen: boolean) => ({
  _id: ID,
  room_id: id,
  from: from === "buyer" ? buyer.id : seller.id,
  to: from === "buyer" ? seller.id : buyer.id,
  type: "TEXT",
  content,
  is_seen: seen,
  created_at: T,
  updated_at: T,
  __v: 0,
});

const noticeOf = (room: Room, from: "buyer" | "seller", content: string) => {
  const { is_seen: _seen, updated_at: _updated, __v: _version, ...rest } = messageOf(room, from, content, false);
  return { ...rest, client_message_id: null };
};

/** The existing seller web client's day, beside a buyer of the same generation. */
async function day(here: Stage, there: Stage): Promise<void> {
  const room = await here.room("BUYER", { buyer_info: { name: "Ann" } });
  const { id, buyer: ann, seller: bob } = room;
  const list = `/rooms?user_id=${bob.id}&role=SELLER`;

  const before = await here.call(bob, "GET", list);
  expect(before.body).toEqual({
    user_id: bob.id,
    role: "SELLER",
    rooms: [roomOfSeller(room, { online: false, seller_unseen_messages: 0, deleted_by_seller: false })],
    unseen_total: 0,
    next_cursor: null,
  });

  const seller: Client = await here.client({ person: bob });
  const alone = { room_id: id, status: false };
  expect(await seller.until("active_user_list")).toEqual({ user_id: bob.id, user_role: "SELLER", rooms: [alone] });
  const buyer: Client = await there.client({ person: ann, role: "BUYER" });
  const together = { room_id: id, status: true };
  expect(await buyer.until("active_user_list")).toEqual({ user_id: ann.id, user_role: "BUYER", rooms: [together] });
  expect(await seller.until("user_status_change")).toEqual({
    user_id: ann.id,
    user_role: "BUYER",
    room_id: id,
    status: true,
  });

  const toSeller = { room_id: id, from: ann.id, to: bob.id };
  buyer.emit("typing", toSeller);
  expect(await seller.next()).toEqual(["typing", toSeller]);
  // Without a room, as the browser test page does.
  buyer.emit("stop_typing", { from: ann.id, to: bob.id });
  expect(await seller.next()).toEqual(["stop_typing", toSeller]);

  // Two equal texts are two messages, since the client never names them.
  for (let i = 0; i < 2; i++) {
    buyer.emit("new_message", draft(room, "buyer", "Is it <b>new</b>? "));
    expect(await buyer.next()).toEqual(["new_message", noticeOf(room, "buyer", "Is it <b>new</b>? ")]);
    expect(await seller.next()).toEqual(["new_message", noticeOf(room, "buyer", "Is it <b>new</b>? ")]);
  }
  expect((await here.call(bob, "GET", `/rooms/unseen?user_id=${bob.id}&role=SELLER`)).body).toEqual({
    unseen_rooms: 1,
    unseen_messages: 2,
    filters: { user_id: bob.id, role: "SELLER" },
  });

  const history = await here.call(bob, "GET", `/messages?room_id=${id}&limit=50&created_at=-1`);
  const text = messageOf(room, "buyer", "Is it <b>new</b>? ", false);
  expect(history.body).toEqual({
    room_id: id,
    filters: { message_count: 2, from: null, to: null },
    data: [text, text],
    has_more: false,
  });
  const last = await here.call(bob, "GET", `/messages?room_id=${id}&limit=1&created_at=-1`);
  const newest = pageIn(last.body).data[0]!;
  expect(newest).toEqual(pageIn(history.body).data[0]!);
  const mark = { last_message_id: newest._id, last_message_created_at: newest.created_at };
  seller.emit("seen_messages", { room_id: id, from: bob.id, to: ann.id, ...mark });
  expect(await buyer.next()).toEqual(["seen_messages", { room_id: id, from: bob.id, to: ann.id, ...mark }]);
  const read = dig((await here.call(bob, "GET", list)).body, "rooms", 0);
  expect(read).toEqual(
    roomOfSeller(room, {
      online: true,
      seller_last_message: messageOf(room, "buyer", "Is it <b>new</b>? ", true),
      seller_unseen_messages: 0,
      deleted_by_seller: false,
    }),
  );

  // No role anywhere: the room id tells whose side it is.
  const deletion = await here.call(bob, "DELETE", `/rooms/${id}`, {});
  expect([deletion.status, deletion.body]).toEqual([200, { status: true, role: "SELLER", deleted_at: T }]);
  const told = { room_id: id, seller: bob.id, buyer: ann.id, deletion_role: "SELLER" };
  for (const client of [buyer, seller]) expect(await client.next()).toEqual(["room_deletion", told]);
  expect((await here.call(bob, "GET", list)).body.rooms).toEqual([]);
  expect((await here.call(bob, "GET", `/messages?room_id=${id}`)).body.data).toEqual([]);
  expect((await there.call(ann, "GET", `/messages?room_id=${id}`)).body.data).toHaveLength(2);

  buyer.emit("new_message", draft(room, "buyer", "Still there?"));
  expect(await seller.next()).toEqual(["new_message", noticeOf(room, "buyer", "Still there?")]);
  // Both must work the moment the event arrives.
  const enabled = await here.call(bob, "PUT", `/rooms/${id}/enable`, { role: "SELLER" });
  expect(enabled.body).toEqual({
    status: true,
    message: "Room enabled",
    room: roomOfSeller(room, {
      online: true,
      seller_last_message: messageOf(room, "buyer", "Still there?", false),
      seller_unseen_messages: 1,
      deleted_by_seller: false,
      seller_deleted_at: deletion.body.deleted_at,
    }),
  });
  expect((await here.call(bob, "GET", list)).body.rooms).toEqual([enabled.body.room]);
  expect((await here.call(bob, "GET", `/messages?room_id=${id}`)).body.data).toHaveLength(1);
  expect(await buyer.until("user_status_change")).toEqual({
    user_id: bob.id,
    user_role: "SELLER",
    room_id: id,
    status: true,
  });

  buyer.close();
  expect(await seller.until("user_status_change")).toEqual({
    user_id: ann.id,
    user_role: "BUYER",
    room_id: id,
    status: false,
  });
  expect(await seller.rest()).toEqual([]);
}

describe("an unmodified Socket.IO 2.3 client (V-11.1)", () => {
  test("V-3.19 to V-3.21 V-3.40 V-3.44 V-4.1 V-5.7 V-5.9 V-5.14 V-11.2 to V-11.4 V-11.6 to V-11.9 gets the exact shapes on one node", async () => {
    const stage = await stages.start();
    await day(stage, stage);
  });

  test.if(redis.available)("V-1.2 gets the same with buyer and seller on two nodes", async () => {
    const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix?.keyPrefix ?? "" };
    const [here, there] = [await stages.start({ env }), await stages.start({ env })];
    await day(here, there);
  });

  test("V-1.2 sees a client of generation 4, and is seen by it", async () => {
    const stage = await stages.start();
    const room = await stage.room();
    const seller = await stage.client({ person: room.seller });
    const buyer = await stage.client({ person: room.buyer, role: "BUYER", generation: 4 });
    buyer.emit("new_message", draft(room, "buyer", "four to two"));
    expect(await seller.until("new_message")).toEqual(noticeOf(room, "buyer", "four to two"));
    seller.emit("new_message", draft(room, "seller", "two to four"));
    await buyer.until("new_message", ({ from }: { from: string }) => from === room.seller.id);
  });
});
