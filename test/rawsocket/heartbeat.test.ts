import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, ChannelEnd } from "../../src/rawsocket/endpoint.ts";
import { type Beating, Heartbeat } from "../../src/rawsocket/heartbeat.ts";
import { CLOSE, frameBytes, PING, PONG, TEXT, WireClient } from "../support/wire.ts";
import { endpoint, Station } from "./station.ts";
import { until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

/** Moves time in steps, as a clock would. What is on its way to this client and back arrives within each step. */
async function pass(ms: number, client: WireClient): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    station?.clock.advance(1_000);
    await exchange(client);
    // The answer to a ping that came in the first exchange.
    await exchange(client);
  }
}

let exchanges = 0;
/** Sends a ping, which is no sign of life, and waits for the pong or the end: the two sides have read each other then. */
async function exchange(client: WireClient): Promise<void> {
  const mark = `exchange ${++exchanges}`;
  void client.write(frameBytes(PING, mark));
  const answered = () => client.frames.some(({ opcode, text }) => opcode === CLOSE || text === mark);
  await until(answered);
}

/** What the client got, without the answers to its own pings. */
const told = (client: WireClient) => client.frames.filter(({ text }) => !text.startsWith("exchange"));
const pings = (client: WireClient) => client.frames.filter(({ opcode }) => opcode === PING).length;

describe("heartbeat of a channel", () => {
  test("the server pings once per interval and keeps a peer that answers", async () => {
    station = Station.start(endpoint());
    const client = await WireClient.open(station.url(), { polite: true });
    for (let i = 1; i <= 3; i++) {
      await pass(30_000, client);
      expect(pings(client)).toBe(i);
    }
    expect(told(client).length).toBe(3);
    expect(station.mount.size).toBe(1);
  });

  test("silence for the pong time after a ping ends the channel, with its last frame", async () => {
    const ends: ChannelEnd[] = [];
    station = Station.start(endpoint({ closed: (_channel, end) => void ends.push(end) }));
    const client = await WireClient.open(station.url());
    for (let left = 30; pings(client) === 0; left--) {
      expect(left).toBeGreaterThan(0);
      await pass(1_000, client);
    }
    await pass(9_000, client);
    expect(ends).toEqual([]);
    await pass(1_000, client);
    expect(ends).toEqual([{ code: 4012, reason: "No pong", by: "server" }]);
    const frames = told(client);
    expect(frames.map((frame) => frame.opcode)).toEqual([PING, TEXT, CLOSE]);
    expect(frames[1]?.text).toBe('{"bye":4012,"reason":"No pong"}');
    expect(frames[2]?.code).toBe(4012);
    client.end();
  });

  test("a frame is as good a sign of life as a pong", async () => {
    station = Station.start(endpoint());
    const client = await WireClient.open(station.url());
    for (let i = 0; i < 70; i++) {
      await pass(1_000, client);
      if (told(client).at(-1)?.opcode === PING) client.send("here");
    }
    expect(pings(client)).toBeGreaterThanOrEqual(2);
    expect(station.mount.size).toBe(1);
  });

  test("a pong time longer than the interval is kept to", async () => {
    const ends: ChannelEnd[] = [];
    station = Station.start(
      endpoint({
        closed: (_channel, end) => void ends.push(end),
        limits: { pingInterval: 5_000, pongTimeout: 12_000 },
      }),
    );
    const client = await WireClient.open(station.url());
    await pass(12_000, client);
    expect(ends).toEqual([]);
    // Pings go on meanwhile; one answer to any of them is enough.
    expect(pings(client)).toBeGreaterThanOrEqual(2);
    await client.write(frameBytes(PONG));
    await exchange(client);
    await pass(11_000, client);
    expect(ends).toEqual([]);
    await pass(10_000, client);
    expect(ends.length).toBe(1);
    client.end();
  });

  test("a peer whose frames are not read, because its inbox is full, is not taken for dead", async () => {
    const gate = Promise.withResolvers<void>();
    const ends: ChannelEnd[] = [];
    const channels: Channel<unknown>[] = [];
    station = Station.start(
      endpoint({
        opened: (channel) => void channels.push(channel),
        async received(_channel, frame) {
          await gate.promise;
          // The socket has just been resumed, and nothing was read yet.
          if (frame === "4") station?.clock.advance(10_000);
        },
        closed: (_channel, end) => void ends.push(end),
        limits: { maxInbox: 4 },
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    client.send("1", "2", "3", "4", "5", "6");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 6);
    // Step by step, without waiting for anything: nothing of this client is read.
    for (let second = 0; second < 120; second++) station.clock.advance(1_000);
    expect(ends).toEqual([]);
    gate.resolve();
    await exchange(client);
    await pass(60_000, client);
    expect(ends).toEqual([]);
    expect(channels[0]?.open).toBe(true);
  });
});

describe("wheel", () => {
  class Member implements Beating {
    slot = 0;
    heard = 0;
    readonly pings: number[] = [];
    readonly losses: number[] = [];
    readonly wheel: Heartbeat<Member>;

    constructor(wheel: Heartbeat<Member>) {
      this.wheel = wheel;
      wheel.add(this);
    }

    ping(): void {
      this.pings.push(this.wheel.turn);
    }

    lost(): void {
      this.losses.push(this.wheel.turn);
    }
  }

  test("members that come at once are pinged evenly over the interval, each once", () => {
    const wheel = new Heartbeat<Member>({ pingInterval: 30_000, pongTimeout: 10_000 });
    expect(wheel.every).toBe(1_000);
    const members = Array.from({ length: 300 }, () => new Member(wheel));
    for (let turn = 1; turn <= 30; turn++) {
      wheel.beat();
      expect(members.filter((member) => member.pings.length > 0).length).toBe(turn * 10);
    }
    for (let turn = 0; turn < 30; turn++) wheel.beat();
    for (const { pings } of members) expect(pings[1]! - pings[0]!).toBe(30);
  });

  test("a loss is found one pong time after the ping, not sooner, and not when something was heard", () => {
    const wheel = new Heartbeat<Member>({ pingInterval: 30_000, pongTimeout: 10_000 });
    const silent = new Member(wheel);
    const alive = new Member(wheel);
    for (let turn = 0; turn < 90; turn++) {
      wheel.beat();
      if (alive.pings.at(-1) === wheel.turn - 9) alive.heard = wheel.turn;
    }
    expect(silent.losses[0]).toBe(silent.pings[0]! + 10);
    expect(alive.losses).toEqual([]);
  });

  test("a member that comes late is not measured by pings from before its time", () => {
    const wheel = new Heartbeat<Member>({ pingInterval: 30_000, pongTimeout: 10_000 });
    for (let turn = 0; turn < 95; turn++) wheel.beat();
    const late = Array.from({ length: 30 }, () => new Member(wheel));
    for (let turn = 0; turn < 10; turn++) wheel.beat();
    expect(late.flatMap((member) => member.losses)).toEqual([]);
  });

  test("members come and go while it turns", () => {
    const wheel = new Heartbeat<Member>({ pingInterval: 1_000, pongTimeout: 400 });
    const members = Array.from({ length: 50 }, () => new Member(wheel));
    for (const member of wheel.members()) if (members.indexOf(member) % 2 === 0) wheel.remove(member);
    expect(wheel.size).toBe(25);
    wheel.remove(members[0]!);
    expect(wheel.size).toBe(25);
    expect([...wheel.members()].length).toBe(25);
  });
});
