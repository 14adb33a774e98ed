import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { FORBIDDEN, fault, NO_ROOM, ROLE_REQUIRED, shown } from "./answers.ts";
import { dig, type Room, type Stage, Stages, T } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("POST /rooms", () => {
  test("V-3.31 created, exists, restored", async () => {
    const [ann, bob] = [await stage.person(), await stage.person()];
    const wish = { type: "BS", buyer: ann.id, seller: bob.id, shop_id: "7", creator: bob.id };
    const make = () => stage.call(bob, "POST", "/rooms", wish);
    const id = `${ann.id}.${bob.id}`;
    expect((await make()).body).toMatchObject({ status: true, message: "Room created", room: { _id: id } });
    expect((await make()).body).toMatchObject({ status: false, message: "Room already exists", room: { _id: id } });
    for (const as of [ann, bob]) await stage.call(as, "DELETE", `/rooms/${id}`);
    const restored = (await make()).body;
    expect(restored).toMatchObject({ status: true, message: "Room restored", room: { deleted_by_seller: false } });
    expect(dig(restored, "room", "seller_deleted_at")).toEqual(T);
    expect(dig((await stage.call(ann, "GET", "/rooms?role=BUYER")).body, "rooms", 0)).toMatchObject({
      deleted_by_buyer: false,
      shop: {},
    });
  });

  test("V-3.22 V-8.7 V-8.8 what is refused", async () => {
    const [ann, bob, eve] = [await stage.person(), await stage.person(), await stage.person()];
    const good = { type: "BS", buyer: ann.id, seller: bob.id, shop_id: "7", creator: ann.id };
    const make = async (change: object) => shown(await stage.call(ann, "POST", "/rooms", { ...good, ...change }));
    expect(await make({ type: "XX" })).toEqual(fault(400, "BAD_REQUEST", "Invalid type"));
    expect(await make({ buyer: undefined })).toEqual(fault(400, "BAD_REQUEST", "Invalid buyer"));
    expect(await make({ shop_id: "x".repeat(65) })).toEqual(fault(400, "BAD_REQUEST", "Invalid shop_id"));
    expect(await make({ buyer_info: { name: "x".repeat(513) } })).toEqual(
      fault(400, "BAD_REQUEST", "Invalid buyer_info"),
    );
    expect(await make({ seller: ann.id })).toEqual(fault(400, "SELF_CHAT", "A room needs two different users"));
    expect(await make({ creator: bob.id })).toEqual(FORBIDDEN);
    expect(await make({ buyer: eve.id })).toEqual(FORBIDDEN);
    expect(await make({ role: "SELLER" })).toEqual(FORBIDDEN);
    expect((await stage.call(ann, "GET", "/rooms?role=BUYER")).body.rooms).toEqual([]);
  });

  test("V-3.32 profiles come from their services; a room is made without them too", async () => {
    using services = Bun.serve({
      port: 0,
      fetch(request) {
        const [, kind, id] = new URL(request.url).pathname.split("/");
        if (kind === "users") return Response.json({ name: `User ${id}`, phone_number: "0123" });
        if (id === "9") return Response.json([{ name: "no object" }]);
        return id === "7"
          ? Response.json({ name: "Shop of seven", img_avatar_url: "http://x/y.png" })
          : new Response("no", { status: 500 });
      },
    });
    const at = await stages.start({
      // However slow this machine is, they answer in time.
      clock: new ManualClock(Date.now()),
      env: {
        CONVERSATIONS_USER_LOOKUP_URL: `${services.url.origin}/users/{id}`,
        CONVERSATIONS_SHOP_LOOKUP_URL: `${services.url.origin}/shops/{id}`,
      },
    });
    const room = await at.room("SELLER", { buyer_info: { name: "made up" } });
    const seller = await at.call(room.seller, "GET", `/rooms/${room.id}`);
    expect(dig(seller.body, "room", "buyer_info")).toEqual({
      name: `User ${room.buyer.id}`,
      avatar: null,
      phone_number: "0123",
      email: null,
    });
    const buyer = await at.call(room.buyer, "GET", `/rooms/${room.id}`);
    expect(dig(buyer.body, "room", "shop")).toEqual({ name: "Shop of seven", img_avatar_url: "http://x/y.png" });
    for (const shop_id of ["8", "9"]) {
      const other = await at.room("BUYER", { shop_id });
      expect(dig((await at.call(other.buyer, "GET", `/rooms/${other.id}`)).body, "room", "shop")).toEqual({});
    }
    await services.stop(true);
    const late = await at.room();
    const info = dig((await at.call(late.seller, "GET", `/rooms/${late.id}`)).body, "room", "buyer_info");
    expect(info).toEqual({ name: late.buyer.id, avatar: null, phone_number: null, email: null });
  });
});

test("V-3.32 a service that does not answer within 2 s keeps no room from being made", async () => {
  const asked = Promise.withResolvers<void>();
  let waiting = 0;
  using service = Bun.serve({
    port: 0,
    fetch: ({ signal }) => {
      if (++waiting === 2) asked.resolve();
      signal.addEventListener("abort", () => waiting--);
      // Never answers.
      return new Promise<Response>(() => {});
    },
  });
  const urls = { USER: `${service.url.origin}/users/{id}`, SHOP: `${service.url.origin}/shops/{id}` };
  const clock = new ManualClock(Date.now());
  const at = await stages.start({
    clock,
    env: { CONVERSATIONS_USER_LOOKUP_URL: urls.USER, CONVERSATIONS_SHOP_LOOKUP_URL: urls.SHOP },
  });
  const making = at.room("SELLER", { buyer_info: { name: "Ann" } });
  await asked.promise;
  clock.advance(1_999);
  // Nobody has given up.
  expect((await at.call(null, "GET", "/healthz")).status).toBe(200);
  expect(waiting).toBe(2);
  clock.advance(1);
  const room = await making;
  const view = async (as: "buyer" | "seller") => (await at.call(room[as], "GET", `/rooms/${room.id}`)).body.room;
  expect(await view("seller")).toMatchObject({ buyer_info: { name: room.buyer.id } });
  expect(await view("buyer")).toMatchObject({ shop: {} });
});

describe("the list of rooms", () => {
  test("V-3.33 V-3.34 V-3.43 order, filters, pages", async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ clock });
    const seller = await at.person();
    const rooms: Room[] = [];
    for (const name of ["Ann", "Bob", "Anna", "Zoe"]) {
      rooms.push(await at.roomOf(await at.person(), seller, "SELLER", { buyer_info: { name } }));
      clock.advance(1);
    }
    const [ann, bob, anna, zoe] = rooms as [Room, Room, Room, Room];
    const ids = async (query = "") => {
      const { body } = await at.call(seller, "GET", `/rooms?role=SELLER${query}`);
      return (body.rooms as { _id: string }[]).map(({ _id }) => _id);
    };
    await at.say(ann, "buyer", "newest");
    expect(await ids()).toEqual([ann.id, zoe.id, anna.id, bob.id]);
    const pin = (room: Room, method: string) =>
      at.call(seller, method, `/rooms/${room.id}/pin`, { user_id: seller.id, role: "SELLER" });
    expect((await pin(bob, "POST")).body).toEqual({ status: true });
    clock.advance(1);
    await pin(anna, "POST");
    expect(await ids()).toEqual([anna.id, bob.id, ann.id, zoe.id]);
    expect(await ids("&pinned=1")).toEqual([anna.id, bob.id]);
    expect(await ids("&pinned=0")).toEqual([ann.id, zoe.id]);
    expect(await ids("&name=aNN")).toEqual([anna.id, ann.id]);
    expect(await ids("&name=%25")).toEqual([]);
    const paged: string[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await at.call(seller, "GET", `/rooms?role=SELLER&limit=1&cursor=${cursor}`);
      paged.push(String(dig(body, "rooms", 0, "_id")));
      if (body.next_cursor === null) break;
      cursor = String(body.next_cursor);
    }
    expect(paged).toEqual([anna.id, bob.id, ann.id, zoe.id]);
    const unpinned = (await pin(anna, "DELETE")).body;
    expect(unpinned).toMatchObject({ status: true, room: { _id: anna.id } });
    expect(unpinned.room).not.toHaveProperty("pinned_by_seller");
    expect(await ids()).toEqual([bob.id, ann.id, zoe.id, anna.id]);
    const { body } = await at.call(seller, "GET", "/rooms?role=SELLER");
    expect(body.unseen_total).toBe(1);
    expect(dig(body, "rooms", 0, "pinned_by_seller")).toEqual(T);
  });

  test("V-8.13 bad limits and cursors", async () => {
    const ann = await stage.person();
    for (const limit of ["0", "-1", "x", "1.5", "201"]) {
      expect(shown(await stage.call(ann, "GET", `/rooms?limit=${limit}`))).toEqual(
        fault(400, "BAD_REQUEST", "Invalid limit"),
      );
    }
    const broken = ['[1,1e300,"a"]', '[null,8.64e15,"a"]', '[-8.64e15,1,"a"]', '[null,1,"\\u0000"]'];
    for (const cursor of ["x", "e30", ...broken.map((text) => Buffer.from(text).toString("base64url"))]) {
      expect(shown(await stage.call(ann, "GET", `/rooms?cursor=${cursor}`))).toEqual(
        fault(400, "BAD_REQUEST", "Invalid cursor"),
      );
    }
  });

  test("V-3.41 V-3.42 neither side gets the other's fields", async () => {
    const room = await stage.room();
    const fields = async (as: "buyer" | "seller") =>
      Object.keys(dig((await stage.call(room[as], "GET", `/rooms/${room.id}`)).body, "room") as object);
    const common = [
      "_id",
      "type",
      "creator",
      "buyer",
      "seller",
      "shop_id",
      "created_at",
      "updated_at",
      "online",
      "__v",
    ];
    expect((await fields("buyer")).sort()).toEqual(
      [...common, "shop", "buyer_unseen_messages", "deleted_by_buyer"].sort(),
    );
    expect((await fields("seller")).sort()).toEqual(
      [...common, "buyer_info", "seller_unseen_messages", "deleted_by_seller"].sort(),
    );
  });
});

describe("changes of a room", () => {
  test("V-3.23 to V-3.28 who may, and on what", async () => {
    const room = await stage.room();
    const stranger = await stage.person();
    const routes: [string, string, object][] = [
      ["PUT", "enable", {}],
      ["POST", "pin", {}],
      ["DELETE", "pin", {}],
      ["PUT", "seen", {}],
      ["POST", "block", { block: true }],
    ];
    for (const [method, action, more] of routes) {
      const call = async (as: typeof stranger, id: string, body: object) =>
        shown(await stage.call(as, method, `/rooms/${id}/${action}`, body));
      expect(await call(room.buyer, room.id, more)).toEqual(ROLE_REQUIRED);
      expect(await call(room.buyer, room.id, { ...more, role: "SELLER" })).toEqual(FORBIDDEN);
      expect(await call(room.buyer, room.id, { ...more, role: "BUYER", user_id: room.seller.id })).toEqual(FORBIDDEN);
      expect(await call(stranger, room.id, { ...more, role: "BUYER" })).toEqual(FORBIDDEN);
      expect(await call(room.buyer, `${room.buyer.id}.nobody`, { ...more, role: "BUYER" })).toEqual(NO_ROOM);
      expect(await call(room.buyer, "nonsense", { ...more, role: "BUYER" })).toEqual(NO_ROOM);
    }
    const block = await stage.call(room.buyer, "POST", `/rooms/${room.id}/block`, { block: "yes" });
    expect(shown(block)).toEqual(fault(400, "BAD_REQUEST", "Invalid block"));
  });

  test("V-3.27 V-6.7 deleting: once, again, and what is not there", async () => {
    const room = await stage.room();
    await stage.say(room, "buyer", "hello");
    const watcher = await stage.client({ person: room.buyer, role: "BUYER" });
    await watcher.rest();
    const remove = (id = room.id, as = room.seller) => stage.call(as, "DELETE", `/rooms/${id}`);
    const first = await remove();
    expect(shown(first)).toEqual([200, { status: true, role: "SELLER", deleted_at: T }]);
    expect(shown(await remove())).toEqual([200, first.body]);
    const told = { room_id: room.id, seller: room.seller.id, buyer: room.buyer.id, deletion_role: "SELLER" };
    expect(await watcher.rest()).toEqual([["room_deletion", told]]);
    const missing = fault(200, "ROOM_NOT_FOUND", "Room not found");
    expect(shown(await remove(`${room.seller.id}.x`))).toEqual(missing);
    expect(shown(await remove("nonsense"))).toEqual(missing);
    expect(shown(await remove(room.id, await stage.person()))).toEqual(FORBIDDEN);
    const { body } = await stage.call(room.seller, "GET", `/rooms/${room.id}`);
    expect(body.room).toMatchObject({ deleted_by_seller: true, seller_unseen_messages: 0 });
    expect(body.room).not.toHaveProperty("seller_last_message");
  });
});
