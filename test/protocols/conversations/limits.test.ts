import { afterAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { type Client, EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { draft, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

/** A gateway for which time stands still: however long a test takes, nothing is let through by that. */
const stand = (env: Record<string, string>) => stages.start({ env, clock: new ManualClock(Date.now()) });

describe("limits", () => {
  for (const generation of [2, 4] as const) {
    test(`V-8.16 V-4.4 V-4.5 events over the rate are dropped and told (generation ${generation})`, async () => {
      const at = await stand({ CONVERSATIONS_EVENTS_BURST: "2", CONVERSATIONS_EVENTS_PER_SECOND: "1" });
      const { room, buyer, seller } = await at.meeting({ buyer: generation });
      const typing = { room_id: room.id, from: room.buyer.id, to: room.seller.id };
      const limited = { code: "RATE_LIMITED", message: "Too many requests", retry_after_ms: expect.any(Number) };
      const answers = await Promise.all([1, 2, 3].map(() => buyer.ask("typing", typing)));
      expect(answers).toEqual([{ status: true }, { status: true }, { status: false, ...limited }]);
      expect((await seller.rest()).filter(([event]) => event === "typing")).toHaveLength(2);
      for (let i = 0; i < 5; i++) buyer.emit("typing", typing);
      expect(await buyer.until("error_message")).toEqual({ event: "typing", ...limited, room_id: room.id });
      buyer.emit("new_message", draft(room, "buyer", "x", { client_message_id: "c7" }));
      const about = { event: "new_message", room_id: room.id, client_message_id: "c7" };
      expect(await buyer.until("error_message", ({ event }) => event === "new_message")).toEqual({
        ...limited,
        ...about,
      });
    });

    test(`V-8.16 messages over the rate are dropped and told (generation ${generation})`, async () => {
      const at = await stand({ CONVERSATIONS_MESSAGES_PER_MINUTE: "1" });
      const { room, buyer } = await at.meeting({ buyer: generation });
      const limited = { code: "RATE_LIMITED", message: "Too many requests", retry_after_ms: expect.any(Number) };
      expect(await buyer.ask("new_message", draft(room, "buyer", "1"))).toMatchObject({ status: true });
      expect(await buyer.ask("new_message", draft(room, "buyer", "2"))).toEqual({ status: false, ...limited });
      buyer.emit("new_message", draft(room, "buyer", "3", { client_message_id: "c3" }));
      const told = { event: "new_message", ...limited, room_id: room.id, client_message_id: "c3" };
      expect(await buyer.until("error_message")).toEqual(told);
      expect(await at.unseenOf(room)).toBe(1);
    });
  }

  test("V-8.16 messages of a user over all his sockets", async () => {
    const at = await stand({ CONVERSATIONS_MESSAGES_PER_MINUTE: "2" });
    const { room, buyer } = await at.meeting();
    const second = await at.client({ person: room.buyer, role: "BUYER" });
    const send = (client: Client, text: string) => client.ask("new_message", draft(room, "buyer", text));
    expect(await send(buyer, "1")).toMatchObject({ status: true });
    expect(await send(second, "2")).toMatchObject({ status: true });
    expect(await send(second, "3")).toMatchObject({ status: false, code: "RATE_LIMITED" });
    expect(await at.unseenOf(room)).toBe(2);
  });

  test("V-7.11 who goes on regardless is dropped and may come back, V-7.12 who sends nothing but nonsense is put out", async () => {
    const at = await stand({ CONVERSATIONS_EVENTS_BURST: "100", CONVERSATIONS_BAD_EVENTS_PER_MINUTE: "5" });
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

  test("V-7.12 the minute is that of the events, whatever is done to the machine's time", async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ clock, env: { CONVERSATIONS_BAD_EVENTS_PER_MINUTE: "5" } });
    const client = await at.client();
    for (const adjusted of [0, 120_000, -240_000, 120_000, 0]) {
      clock.adjust(adjusted);
      expect(await client.ask("nonsense")).toMatchObject({ code: "UNKNOWN_EVENT" });
    }
    client.emit("nonsense");
    expect(await client.until<string>("disconnect")).toBe("io server disconnect");
  });
});
