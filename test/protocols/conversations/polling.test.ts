import { afterAll, beforeAll, expect, test } from "bun:test";
import { EVENTS, PATH } from "./client.ts";
import { draft, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start({ env: { CONVERSATIONS_TRANSPORTS: "websocket,polling" } });
});
afterAll(() => stages.stop());

for (const generation of [2, 4] as const) {
  for (const transports of [["polling"], ["polling", "websocket"]]) {
    test(`V-1.4 a client of generation ${generation} by ${transports.join(", then ")}`, async () => {
      const room = await stage.room();
      const seller = await stage.client({ person: room.seller, generation, transports });
      await seller.until("active_user_list");
      const buyer = await stage.client({ person: room.buyer, role: "BUYER", generation: generation === 2 ? 4 : 2 });
      expect(await seller.next()).toMatchObject(["user_status_change", { room_id: room.id, status: true }]);
      const texts = ["plain", "Grüße, 你好", "😀 outside the plane", "x".repeat(4_000)];
      for (const text of texts) {
        buyer.emit("new_message", draft(room, "buyer", text));
        expect(await seller.next()).toMatchObject(["new_message", { content: text }]);
        expect(await seller.ask("new_message", draft(room, "seller", text))).toMatchObject({ status: true });
        expect(await seller.next()).toMatchObject(["new_message", { content: text }]);
        await buyer.until("new_message", ({ from }) => from === room.seller.id);
      }
      const typing = { room_id: room.id, from: room.buyer.id, to: room.seller.id };
      buyer.emit("typing", typing);
      expect(await seller.next()).toEqual(["typing", typing]);
      seller.close();
      expect(await buyer.until("user_status_change", ({ status }) => status === false)).toMatchObject({
        user_id: room.seller.id,
      });
    });
  }
}

test("V-1.6 V-1.10 V-1.11 the packets of revision 3 on polling, each with its length before it", async () => {
  const { id, token } = await stage.person();
  const credentials = new URLSearchParams({ token, user_id: id, user_role: "SELLER" });
  const base = `${stage.url}${PATH}?EIO=3&transport=polling&${credentials}`;
  const opening = await fetch(base);
  expect(opening.headers.get("set-cookie")).toBeNull();
  const [, length, body] = /^(\d+):(.*)$/s.exec(await opening.text())!;
  const open = JSON.parse(body!.slice(1, Number(length)));
  const { sid, ...rest } = open;
  expect(rest).toEqual({ upgrades: ["websocket"], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 65_536 });
  const poll = async () => (await fetch(`${base}&sid=${sid}`)).text();
  const post = async (packet: string) =>
    (await fetch(`${base}&sid=${sid}`, { method: "POST", body: `${packet.length}:${packet}` })).text();
  expect(body!.slice(Number(length)) || (await poll())).toBe("2:40");
  expect(await post(`40${EVENTS},`)).toBe("ok");
  const accepted = `40${EVENTS},`;
  expect(await poll()).toBe(`${accepted.length}:${accepted}`);
  await post("2");
  expect(await poll()).toBe("1:3");
  await post(`42${EVENTS},["typing",{}]`);
  expect(await poll()).toContain(`42${EVENTS},["error_message",{"event":"typing","code":"BAD_REQUEST"`);
});
