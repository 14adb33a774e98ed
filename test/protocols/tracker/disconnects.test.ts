import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { WireClient } from "../../support/wire.ts";
import { disconnected, moved } from "./client.ts";
import { RawPolling, RawSocket } from "./raw.ts";
import { PATH, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

describe("section 7", () => {
  test("T-7.3 no pong within pingTimeout: transport close", async () => {
    const timed = await stages.startTimed();
    const pin = await timed.pin();
    const watcher = await timed.member(pin);
    const person = await timed.person();
    const silent = await WireClient.open(`${timed.url}${PATH}?EIO=4&transport=websocket`, {
      headers: { authorization: `Bearer ${person.token}` },
    });
    await silent.next();
    silent.send("40", `42["join_room","${pin}"]`);
    await silent.next();
    await silent.next();
    await watcher.until("room");
    await timed.pass(25_000);
    expect((await silent.next())?.text).toBe("2");
    await timed.pass(18_000);
    expect(await watcher.rest()).toEqual([]);
    await timed.pass(3_000);
    expect(await watcher.next()).toEqual(disconnected(person));
    expect((await silent.rest()).map((frame) => frame.opcode)).not.toContain(1);
  });

  test("T-7.4 a slow reader is closed, and nobody else waits for it", async () => {
    const tight = await stages.start({ env: { TRACKER_SEND_BUFFER_BYTES: "65536", TRACKER_EVENT_BURST: "1000000" } });
    const pin = await tight.pin();
    const person = await tight.person();
    const slow = await WireClient.open(`${tight.url}${PATH}?EIO=4&transport=websocket`, {
      headers: { authorization: `Bearer ${person.token}` },
    });
    await slow.next();
    slow.send("40", `42["join_room","${pin}"]`);
    await slow.next();
    await slow.next();
    slow.pause();
    const sender = await tight.member(pin);
    let gone = false;
    let sent = 0;
    while (!gone) {
      for (let i = 0; i < 2000; i++) sender.move(pin, 1, (sent++ % 180) + 1e-13);
      await sender.settle();
      gone = sender.told.some(
        ([event, payload]) => event === "room" && JSON.stringify(payload).includes("disconnected"),
      );
      expect(sent).toBeLessThan(1_000_000);
    }
    expect(sender.told.filter(([event]) => event === "move")).toHaveLength(sent);
    slow.resume();
    // What came before the cut is whole: no gap, no packet lost in the middle.
    const longs = (await slow.rest())
      .filter((frame) => frame.text.startsWith('42["move"'))
      .map((frame) => Math.floor(JSON.parse(frame.text.slice(2))[1].details.msg.long));
    expect(longs).toEqual(longs.map((_, i) => i % 180));
  });

  test("T-7.9 a full node answers handshakes with 503", async () => {
    const full = await stages.start({ env: { MAX_CONNECTIONS: "1" } });
    await full.client();
    for (const revision of [3, 4]) {
      const response = await fetch(`${full.url}${PATH}?EIO=${revision}&transport=polling`);
      expect(response.status).toBe(503);
      await expect(RawSocket.open(full.url, { revision: revision as 3 | 4 })).rejects.toThrow();
    }
    expect((await full.call("GET", "/user/generate")).status).toBe(200);
  });

  test("T-7.7 T-7.11 a drain ends every session by transport close, and turns new ones away", async () => {
    const draining = await stages.start();
    const { token } = await draining.person();
    const raw = await RawSocket.open(draining.url, { token });
    await raw.connect();
    const polling = await RawPolling.open(draining.url, { token });
    await polling.send("40");
    await polling.take(1);
    const client = await draining.client({ generation: 2 });
    const stopping = draining.gateway.gateway.stop();
    const refused = await fetch(`${draining.url}${PATH}?EIO=4&transport=polling`).catch(() => null);
    if (refused) expect(refused.status).toBe(503);
    expect(await raw.rest()).toEqual([]);
    expect(await raw.closed).toBe(1012);
    expect(["1", undefined]).toContain((await polling.poll().catch(() => null))?.[0]);
    expect(await client.next()).toEqual(["disconnect", "transport close"]);
    expect(await stopping).toBe(0);
  });

  test("T-7.10 no end but a refusal or an expired token sends 41", async () => {
    const { token } = await stage.person();
    for (const packet of ["nonsense", "40", `42["join_room","${"x".repeat(70_000)}"]`]) {
      const raw = await RawSocket.open(stage.url, { token });
      await raw.connect();
      raw.send(packet);
      expect(await raw.rest()).not.toContain("41");
    }
  });

  test("T-11.1 the upgrade request carries no token and takes over the session's identity", async () => {
    const person = await stage.person();
    const pin = await stage.pin();
    const polling = await RawPolling.open(stage.url, { token: person.token });
    await polling.send("40");
    await polling.take(1);
    const upgrade = await RawSocket.open(stage.url, { query: `&sid=${polling.sid}` });
    upgrade.send("2probe");
    expect(await upgrade.next()).toBe("3probe");
    upgrade.send("5", `42["join_room","${pin}"]`, `42["move",{"lat":1,"long":2,"roomId":"${pin}"}]`);
    expect(await upgrade.next()).toContain(`${person.username} has joined room ${pin}`);
    expect(await upgrade.next()).toBe(`42${JSON.stringify(moved(1, 2))}`);
    upgrade.close();
  });
});
