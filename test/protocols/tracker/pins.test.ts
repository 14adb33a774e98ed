import { expect, setDefaultTimeout, test } from "bun:test";
import { MemoryBackplane } from "../../../src/backplane/memory.ts";
import { systemClock } from "../../../src/clock.ts";
import { Rooms } from "../../../src/protocols/tracker/rooms.ts";
import { quietLog } from "../../support/quiet-log.ts";

setDefaultTimeout(120_000);

test("T-6.2 a taken PIN is never given again, and when none is free the owner keeps no place", async () => {
  const backplane = new MemoryBackplane("alone", { clock: systemClock, log: quietLog });
  const rooms = new Rooms({ backplane, clock: systemClock }, { ttl: 600_000, maxPerOwner: 30 });
  const take = async (first: number) => {
    for (let pin = first; pin < 1_000_000; pin += 2) {
      await backplane.records.create(`tracker:room:${pin}`, { instance: "x" }, 600_000);
    }
  };
  await take(100_001);
  const pins = new Set<string>();
  for (let i = 0; i < 20; i++) pins.add((await rooms.open("7")).pin);
  expect(pins.size).toBe(20);
  for (const pin of pins) expect(Number(pin) % 2).toBe(0);
  await take(100_000);
  // More often than he has places left: each failure gives its place back.
  for (let i = 0; i < 15; i++) await expect(rooms.open("7")).rejects.toMatchObject({ code: "service_unavailable" });
  await backplane.close();
});
