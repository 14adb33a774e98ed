import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { dig, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("presence", () => {
  test("V-5.13 a second socket, or the loss of one of two, is no news; V-5.15 the news comes before the list", async () => {
    const { room, buyer, seller } = await stage.meeting();
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
    // Who has one socket at most gets in again when the one before has left.
    const env = { CONVERSATIONS_PRESENCE_GRACE_MS: "3000", CONVERSATIONS_MAX_SOCKETS_PER_USER: "1" };
    const at = await stages.start({ clock, env });
    const { room, buyer, seller } = await at.meeting();
    const online = async () =>
      dig((await at.call(room.buyer, "GET", `/rooms/${room.id}`)).body, "room", "online") as boolean;
    const { id, token } = room.seller;
    const credentials = { token, user_id: id, user_role: "SELLER" };
    seller.close();
    let back = await at.client({ credentials });
    while ((await back.next())[0] === "error") {
      expect(await online()).toBe(true);
      back = await at.client({ credentials });
    }
    expect(await back.until("active_user_list")).toMatchObject({ rooms: [{ room_id: room.id, status: true }] });
    clock.advance(5_000);
    expect(await buyer.rest()).toEqual([]);
    // What a list says is what was announced: he is shown until his grace is over, and the news of it follows.
    back.close();
    let passed = 0;
    for (; await online(); passed += 100) clock.advance(100);
    expect(passed).toBeGreaterThanOrEqual(3_000);
    const news = { user_id: id, user_role: "SELLER", room_id: room.id, status: false };
    expect(await buyer.next()).toEqual(["user_status_change", news]);
  });

  test("V-10.7 with RESEND_PRESENCE each list of rooms is followed by a list of active users", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_RESEND_PRESENCE: "true" } });
    const { room, buyer } = await at.meeting();
    await at.call(room.buyer, "GET", "/rooms?role=BUYER");
    expect(await buyer.until("active_user_list")).toMatchObject({ rooms: [{ room_id: room.id, status: true }] });
  });
});
