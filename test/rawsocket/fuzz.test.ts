import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, RawTopics } from "../../src/rawsocket/endpoint.ts";
import { abuse } from "../support/abuse.ts";
import { anyFrame } from "../support/any-frame.ts";
import { Random } from "../support/random.ts";
import { WireClient } from "../support/wire.ts";
import { Client } from "./client.ts";
import { endpoint, Station } from "./station.ts";
import { until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

const topics = ["a", "b", "c"];

/** What is wrong with how the channels were treated; an empty list is what a test wants to see. */
class Judge {
  readonly faults: string[] = [];
  opened = 0;
  closed = 0;
  handled = 0;
  readonly #state = new Map<string, "opened" | "closed">();
  readonly #busy = new Set<string>();

  open(channel: Channel<unknown>): void {
    this.opened++;
    if (this.#state.has(channel.id)) this.faults.push("opened twice");
    this.#state.set(channel.id, "opened");
  }

  begin(channel: Channel<unknown>): void {
    this.handled++;
    if (this.#busy.has(channel.id)) this.faults.push("two frames of one channel at once");
    if (this.#state.get(channel.id) !== "opened") this.faults.push("a frame of a channel that is not open");
    this.#busy.add(channel.id);
  }

  end(channel: Channel<unknown>): void {
    this.#busy.delete(channel.id);
  }

  close(channel: Channel<unknown>): void {
    this.closed++;
    if (this.#state.get(channel.id) !== "opened") this.faults.push("closed without having been open");
    if (this.#busy.has(channel.id)) this.faults.push("closed while a frame was in work");
    this.#state.set(channel.id, "closed");
  }
}

/** An endpoint that does anything an endpoint may do, by chance. */
function moody(random: Random, judge: Judge) {
  let held: RawTopics<unknown> | undefined;
  return endpoint({
    mounted: (topics) => {
      held = topics;
    },
    opened(channel) {
      judge.open(channel);
      if (random.chance(0.5)) channel.subscribe(random.pick(topics));
      if (random.chance(0.1)) return Promise.resolve();
    },
    async received(channel, frame) {
      judge.begin(channel);
      try {
        for (let turns = random.below(3); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
        if (frame === "alive?") channel.send("alive");
        const mood = random.below(100);
        if (mood < 30) channel.send("x".repeat(random.below(2_000)));
        else if (mood < 40) held?.publish(random.pick(topics), "news", random.chance(0.5) ? channel : undefined);
        else if (mood < 45) channel.subscribe(random.pick(topics));
        else if (mood < 50) channel.unsubscribe(random.pick(topics));
        else if (mood < 52) channel.close(4000 + random.below(10), random.text(60), random.text(20));
        else if (mood < 54) void channel.finish(random.below(50), 4020, "finished");
        else if (mood < 56) channel.after(random.below(100), () => channel.send("later"));
        else if (mood < 58) throw new Error("moody");
      } finally {
        judge.end(channel);
      }
    },
    oversize(channel) {
      if (random.chance(0.5)) channel.close(1009, "too big");
    },
    closed: (channel) => judge.close(channel),
    limits: { maxFrameBytes: 20_000, maxInbox: 8 },
  });
}

async function attack(random: Random): Promise<number> {
  const client = await WireClient.open(station!.url(), { polite: random.chance(0.5) });
  const frames = Array.from({ length: random.below(60) }, () => anyFrame(random));
  for (const frame of frames) {
    // Now and then a frame comes in pieces.
    const cut = random.chance(0.1) ? random.below(frame.length + 1) : frame.length;
    await client.write(frame.subarray(0, cut));
    if (cut < frame.length) await client.write(frame.subarray(cut));
  }
  if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
  if (random.chance(0.3)) client.end();
  else client.destroy();
  return frames.length;
}

const given = process.env.FUZZ_SEED;
for (const seed of given === undefined ? [1, 20_261_121] : [Number(given)]) {
  test(`thousands of random frames leave the endpoint serving (FUZZ_SEED=${seed})`, async () => {
    const judge = new Judge();
    station = Station.start(moody(new Random(seed), judge));
    // Each client has numbers of its own, so that its bytes do not depend on how fast the others are.
    let clients = seed;
    let frames = 0;
    for (let round = 0; round < 12; round++) {
      const counts = await Promise.all(Array.from({ length: 15 }, () => attack(new Random(++clients * 7_919))));
      frames += counts.reduce((sum, count) => sum + count, 0);
      station.clock.advance(1_000);
    }
    expect(frames).toBeGreaterThan(3_000);
    // Peers that are gone or silent are found, whatever state they left behind.
    await until(() => {
      station?.clock.advance(1_000);
      return station?.mount.size === 0 && judge.closed === judge.opened;
    });
    expect(judge.faults).toEqual([]);
    expect(judge.handled).toBeGreaterThan(500);
    expect(station.logged.filter((line) => !line.includes("moody"))).toEqual([]);
    expect(station.observed).toBe(0);
    for (let tries = 0; ; tries++) {
      expect(tries).toBeLessThan(20);
      const client = await Client.open(station.url());
      client.send("alive?");
      const answer = await client.next();
      client.close();
      if (answer === "alive") break;
    }
  });
}

test("an attack on the listener as a whole meets no server error and leaves nothing open", async () => {
  station = Station.start(endpoint());
  const url = `http://127.0.0.1:${station.server.port}`;
  const summary = await abuse({ url, paths: ["/echo", "/echo/?a=b", "/"] }, { seed: 31, count: 3_000 });
  expect(summary.faults).toEqual([]);
  expect(summary.statuses["101"] ?? 0).toBeGreaterThan(100);
  await until(() => station?.mount.size === 0);
  expect(station.logged).toEqual([]);
});
