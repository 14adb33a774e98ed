import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, RawTopics } from "../../src/rawsocket/endpoint.ts";
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

/** A fan-out endpoint: `join <topic>`, `leave <topic>`, `say <topic> <text>` (to all), `tell <topic> <text>` (to others). */
function fanOut(name: string, path: string) {
  const held: { topics?: RawTopics<unknown>; channels: Channel<unknown>[] } = { channels: [] };
  const declared = endpoint({
    name,
    paths: [path],
    mounted: (topics) => {
      held.topics = topics;
    },
    opened: (channel) => void held.channels.push(channel),
    received(channel, frame) {
      const [word, topic = "", text = ""] = String(frame).split(" ");
      if (word === "join") channel.subscribe(topic);
      if (word === "leave") channel.unsubscribe(topic);
      if (word === "say") held.topics?.publish(topic, text);
      if (word === "tell") held.topics?.publish(topic, text, channel);
      channel.send(`did ${word}`);
    },
  });
  return { declared, held };
}

describe("topics", () => {
  test("a frame reaches every subscriber, the publisher too, and nobody else", async () => {
    const { declared, held } = fanOut("a", "/a");
    station = Station.start(declared);
    const clients = await Promise.all([1, 2, 3, 4].map(() => Client.open(station!.url("/a"))));
    for (const client of clients.slice(0, 3)) client.send("join news");
    await Promise.all(clients.slice(0, 3).map((client) => client.next()));
    expect(held.topics?.count("news")).toBe(3);
    clients[0]?.send("say news one");
    for (const client of clients.slice(0, 3)) expect(await client.next()).toBe("one");
    clients[3]?.send("say none x");
    expect(await clients[3]?.next()).toBe("did say");
    expect(clients[3]?.texts).toEqual(["did say"]);
    expect(await station.metric("rawsocket_frames_sent_total")).toBe(3 + 3 + 1 + 1);
  });

  test("`except` leaves one channel out, subscribed or not, open or not", async () => {
    const { declared, held } = fanOut("a", "/a");
    station = Station.start(declared);
    const one = await Client.open(station.url("/a"));
    const two = await Client.open(station.url("/a"));
    const stranger = await Client.open(station.url("/a"));
    for (const client of [one, two]) {
      client.send("join news");
      await client.next();
    }
    one.send("tell news 1");
    expect(await one.next()).toBe("did tell");
    expect(await two.next()).toBe("1");
    stranger.send("tell news 2");
    expect(await one.next()).toBe("2");
    expect(await two.next()).toBe("2");
    const gone = held.channels[2]!;
    gone.close(4000, "bye");
    held.topics?.publish("news", "3", gone);
    expect(await one.next()).toBe("3");
    expect(await two.next()).toBe("3");
  });

  test("whoever left a topic, or the server, gets nothing more", async () => {
    const { declared, held } = fanOut("a", "/a");
    station = Station.start(declared);
    const one = await Client.open(station.url("/a"));
    const two = await Client.open(station.url("/a"));
    for (const client of [one, two]) {
      client.send("join news");
      await client.next();
    }
    one.send("leave news");
    expect(await one.next()).toBe("did leave");
    expect(held.topics?.count("news")).toBe(1);
    two.close();
    await until(() => held.topics?.count("news") === 0);
    held.topics?.publish("news", "to nobody");
    one.send("say other x");
    expect(await one.next()).toBe("did say");
  });

  test("the same topic of another endpoint is another topic", async () => {
    const a = fanOut("a", "/a");
    const b = fanOut("b", "/b");
    station = Station.start(a.declared, b.declared);
    const one = await Client.open(station.url("/a"));
    const two = await Client.open(station.url("/b"));
    one.send("join news");
    two.send("join news");
    expect(await one.next()).toBe("did join");
    expect(await two.next()).toBe("did join");
    a.held.topics?.publish("news", "from a");
    expect(await one.next()).toBe("from a");
    b.held.topics?.publish("news", "from b");
    expect(await two.next()).toBe("from b");
    expect(one.texts).toEqual(["did join", "from a"]);
  });

  test("what is sent and what is published arrives in the order of the calls", async () => {
    const { declared, held } = fanOut("a", "/a");
    station = Station.start(declared);
    const one = await Client.open(station.url("/a"));
    const two = await Client.open(station.url("/a"));
    for (const client of [one, two]) {
      client.send("join news");
      await client.next();
    }
    const [first, second] = held.channels as [Channel<unknown>, Channel<unknown>];
    const expected: string[] = ["did join"];
    for (let i = 0; i < 2_000; i++) {
      if (i % 3 === 0) first.send(String(i));
      else if (i % 3 === 1) held.topics?.publish("news", String(i));
      else held.topics?.publish("news", String(i), second);
      expected.push(String(i));
      if (i % 50 === 0) await Bun.sleep(0);
    }
    expect(await one.received(2_001)).toEqual(expected);
  });

  test("`channels` lists those that are open", async () => {
    const { declared, held } = fanOut("a", "/a");
    station = Station.start(declared);
    const clients = await Promise.all([1, 2, 3].map(() => Client.open(station!.url("/a"))));
    expect([...held.topics!.channels()].length).toBe(3);
    for (const channel of held.topics!.channels()) {
      channel.close(4000, "bye");
      break;
    }
    expect([...held.topics!.channels()].length).toBe(2);
    expect(new Set(held.channels.map((channel) => channel.id)).size).toBe(3);
    clients[1]?.close();
    await until(() => [...held.topics!.channels()].length < 2);
  });
});
