import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CLOSE, frameBytes, TEXT, WireClient } from "../../support/wire.ts";
import { EVENTS, PATH } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { draft, type Person, type Room, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let room: Room;
/** Somebody in the same room, whom none of this may reach. */
let witness: RawSocket;
beforeAll(async () => {
  stage = await stages.start({
    env: {
      CONVERSATIONS_BAD_EVENTS_PER_MINUTE: "100000",
      CONVERSATIONS_EVENTS_BURST: "100000",
      CONVERSATIONS_MESSAGES_PER_MINUTE: "100000",
    },
  });
  room = await stage.room();
  witness = await join(4, room.seller, "SELLER");
});
afterAll(async () => {
  witness.send(`42${EVENTS},1["get_active_users"]`);
  const told: string[] = [];
  for (let frame = await witness.next(); frame !== null && !frame.startsWith("43"); frame = await witness.next())
    told.push(frame);
  const isThere = witness.ws.readyState === WebSocket.OPEN;
  await stages.stop();
  expect(isThere).toBe(true);
  const seen = told.filter((frame) => !frame.includes("active_user_list") && !frame.includes("user_status_change"));
  expect(seen).toEqual([]);
});

/** A socket in the chat whose news on coming in were taken. */
async function join(revision: 3 | 4, person: Person = room.buyer, role = "BUYER"): Promise<RawSocket> {
  const credentials = { token: person.token, user_id: person.id, user_role: role };
  const raw = await RawSocket.open(stage.url, {
    revision,
    query: revision === 3 ? `&${new URLSearchParams(credentials)}` : "",
  });
  await raw.next();
  if (revision === 3) await raw.next();
  raw.send(revision === 3 ? `40${EVENTS},` : `40${EVENTS},${JSON.stringify(credentials)}`);
  raw.send(`42${EVENTS},0["get_active_users"]`);
  for (let frame = await raw.next(); !frame?.startsWith("43"); frame = await raw.next()) {
    if (frame === null) throw new Error("not joined");
  }
  return raw;
}

/** The acknowledgement of an event, and what is told without one. */
async function refusals(raw: RawSocket, event: string, ...payload: unknown[]) {
  const packet = JSON.stringify([event, ...payload]);
  raw.send(`42${EVENTS},9${packet}`);
  const answer = await raw.next();
  expect(answer).toStartWith(`43${EVENTS},9`);
  raw.send(`42${EVENTS},${packet}`);
  const told = await raw.next();
  expect(told).toStartWith(`42${EVENTS},["error_message",`);
  return {
    answer: JSON.parse(answer!.slice(answer!.indexOf("[")))[0],
    told: JSON.parse(told!.slice(told!.indexOf("[")))[1],
  };
}

async function refused(raw: RawSocket, code: string, message: string, event: string, ...payload: unknown[]) {
  const { answer, told } = await refusals(raw, event, ...payload);
  expect(answer).toEqual({ status: false, code, message });
  expect(told).toMatchObject({ event, code, message });
}

for (const revision of [3, 4] as const) {
  describe(`revision ${revision}`, () => {
    let raw: RawSocket;
    beforeAll(async () => {
      raw = await join(revision);
    });
    afterAll(() => raw.close());

    const message = (more: object = {}) => draft(room, "buyer", "x", { ...more });
    const bad = (field: string, event: string, ...payload: unknown[]) =>
      refused(raw, "BAD_REQUEST", `Invalid ${field}`, event, ...payload);

    /** An end of the transport, with this code and without a DISCONNECT. */
    const ended = async (code: number, ...frames: (string | Uint8Array)[]) => {
      // Somebody without rooms, of whom nobody hears.
      const other = await join(revision, await stage.person());
      other.send(...frames);
      expect(await other.closed).toBe(code);
      expect(other.frames).not.toContain(`41${EVENTS},`);
    };

    test("V-8.1 payloads that are no object", async () => {
      for (const event of ["create_room", "new_message", "typing", "stop_typing", "seen_messages", "verify_user"]) {
        await bad("body", event);
        for (const payload of [null, [], "text", 7, true]) await bad("body", event, payload);
      }
    });

    test("V-8.2 fields that are missing, of a wrong type, too long", async () => {
      const rows: [string, object][] = [
        ["room_id", { room_id: undefined }],
        ["room_id", { room_id: 7 }],
        ["from", { from: undefined }],
        ["from", { from: {} }],
        ["to", { to: 1.5 }],
        ["type", { type: "VIDEO" }],
        ["type", { type: undefined }],
        ["content", { content: undefined }],
        ["content", { content: 7 }],
        ["content", { content: "x".repeat(5001) }],
        ["content", { type: "EMOJI", content: "x".repeat(201) }],
        ["content", { type: "IMAGE", content: `https://x.example/${"y".repeat(2048)}` }],
        ["client_message_id", { client_message_id: 7 }],
        ["client_message_id", { client_message_id: "x".repeat(129) }],
      ];
      for (const [field, change] of rows) await bad(field, "new_message", message(change));
      const wish = { type: "BS", buyer: room.buyer.id, seller: room.seller.id, shop_id: "", creator: room.buyer.id };
      await bad("type", "create_room", { ...wish, type: "SS" });
      for (const field of ["name", "avatar", "phone_number", "email"]) {
        for (const value of [7, true, {}, ["x"], "x".repeat(513)]) {
          await bad("buyer_info", "create_room", { ...wish, buyer_info: { [field]: value } });
        }
      }
      for (const buyer_info of ["Ann", 7, null, true, [], [{}]])
        await bad("buyer_info", "create_room", { ...wish, buyer_info });
      for (const shop_id of [null, {}, 1.5, "x".repeat(65)]) await bad("shop_id", "create_room", { ...wish, shop_id });
      await bad("last_message_id", "seen_messages", { room_id: room.id, from: room.buyer.id, to: room.seller.id });
      await bad("user_role", "verify_user", { token: "x", user_id: room.buyer.id, user_role: "ADMIN" });
    });

    test("V-8.3 attachments", async () => {
      const packet = JSON.stringify(["new_message", { ...message(), content: { _placeholder: true, num: 0 } }]);
      const attachment = new Uint8Array(revision === 3 ? [4, 1, 2, 3] : [1, 2, 3]);
      raw.send(`451-${EVENTS},${packet}`, attachment);
      expect(await raw.next()).toContain('"code":"BAD_REQUEST","message":"Invalid content"');
      const wish = { type: "BS", buyer: room.buyer.id, seller: room.seller.id, creator: room.buyer.id };
      const attached = { ...wish, buyer_info: { _placeholder: true, num: 0 } };
      raw.send(`451-${EVENTS},${JSON.stringify(["create_room", attached])}`, attachment);
      expect(await raw.next()).toContain('"code":"BAD_REQUEST","message":"Invalid buyer_info"');
      await ended(1007, `4511-${EVENTS},["new_message",{"_placeholder":true,"num":0}]`);
    });

    test("V-4.23 V-8.4 names of events", async () => {
      for (const name of ["null", "{}", "[]", "true"]) await ended(1007, `42${EVENTS},[${name},{}]`);
      for (const name of ["connect", "disconnect", "disconnecting", "connect_error"])
        await ended(1007, `42${EVENTS},["${name}"]`);
      raw.send(`42${EVENTS},3[7,{}]`);
      expect(await raw.next()).toBe(`43${EVENTS},3[{"status":false,"code":"UNKNOWN_EVENT","message":"Unknown event"}]`);
      await refused(raw, "UNKNOWN_EVENT", "Unknown event", "no such event", {});
    });

    test("V-8.5 contents", async () => {
      for (const content of ["", " \n\t\u3000"]) await bad("content", "new_message", message({ content }));
      const relative = ["/relative.png", "x", "//x/y.png", "http:y.png", "https:/x/y.png", " https://x/y.png"];
      for (const content of ["javascript:alert(1)", "ftp://x/y", "https://", ...relative]) {
        await bad("content", "new_message", message({ type: "IMAGE", content }));
      }
    });

    test("V-8.6 V-10.1 for somebody else, to somebody else, in rooms of others", async () => {
      const stranger = await stage.person();
      const rows = [
        { from: room.seller.id, to: room.buyer.id },
        { to: stranger.id },
        { to: room.buyer.id },
        { room_id: `${stranger.id}.${room.seller.id}` },
        { room_id: "x.y" },
      ];
      for (const change of rows) {
        for (const event of ["new_message", "typing", "stop_typing"]) {
          await refused(raw, "FORBIDDEN", "Forbidden", event, message(change));
        }
        const seen = { ...message(change), last_message_created_at: 1 };
        await refused(raw, "FORBIDDEN", "Forbidden", "seen_messages", seen);
      }
      const nowhere = { room_id: `${room.buyer.id}.nobody`, to: "nobody" };
      for (const event of ["new_message", "typing"]) {
        await refused(raw, "ROOM_NOT_FOUND", "Room not found", event, message(nowhere));
      }
    });

    test("V-8.7 V-8.8 rooms with oneself, or of others", async () => {
      const { id } = room.buyer;
      const wish = { type: "BS", buyer: id, seller: id, shop_id: "", creator: id };
      await refused(raw, "SELF_CHAT", "A room needs two different users", "create_room", wish);
      await refused(raw, "FORBIDDEN", "Forbidden", "create_room", { ...wish, seller: "9", creator: "9" });
      await refused(raw, "FORBIDDEN", "Forbidden", "create_room", { ...wish, buyer: "8", seller: "9" });
    });

    test("V-8.9 ids", async () => {
      for (const id of ["a.b", "a/b", "a b", "", "x".repeat(65), "é"]) {
        await bad("from", "new_message", message({ from: id }));
        await bad("seller", "create_room", {
          type: "BS",
          buyer: room.buyer.id,
          seller: id,
          shop_id: "",
          creator: room.buyer.id,
        });
      }
      await refused(raw, "ROOM_NOT_FOUND", "Room not found", "new_message", message({ room_id: "a.b.c" }));
    });

    test("V-8.10 keys with a meaning to JavaScript", async () => {
      const text = `{"room_id":"${room.id}","from":"${room.buyer.id}","to":"x","__proto__":{"to":"${room.seller.id}"},"constructor":1}`;
      raw.send(`42${EVENTS},4["typing",${text}]`);
      expect(await raw.next()).toBe(`43${EVENTS},4[{"status":false,"code":"FORBIDDEN","message":"Forbidden"}]`);
    });

    test("V-8.11 V-8.12 what no text may hold", async () => {
      for (const content of ["a\0b", "\ud800", "\udfffx"]) {
        await bad("content", "new_message", message({ content }));
        await bad("client_message_id", "new_message", message({ client_message_id: content }));
        await bad("room_id", "new_message", message({ room_id: content }));
      }
      await bad("shop_id", "create_room", {
        type: "BS",
        buyer: room.buyer.id,
        seller: "9",
        shop_id: "\0",
        creator: room.buyer.id,
      });
    });

    test("V-8.12 a frame of invalid UTF-8, such as a lone surrogate in it", async () => {
      const { id, token } = await stage.person();
      const credentials = new URLSearchParams({ token, user_id: id, user_role: "BUYER" });
      const event = (bytes: number[]) => {
        const [before, after] = [`42${EVENTS},1["get_active_users","`, '"]'].map((text) => Buffer.from(text));
        return frameBytes(TEXT, Buffer.concat([before!, Buffer.from(bytes), after!]));
      };
      const bad = [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80]];
      for (const bytes of bad) {
        const url = `${stage.url}${PATH}?EIO=${revision}&transport=websocket&${credentials}`;
        const client = await WireClient.open(url, { polite: true });
        client.send(`40${EVENTS},`);
        client.write(event([0xc3, 0xa9]));
        for (let frame = await client.next(); !frame?.text.startsWith("43"); frame = await client.next())
          expect(frame?.opcode).toBe(TEXT);
        client.write(event(bytes));
        expect(await client.rest()).toMatchObject([{ opcode: CLOSE, code: 1007 }]);
      }
    });

    test("V-8.15 a seen mark with a message of another room alone", async () => {
      const seen = { room_id: room.id, from: room.buyer.id, to: room.seller.id, last_message_id: "elsewhere" };
      await bad("last_message_id", "seen_messages", seen);
      for (const last_message_created_at of ["soon", 1e18, -8.64e15, "0000-01-01", {}, true]) {
        await bad("last_message_created_at", "seen_messages", { ...seen, last_message_created_at });
      }
    });

    test("V-8.19 V-7.10 packets that make no sense where they come", async () => {
      await ended(1007, '42/v1/conversations/auction-result-events,["x"]');
      await ended(1007, `40${EVENTS},{}`);
      await ended(1007, "4x");
      await ended(1007, `42${EVENTS},{"not":"an array"}`);
    });

    test("V-7.9 a frame that is too large", async () => {
      await ended(1009, `42${EVENTS},["new_message",${JSON.stringify(message({ content: "x".repeat(70_000) }))}]`);
    });

    test("V-4.5 V-5.11 an error names the room and the message it is about", async () => {
      const { told } = await refusals(raw, "new_message", message({ content: " ", client_message_id: "c7" }));
      expect(told).toEqual({
        event: "new_message",
        code: "BAD_REQUEST",
        message: "Invalid content",
        room_id: room.id,
        client_message_id: "c7",
      });
    });

    test("V-4.6 V-8.20 nothing of all this is stored", async () => {
      const { body } = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}`);
      expect(body.data).toEqual([]);
    });
  });
}
