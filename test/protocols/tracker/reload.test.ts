import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { tracker } from "../../../src/protocols/tracker/protocol.ts";
import { disconnected, joined, left, moved, NO_ROOM } from "./client.ts";
import { Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed({ TRACKER_ROOM_TTL: "30" });
});
afterAll(() => stages.stop());

test("a reload of the code keeps sockets, memberships and positions, and doubles nothing", async () => {
  const pin = await stage.pin();
  const [first, second] = [await stage.member(pin), await stage.member(pin, { generation: 2 })];
  expect(await first.next()).toEqual(joined(second.person, pin));
  first.move(pin, 1, 1);
  for (const client of [first, second]) expect(await client.next()).toEqual(moved(1, 1));
  for (let i = 0; i < 3; i++) await stage.gateway.gateway.reload([tracker]);

  second.move(pin, 2, 2);
  for (const client of [first, second]) expect(await client.next()).toEqual(moved(2, 2));
  const third = await stage.client();
  third.emit("join_room", pin);
  for (const client of [first, second, third]) expect(await client.next()).toEqual(joined(third.person, pin));
  expect(await third.next()).toEqual(moved(2, 2));
  third.emit("leave_room", pin);
  for (const client of [first, second]) expect(await client.next()).toEqual(left(third.person, pin));
  second.close();
  expect(await first.next()).toEqual(disconnected(second.person));
  await stage.pass(32_000);
  expect(await first.rest()).toEqual([NO_ROOM]);
});
