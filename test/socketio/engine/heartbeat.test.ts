import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { ended, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const TIMES = { pingInterval: 25_000, pingTimeout: 20_000 };

function station(): { at: Station; clock: ManualClock } {
  const clock = new ManualClock();
  return { at: Station.open({ ...TIMES, clock }), clock };
}

describe("revision 4: the server pings", () => {
  test("a ping every pingInterval after the pong", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    for (let round = 0; round < 3; round++) {
      clock.advance(24_999);
      socket.send("not yet");
      clock.advance(1);
      expect(await client.take(2)).toEqual(["4not yet", "2"]);
      clock.advance(19_999);
      const heard = new Promise((resolve) => socket.once("data", resolve));
      client.send("3", "4pong sent");
      await heard;
    }
    expect(socket.readyState).toBe("open");
  });

  test("no pong within pingTimeout ends the session as lost", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    const reason = ended(socket);
    clock.advance(25_000 + 19_999);
    expect(socket.readyState).toBe("open");
    clock.advance(1);
    expect(await reason).toBe("ping timeout");
    expect([socket.endedBy, at.engine.sessions.size]).toEqual(["lost", 0]);
    expect((await client.closed).code).toBe(4012);
  });

  test("setting the time of the machine neither ends a session nor lets a lost one live", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    clock.advance(24_000);
    clock.adjust(3_600_000);
    clock.advance(999);
    client.send("4still here");
    expect(await new Promise((resolve) => socket.once("data", resolve))).toBe("still here");
    clock.advance(1);
    expect(await client.next()).toBe("2");
    clock.adjust(-7_200_000);
    const reason = ended(socket);
    clock.advance(20_000);
    expect(await reason).toBe("ping timeout");
  });

  test("W-1.14 any packet while a pong is due does for it", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    for (let round = 0; round < 3; round++) {
      clock.advance(25_000);
      expect(await client.next()).toBe("2");
      clock.advance(19_999);
      const heard = new Promise((resolve) => socket.once("data", resolve));
      client.send("4alive");
      await heard;
    }
    clock.advance(25_000 + 19_999);
    expect(socket.readyState).toBe("open");
    clock.advance(1);
    expect(socket.readyState).toBe("closed");
  });

  test("packets between pings do not put the next one off", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    clock.advance(20_000);
    const heard = new Promise((resolve) => socket.once("data", resolve));
    client.send("4busy");
    await heard;
    clock.advance(5_000);
    expect(await client.next()).toBe("2");
  });

  test("a ping from the client is a fault", async () => {
    const { at } = station();
    await using _ = at;
    const { client, socket } = await at.pair(4);
    const reason = ended(socket);
    client.send("2");
    expect(await reason).toBe("parse error");
  });

  test("on polling the ping answers the waiting poll, and a timeout leaves the sid unknown", async () => {
    const { at, clock } = station();
    await using _ = at;
    const client = await at.polling(4);
    clock.advance(25_000);
    expect(await client.take()).toEqual(["2"]);
    expect((await client.send("3")).status).toBe(200);
    clock.advance(25_000 + 20_000);
    expect((await client.poll()).status).toBe(400);
  });
});

describe("revision 3: the client pings", () => {
  test("each ping is answered with its own data, and the server never pings", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client } = await at.pair(3);
    for (let round = 0; round < 3; round++) {
      clock.advance(44_999);
      client.send("2", "2data");
      expect(await client.take(2)).toEqual(["3", "3data"]);
    }
  });

  test("nothing within pingInterval + pingTimeout ends the session as lost", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(3);
    const reason = ended(socket);
    clock.advance(44_999);
    expect(socket.readyState).toBe("open");
    clock.advance(1);
    expect(await reason).toBe("ping timeout");
    expect(socket.endedBy).toBe("lost");
    expect((await client.closed).code).toBe(4012);
  });

  test("any packet is a sign of life", async () => {
    const { at, clock } = station();
    await using _ = at;
    const { client, socket } = await at.pair(3);
    for (let round = 0; round < 3; round++) {
      clock.advance(44_999);
      const heard = new Promise((resolve) => socket.once("data", resolve));
      client.send("4alive");
      await heard;
    }
    expect(socket.readyState).toBe("open");
  });

  test("a pong from the client is a fault", async () => {
    const { at } = station();
    await using _ = at;
    const { client, socket } = await at.pair(3);
    const reason = ended(socket);
    client.send("3");
    expect(await reason).toBe("parse error");
  });

  test("ping and pong on polling", async () => {
    const { at } = station();
    await using _ = at;
    const client = await at.polling(3);
    await client.send("2");
    expect(await client.take()).toEqual(["3"]);
  });
});

test("each session has its own time", async () => {
  const { at, clock } = station();
  await using _ = at;
  const first = await at.pair(3);
  clock.advance(10_000);
  const second = await at.pair(3);
  const third = await at.pair(4);
  clock.advance(35_000);
  expect(first.socket.readyState).toBe("closed");
  expect([second.socket.readyState, third.socket.readyState]).toEqual(["open", "open"]);
  clock.advance(10_000);
  expect([second.socket.readyState, third.socket.readyState]).toEqual(["closed", "closed"]);
});
