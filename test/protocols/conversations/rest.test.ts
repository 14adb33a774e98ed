import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Answer, API, dig, draft, pageIn, type Room, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

const shown = ({ status, body }: Answer) => [status, body];
const fault = (status: number, code: string, message: string) => [status, { status: false, code, message }];
const FORBIDDEN = fault(403, "FORBIDDEN", "Forbidden");
const NO_ROOM = fault(400, "ROOM_NOT_FOUND", "Room not found");
const ROLE_REQUIRED = fault(400, "ROLE_REQUIRED", "role is required");
const UNAUTHORIZED = fault(401, "UNAUTHORIZED", "Authentication Error");
const T = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** Has one side say something. */
async function say(
  room: Room,
  from: "buyer" | "seller",
  ...texts: string[]
): Promise<{ _id: string; created_at: string }[]> {
  const client = await stage.client({ person: room[from], role: from === "buyer" ? "BUYER" : "SELLER" });
  const sent: { _id: string; created_at: string }[] = [];
  for (const text of texts) {
    const { message } = await client.ask<{ message: (typeof sent)[0] }>("new_message", draft(room, from, text));
    sent.push(message);
  }
  client.close();
  return sent;
}

describe("requests", () => {
  test("V-2.11 V-2.12 x-chozoi-token first, else the bearer token", async () => {
    const ann = await stage.person();
    const call = (headers: Record<string, string>) => stage.call(null, "GET", "/rooms", undefined, headers);
    expect((await call({ "x-chozoi-token": ann.token })).status).toBe(200);
    expect((await call({ authorization: `Bearer ${ann.token}` })).status).toBe(200);
    expect((await call({ authorization: "Bearer x", "x-chozoi-token": ann.token })).status).toBe(200);
    expect(shown(await call({ authorization: `Bearer ${ann.token}`, "x-chozoi-token": "x" }))).toEqual(UNAUTHORIZED);
    expect(shown(await call({}))).toEqual(UNAUTHORIZED);
  });

  test("V-1.13 V-3.6 a last slash, and room ids that are percent-encoded", async () => {
    const room = await stage.room();
    for (const path of [
      "/rooms/",
      `/rooms/${room.id}/`,
      `/rooms/${room.id.replace(".", "%2E")}`,
      `/messages/?room_id=${room.id}`,
    ]) {
      expect((await stage.call(room.buyer, "GET", path)).status).toBe(200);
    }
  });

  test("V-3.1 an empty body is {}, another one must be a JSON object", async () => {
    const room = await stage.room();
    const enable = (body?: string) => stage.call(room.buyer, "PUT", `/rooms/${room.id}/enable`, body);
    expect(shown(await enable())).toEqual(ROLE_REQUIRED);
    for (const body of ["{", "[]", '"x"', "null", "7"]) {
      expect(shown(await enable(body))).toEqual(fault(400, "BAD_REQUEST", "Invalid body"));
    }
    expect((await enable('{"role":"BUYER","more":1,"__proto__":{"role":"X"}}')).status).toBe(200);
  });

  test("V-3.2 V-3.3 V-3.4 V-3.5 whose side it is", async () => {
    const room = await stage.room();
    const stranger = await stage.person();
    const get = (query: string, as = room.buyer) => stage.call(as, "GET", query);
    expect(shown(await get(`/rooms?user_id=${room.seller.id}`))).toEqual(FORBIDDEN);
    expect((await get("/rooms")).body.role).toBe("SELLER");
    const buyerOnly = await stage.person(room.buyer.id, { role: "BUYER" });
    expect((await get("/rooms", buyerOnly)).body.role).toBe("BUYER");
    expect(shown(await get("/rooms?role=SELLER", buyerOnly))).toEqual(FORBIDDEN);
    expect(shown(await get("/rooms?role=seller"))).toEqual(fault(400, "BAD_REQUEST", "Invalid role"));
    expect(shown(await get(`/rooms/${room.id}?role=SELLER`))).toEqual(FORBIDDEN);
    const sellerOnly = await stage.person(room.buyer.id, { role: ["SELLER"] });
    expect(shown(await get(`/rooms/${room.id}`, sellerOnly))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.id}`, stranger))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.buyer.id}.nobody`, stranger))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.buyer.id}.nobody`))).toEqual(NO_ROOM);
    expect(shown(await get("/rooms/undefined"))).toEqual(NO_ROOM);
  });

  test("V-3.15 unknown paths and wrong methods", async () => {
    const ann = await stage.person();
    expect(shown(await stage.call(ann, "GET", "/nothing/here"))).toEqual(fault(404, "NOT_FOUND", "Not found"));
    const wrong = await stage.call(ann, "PUT", "/rooms");
    expect(shown(wrong)).toEqual(fault(405, "METHOD_NOT_ALLOWED", "Method not allowed"));
    expect(wrong.headers.get("allow")).toBe("GET, HEAD, POST, OPTIONS");
  });

  test("V-3.17 V-9.9 requests of a user in a minute", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_REST_PER_MINUTE: "2" } });
    const ann = await at.person();
    for (let i = 0; i < 2; i++) expect((await at.call(ann, "GET", "/rooms")).status).toBe(200);
    const limited = await at.call(ann, "GET", "/rooms?role=nonsense");
    expect(shown(limited)).toEqual(fault(429, "RATE_LIMITED", "Too many requests"));
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await at.call(await at.person(), "GET", "/rooms")).status).toBe(200);
  });

  test("V-3.16 a body that is too large", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_MAX_BODY_BYTES: "1024" } });
    const answer = await at.call(await at.person(), "POST", "/rooms", { type: "x".repeat(2000) });
    expect(shown(answer)).toEqual(fault(413, "TOO_LARGE", "Payload too large"));
  });

  test("V-3.48 health", async () => {
    expect(shown(await stage.call(null, "GET", "/healthz"))).toEqual([200, { status: true }]);
  });
});

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
        return id === "7"
          ? Response.json({ name: "Shop of seven", img_avatar_url: "http://x/y.png" })
          : new Response("no", { status: 500 });
      },
    });
    const at = await stages.start({
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
    const other = await at.room("BUYER", { shop_id: "8" });
    expect(dig((await at.call(other.buyer, "GET", `/rooms/${other.id}`)).body, "room", "shop")).toEqual({});
    await services.stop(true);
    const late = await at.room();
    const info = dig((await at.call(late.seller, "GET", `/rooms/${late.id}`)).body, "room", "buyer_info");
    expect(info).toEqual({ name: late.buyer.id, avatar: null, phone_number: null, email: null });
  });
});

describe("the list of rooms", () => {
  test("V-3.33 V-3.34 V-3.43 order, filters, pages", async () => {
    const seller = await stage.person();
    const rooms: Room[] = [];
    for (const name of ["Ann", "Bob", "Anna", "Zoe"]) {
      rooms.push(await stage.roomOf(await stage.person(), seller, "SELLER", { buyer_info: { name } }));
    }
    const [ann, bob, anna, zoe] = rooms as [Room, Room, Room, Room];
    const ids = async (query = "") => {
      const { body } = await stage.call(seller, "GET", `/rooms?role=SELLER${query}`);
      return (body.rooms as { _id: string }[]).map(({ _id }) => _id);
    };
    await say(ann, "buyer", "newest");
    expect(await ids()).toEqual([ann.id, zoe.id, anna.id, bob.id]);
    const pin = (room: Room, method: string) =>
      stage.call(seller, method, `/rooms/${room.id}/pin`, { user_id: seller.id, role: "SELLER" });
    expect((await pin(bob, "POST")).body).toEqual({ status: true });
    await pin(anna, "POST");
    expect(await ids()).toEqual([anna.id, bob.id, ann.id, zoe.id]);
    expect(await ids("&pinned=1")).toEqual([anna.id, bob.id]);
    expect(await ids("&pinned=0")).toEqual([ann.id, zoe.id]);
    expect(await ids("&name=aNN")).toEqual([anna.id, ann.id]);
    expect(await ids("&name=%25")).toEqual([]);
    const paged: string[] = [];
    for (let cursor = ""; ; ) {
      const { body } = await stage.call(seller, "GET", `/rooms?role=SELLER&limit=1&cursor=${cursor}`);
      paged.push(String(dig(body, "rooms", 0, "_id")));
      if (body.next_cursor === null) break;
      cursor = String(body.next_cursor);
    }
    expect(paged).toEqual([anna.id, bob.id, ann.id, zoe.id]);
    const unpinned = (await pin(anna, "DELETE")).body;
    expect(unpinned).toMatchObject({ status: true, room: { _id: anna.id } });
    expect(unpinned.room).not.toHaveProperty("pinned_by_seller");
    expect(await ids()).toEqual([bob.id, ann.id, zoe.id, anna.id]);
    const { body } = await stage.call(seller, "GET", "/rooms?role=SELLER");
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
    for (const cursor of ["x", "e30", Buffer.from('[1,1e300,"a"]').toString("base64url")]) {
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
    await say(room, "buyer", "hello");
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

describe("messages", () => {
  test("V-3.29 V-3.35 V-3.36 V-3.37 pages by every bound", async () => {
    const room = await stage.room();
    const sent = await say(room, "buyer", ...Array.from({ length: 20 }, (_, i) => String(i)));
    const read = async (query: string) => {
      const { body, status } = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}${query}`);
      expect(status).toBe(200);
      return {
        body,
        texts: pageIn(body)
          .data.map(({ content }) => content)
          .join(" "),
      };
    };
    const first = await read("");
    expect(first.texts).toBe("19 18 17 16 15 14 13 12 11 10 9 8 7 6 5");
    expect(first.body).toMatchObject({ filters: { message_count: 15, from: null, to: null }, has_more: true });
    const second = await read(`&from=${sent[5]!.created_at}`);
    expect(second.texts).toBe("4 3 2 1 0");
    expect(second.body).toMatchObject({ filters: { from: sent[5]!.created_at }, has_more: false });
    expect((await read(`&limit=3&created_at=1&to=${Date.parse(sent[3]!.created_at)}`)).texts).toBe("4 5 6");
    expect((await read(`&to=${sent[3]!.created_at.replace("Z", "")}&from=${sent[6]!.created_at}`)).texts).toBe("5 4");
    expect((await read(`&before=${sent[3]!._id}`)).texts).toBe("2 1 0");
    expect((await read(`&after=${sent[16]!._id}&from=${sent[19]!.created_at}`)).texts).toBe("18 17");
    expect((await read("&limit=1000")).texts.split(" ")).toHaveLength(20);
    expect((await read("&limit=")).texts).toBe(first.texts);
    expect((await read("&limit=2&limit=5")).texts).toBe("19 18");
  });

  test("V-8.13 V-3.38 bad queries, and rooms that are none", async () => {
    const room = await stage.room();
    const read = (query: string) => stage.call(room.seller, "GET", `/messages?${query}`);
    const bad: [string, string][] = [
      ["limit=0", "limit"],
      ["limit=-1", "limit"],
      ["limit=many", "limit"],
      ["from=yesterday", "from"],
      ["to=2026-13-01T00:00:00Z", "to"],
      ["to=99999999999999999", "to"],
      ["before=nonsense", "before"],
      ["after=nonsense", "after"],
    ];
    for (const [query, field] of bad) {
      expect(shown(await read(`room_id=${room.id}&${query}`))).toEqual(fault(400, "BAD_REQUEST", `Invalid ${field}`));
    }
    for (const path of ["/messages", "/messages/unseen"]) {
      for (const id of ["undefined", "", `${room.seller.id}.nobody`, "%00", "a.b.c"]) {
        const { status, body } = await stage.call(room.seller, "GET", `${path}?room_id=${id}`);
        expect([status, body.data]).toEqual([200, []]);
      }
      expect(shown(await stage.call(room.seller, "GET", `${path}?room_id=a.b`))).toEqual(FORBIDDEN);
    }
  });

  test("V-3.30 what a reader has not seen, oldest first", async () => {
    const room = await stage.room();
    const sent = await say(room, "buyer", "a", "b", "c");
    await say(room, "seller", "mine");
    await stage.call(room.seller, "PUT", `/rooms/${room.id}/seen`, { role: "SELLER", up_to: sent[0]!._id });
    const { body } = await stage.call(
      room.seller,
      "GET",
      `/messages/unseen?room_id=${room.id}&user_id=${room.seller.id}`,
    );
    expect(pageIn(body).data.map(({ content }) => content)).toEqual(["b", "c"]);
    const until = await stage.call(
      room.seller,
      "GET",
      `/messages/unseen?room_id=${room.id}&from=${sent[1]!.created_at}`,
    );
    expect(pageIn(until.body).data.map(({ content }) => content)).toEqual(["b"]);
    expect(until.body.filters).toEqual({ message_count: 1, from: sent[1]!.created_at, to: null });
  });

  test("V-3.39 nothing below the floor, whatever is asked", async () => {
    const room = await stage.room();
    const sent = await say(room, "buyer", "old 1", "old 2");
    await stage.call(room.seller, "DELETE", `/rooms/${room.id}`);
    await say(room, "buyer", "new");
    await stage.call(room.seller, "PUT", `/rooms/${room.id}/enable`, { role: "SELLER" });
    for (const query of ["", "&to=0", `&after=${sent[0]!._id}`, "&created_at=1"]) {
      const { body } = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}${query}`);
      expect(pageIn(body).data.map(({ content }) => content)).toEqual(["new"]);
    }
    expect((await stage.call(room.seller, "GET", "/rooms/unseen?role=SELLER")).body.unseen_messages).toBe(1);
  });
});

describe("uploads", () => {
  const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3, 4]);
  const form = (bytes: Uint8Array, field = "file", name = "virus.exe") => {
    const data = new FormData();
    data.append(field, new File([Buffer.from(bytes)], name, { type: "text/html" }));
    return data;
  };
  const upload = async (at: Stage, body: FormData | string, token?: string) => {
    const headers = { "x-chozoi-token": token ?? (await at.person()).token };
    const response = await fetch(`${at.url}${API}/uploads`, { method: "POST", headers, body });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test("V-3.45 V-3.46 V-3.47 an image by its bytes, served publicly", async () => {
    const { status, body } = await upload(stage, form(PNG));
    expect([status, body.status]).toEqual([200, true]);
    expect(body.url).toMatch(new RegExp(`^${stage.url}${API}/uploads/[0-9a-f]{32}\\.png$`));
    const served = await fetch(String(body.url));
    expect(served.headers.get("content-type")).toBe("image/png");
    expect(served.headers.get("x-content-type-options")).toBe("nosniff");
    expect(served.headers.get("cache-control")).toContain("max-age=31536000");
    expect(await served.bytes()).toEqual(PNG);
    const texts: [string, string][] = [
      ["\xff\xd8\xff\xe0", "jpg"],
      ["GIF89a", "gif"],
      ["RIFF\0\0\0\0WEBP", "webp"],
    ];
    for (const [text, extension] of texts) {
      expect((await upload(stage, form(Buffer.from(text, "latin1")))).body.url).toEndWith(`.${extension}`);
    }
  });

  test("V-3.45 V-3.46 V-3.47 what is refused", async () => {
    expect((await upload(stage, form(PNG), "nonsense")).status).toBe(401);
    expect((await upload(stage, form(PNG, "picture"))).body).toMatchObject({
      code: "BAD_REQUEST",
      message: "Invalid file",
    });
    expect((await upload(stage, "nonsense")).body).toMatchObject({ code: "BAD_REQUEST", message: "Invalid file" });
    expect(await upload(stage, form(Buffer.from("<svg/>"), "file", "x.png"))).toMatchObject({
      status: 415,
      body: { code: "UNSUPPORTED_TYPE" },
    });
    const small = await stages.start({ env: { CONVERSATIONS_UPLOAD_MAX_BYTES: "100" } });
    for (const size of [101, 100_000]) {
      const large = new Uint8Array(size);
      large.set(PNG);
      expect(await upload(small, form(large))).toMatchObject({ status: 413, body: { code: "TOO_LARGE" } });
    }
    for (const name of ["..%2fsecrets.json", `${"0".repeat(32)}.png`, "x"]) {
      expect(await stage.call(null, "GET", `/uploads/${name}`)).toMatchObject({
        status: 404,
        body: { code: "NOT_FOUND" },
      });
    }
  });

  test("V-3.47 into a bucket", async () => {
    const stored = new Map<string, Uint8Array>();
    using bucket = Bun.serve({
      port: 0,
      async fetch(request) {
        if (!request.headers.get("authorization")?.includes("Credential=key/"))
          return new Response(null, { status: 403 });
        stored.set(new URL(request.url).pathname, await request.bytes());
        return new Response(null, { headers: { etag: '"x"' } });
      },
    });
    const at = await stages.start({
      env: {
        CONVERSATIONS_S3_BUCKET: "images",
        CONVERSATIONS_S3_ENDPOINT: bucket.url.origin,
        CONVERSATIONS_S3_ACCESS_KEY_ID: "key",
        CONVERSATIONS_S3_SECRET_ACCESS_KEY: "secret",
        CONVERSATIONS_S3_PUBLIC_URL: "https://cdn.example/images/",
      },
    });
    const { body } = await upload(at, form(PNG));
    expect(body.url).toMatch(/^https:\/\/cdn\.example\/images\/[0-9a-f]{32}\.png$/);
    expect(stored.get(`/images/${String(body.url).split("/").at(-1)}`)).toEqual(PNG);
  });
});
