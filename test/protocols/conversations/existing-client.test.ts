import { afterAll, beforeAll, describe, test } from "bun:test";
import { draft, type Room, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("smoke", () => {
  test("a conversation", async () => {
    const room: Room = await stage.room();
    const seller = await stage.client({ person: room.seller });
    const buyer = await stage.client({ person: room.buyer, role: "BUYER", generation: 4 });
    console.log(await seller.next(), await seller.next(), await buyer.next());
    console.log(await buyer.ask("new_message", draft(room, "buyer", "hello")));
    console.log(await seller.next(), await buyer.next());
    seller.emit("typing", { room_id: room.id, from: room.seller.id, to: room.buyer.id });
    console.log(await buyer.next());
    console.log((await stage.call(room.seller, "GET", "/rooms?role=SELLER&user_id=" + room.seller.id)).text);
    console.log((await stage.call(room.seller, "GET", `/messages?room_id=${room.id}`)).text);
    console.log(
      await seller.ask("seen_messages", {
        room_id: room.id,
        from: room.seller.id,
        to: room.buyer.id,
        last_message_created_at: Date.now(),
      }),
    );
    console.log(await buyer.next());
    console.log(await seller.rest(), await buyer.rest());
  });
});
