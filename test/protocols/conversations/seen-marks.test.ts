import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fault, shown } from "./answers.ts";
import { draft, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("seen_messages", () => {
  for (const generation of [2, 4] as const) {
    test(`V-4.12 V-4.19 V-5.6 V-8.14 V-8.15 marks up to the bound, counts the rest, tells the peer alone (generation ${generation})`, async () => {
      const { room, buyer, seller } = await stage.meeting({ seller: generation });
      const sent: { _id: string; created_at: string }[] = [];
      for (const text of ["a", "b", "c"]) {
        const { message } = await buyer.ask<{ message: (typeof sent)[0] }>("new_message", draft(room, "buyer", text));
        sent.push(message);
      }
      const base = { room_id: room.id, from: room.seller.id, to: room.buyer.id };
      const byId = { ...base, last_message_id: sent[1]!._id };
      expect(await seller.ask("seen_messages", byId)).toEqual({ status: true, unseen: 1 });
      expect(await buyer.until("seen_messages")).toEqual({ ...byId, last_message_created_at: sent[1]!.created_at });
      // A message of another room is nothing; the time counts.
      const byTime = { ...base, last_message_id: "elsewhere", last_message_created_at: sent[0]!.created_at };
      expect(await seller.ask("seen_messages", byTime)).toEqual({ status: true, unseen: 1 });
      expect(await buyer.until("seen_messages")).toEqual({ ...byTime, last_message_id: null });
      // A time to come is cut to the newest message.
      const future = { ...base, last_message_created_at: Date.now() + 1e9 };
      expect(await seller.ask("seen_messages", future)).toEqual({ status: true, unseen: 0 });
      expect(await buyer.until("seen_messages")).toMatchObject({ last_message_created_at: sent[2]!.created_at });
      expect((await seller.rest()).filter(([event]) => event === "seen_messages")).toEqual([]);
      await buyer.ask("new_message", draft(room, "buyer", "d"));
      expect(await stage.unseenOf(room)).toBe(1);
    });
  }

  test("V-3.26 V-8.11 V-8.12 what names no message", async () => {
    const room = await stage.room();
    for (const up_to of ["", 7, {}, "x".repeat(65), "a\0b", "\ud800", "elsewhere"]) {
      const answer = await stage.call(room.seller, "PUT", `/rooms/${room.id}/seen`, { role: "SELLER", up_to });
      expect(shown(answer)).toEqual(fault(400, "BAD_REQUEST", "Invalid up_to"));
    }
  });

  test("V-3.26 by REST: up to a message, or to the newest; nothing is told where there is none", async () => {
    const { room, buyer } = await stage.meeting();
    const seen = (body: object) =>
      stage.call(room.seller, "PUT", `/rooms/${room.id}/seen`, { role: "SELLER", ...body });
    expect((await seen({})).body).toMatchObject({ status: true, room: { seller_unseen_messages: 0 } });
    expect(await buyer.rest()).toEqual([]);
    const [own] = await stage.say(room, "seller", "mine");
    await buyer.until("new_message");
    expect((await seen({ up_to: own!._id })).body).toMatchObject({ status: true });
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
