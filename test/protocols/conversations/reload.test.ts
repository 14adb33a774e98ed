import { afterAll, expect, test } from "bun:test";
import { conversations } from "../../../src/protocols/conversations/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import { EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { draft, person, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

const reload = (at: Stage) => at.gateway.gateway.reload([conversations]);

test("a reload of the code keeps sockets, presence and order, and doubles nothing", async () => {
  const at = await stages.start();
  const room = await at.room();
  const seller = await at.client({ person: room.seller });
  await seller.until("active_user_list");
  const buyer = await at.client({ person: room.buyer, role: "BUYER", generation: 4 });
  expect(await seller.next()).toMatchObject(["user_status_change", { status: true }]);
  await buyer.until("active_user_list");
  for (let round = 0; round < 3; round++) {
    const contents = Array.from({ length: 10 }, (_, index) => `${round} ${index}`);
    for (const content of contents) buyer.emit("new_message", draft(room, "buyer", content));
    // In the middle of them.
    await reload(at);
    for (const client of [buyer, seller])
      for (const content of contents) expect(await client.next()).toMatchObject(["new_message", { content }]);
  }
  // Another socket of somebody who was there before the reload is no news.
  const second = await at.client({ person: room.buyer, role: "BUYER" });
  expect(await second.next()).toMatchObject(["active_user_list", { rooms: [{ status: true }] }]);
  second.close();
  buyer.close();
  expect(await seller.next()).toMatchObject(["user_status_change", { user_id: room.buyer.id, status: false }]);
  expect(await seller.rest()).toEqual([]);
});

test("V-2.16 a reload of the code does not let sockets outlive their tokens", async () => {
  const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
  const at = await stages.start({ clock });
  const { id, token } = await person(undefined, { exp: clock.now() / 1000 + 5 }, clock);
  const raw = await RawSocket.join(at.url, { token, user_id: id, user_role: "SELLER" });
  await reload(at);
  clock.advance(34_000);
  raw.send(`42${EVENTS},1["typing",{}]`);
  expect(await raw.next()).toContain("BAD_REQUEST");
  clock.advance(1_000);
  expect(await raw.next()).toBe(`41${EVENTS},`);
  expect(await raw.closed).toBe(4005);
});
