import { expect, setDefaultTimeout, test } from "bun:test";
import { MemoryBackplane } from "../../../src/backplane/memory.ts";
import { newPositionState, Positions } from "../../../src/protocols/tracker/positions.ts";
import { type Room, Rooms } from "../../../src/protocols/tracker/rooms.ts";
import { ManualClock } from "../../support/clock.ts";
import { quietLog } from "../../support/quiet-log.ts";

setDefaultTimeout(120_000);

function setUp() {
  const clock = new ManualClock();
  const backplane = new MemoryBackplane("alone", { clock, log: quietLog });
  const rooms = new Rooms({ backplane, clock }, { ttl: 600_000, maxPerOwner: 1000 });
  const positions = new Positions({ rooms, clock, log: quietLog }, newPositionState());
  const note = (room: Room, lat: number) =>
    positions.note(room, "7", { lat, long: 0, at: positions.stamp(), username: "seven" });
  const stored = async (room: Room) => {
    const text = (await rooms.find(room.pin))?.fields["at:7"];
    return text === undefined ? null : Number(JSON.parse(text)[0]);
  };
  return { clock, rooms, positions, note, stored };
}

// A write is many small steps but no time: after one turn of the event loop it is done.
test("T-4.14 the first position is written at once, later ones together after a rest, the newest only", async () => {
  const { clock, rooms, note, stored } = setUp();
  const room = await rooms.open("7");
  for (let lat = 1; lat <= 50; lat++) note(room, lat);
  expect(await stored(room)).toBe(1);
  await Bun.sleep(0);
  clock.advance(1);
  expect(await stored(room)).toBe(50);
});

test("T-4.14 the rest grows with the rooms on the move: a thousand writes a second at most", async () => {
  const { clock, rooms, note, stored } = setUp();
  const all: Room[] = [];
  for (let i = 0; i < 500; i++) all.push(await rooms.open("7"));
  note(all[0]!, 1);
  for (const room of all) note(room, 2);
  await Bun.sleep(0);
  clock.advance(1);
  await Bun.sleep(0);
  for (const room of all) expect(await stored(room)).toBe(2);
  for (const room of all) note(room, 3);
  clock.advance(499);
  expect(await stored(all[9]!)).toBe(2);
  clock.advance(1);
  expect(await stored(all[9]!)).toBe(3);
});

test("T-6.7 what waits is written when the gateway stops", async () => {
  const { rooms, positions, note, stored } = setUp();
  const room = await rooms.open("7");
  for (let lat = 1; lat <= 50; lat++) note(room, lat);
  await positions.close();
  expect(await stored(room)).toBe(50);
});
