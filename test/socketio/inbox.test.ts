import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { event } from "../../src/socketio/endpoint.ts";
import { ManualClock } from "../support/clock.ts";
import { once, until } from "./events.ts";
import { declare, endpoint, Station } from "./station.ts";
import { WireSession } from "./wire.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

/** A session that has joined `/`. */
async function joined(revision: 3 | 4 = 4): Promise<WireSession> {
  const session = await WireSession.open(station.url, revision);
  if (revision === 4) session.send("40");
  await session.next();
  return session;
}

/** Handlers that wait until the test lets them go on. */
class Gate {
  readonly begun: string[] = [];
  readonly #waiting: (() => void)[] = [];

  wait(name: string): Promise<void> {
    this.begun.push(name);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets the handler that waits longest go on. */
  next(): void {
    this.#waiting.shift()?.();
  }
}

test("T-4.3 V-4.3 events of one connection are handled one after the other in their order", async () => {
  const gate = new Gate();
  const log: string[] = [];
  station = new Station({
    "/": declare({
      on: {
        slow: event(
          v.string(),
          async (_peer, name) => {
            await gate.wait(name);
            log.push(name);
          },
          () => {},
        ),
        fast: event(
          v.string(),
          (_peer, name) => void log.push(name),
          () => {},
        ),
      },
    }),
  });
  const session = await joined();
  session.send('42["fast","1"]', '42["slow","2"]', '42["fast","3"]', '42["slow","4"]', '42["fast","5"]');
  await until(() => gate.begun.length === 1);
  expect(log).toEqual(["1"]);
  gate.next();
  await until(() => gate.begun.length === 2);
  expect(log).toEqual(["1", "2", "3"]);
  gate.next();
  await until(() => log.length === 5);
  expect(log).toEqual(["1", "2", "3", "4", "5"]);
});

test("a slow handler of one connection does not hold up another", async () => {
  const gate = new Gate();
  station = new Station({
    "/": declare({
      on: {
        slow: event(
          v.unknown(),
          () => gate.wait("slow"),
          () => {},
        ),
        echo: event(
          v.unknown(),
          (_peer, input, acknowledge) => acknowledge(input),
          () => {},
        ),
      },
    }),
  });
  const one = await joined();
  const two = await joined();
  one.send('42["slow"]', '421["echo","one"]');
  await until(() => gate.begun.length === 1);
  two.send('421["echo","two"]');
  expect(await two.next()).toBe('431["two"]');
  gate.next();
  expect(await one.next()).toBe('431["one"]');
});

test("joined runs after the accept packet and before the first event", async () => {
  const gate = new Gate();
  const log: string[] = [];
  station = new Station({
    "/": declare({
      async joined(peer) {
        peer.emit("welcome");
        await gate.wait("joined");
        log.push("joined");
      },
      unknown: (_peer, name) => void log.push(name),
    }),
  });
  const session = await WireSession.open(station.url, 3);
  session.send('42["first"]', "2");
  expect([await session.next(), await session.next(), await session.next()]).toEqual(["40", '42["welcome"]', "3"]);
  expect(log).toEqual([]);
  gate.next();
  await until(() => log.length === 2);
  expect(log).toEqual(["joined", "first"]);
});

test("T-4.4 exactly one acknowledgement, only where it is asked for", async () => {
  station = new Station({
    "/": declare({
      on: {
        twice: event(
          v.unknown(),
          (_peer, _input, acknowledge) => {
            acknowledge("one", 1);
            acknowledge("two");
          },
          () => {},
        ),
      },
    }),
  });
  const session = await joined();
  session.send('42["twice"]', '427["twice"]', '420["twice"]');
  expect([await session.next(), await session.next()]).toEqual(['437["one",1]', '430["one",1]']);
});

test("the schema decides: run gets what it parsed, invalid is called otherwise", async () => {
  station = new Station({
    "/": declare({
      on: {
        move: event(
          v.object({ lat: v.number() }),
          (_peer, input, acknowledge) => acknowledge("run", input),
          (_peer, acknowledge) => acknowledge("invalid"),
        ),
      },
    }),
  });
  const session = await joined();
  const sent: [string, string][] = [
    ['421["move",{"lat":1,"more":2},"extra"]', '431["run",{"lat":1}]'],
    ['422["move",{"lat":"1"}]', '432["invalid"]'],
    ['423["move"]', '433["invalid"]'],
    ['424["move",{"_placeholder":true,"num":0}]', '434["invalid"]'],
  ];
  for (const [frame, answer] of sent) {
    session.send(frame);
    expect(await session.next()).toBe(answer);
  }
});

test("binary arguments arrive as bytes, on both revisions", async () => {
  const seen: unknown[] = [];
  station = new Station({
    "/": declare({
      on: {
        blob: event(
          v.object({ bytes: v.instance(Uint8Array) }),
          (_peer, { bytes }, acknowledge) => {
            seen.push(Buffer.from(bytes).toString());
            acknowledge(bytes);
          },
          () => {},
        ),
      },
    }),
  });
  for (const open of [() => station.client("/", { transports: ["websocket"] }), () => station.clientV2("/")]) {
    const client = open();
    await once(client, "connect");
    const answer = await new Promise<unknown>((resolve) => {
      client.emit("blob", { bytes: Buffer.from("hello") }, resolve);
    });
    expect(Buffer.from(answer as Uint8Array).toString()).toBe("hello");
  }
  expect(seen).toEqual(["hello", "hello"]);
});

test("T-4.5 T-8.13 V-8.4 W-12.6 names nobody declared go to unknown, whatever they are", async () => {
  const names = ["error", "__proto__", "constructor", "toString", "connect", "disconnecting", "newListener"];
  const seen: unknown[] = [];
  station = new Station({
    "/": declare({
      unknown(_peer, name, args, acknowledge) {
        seen.push([name, args]);
        acknowledge("unknown");
      },
    }),
  });
  const session = await joined();
  for (const name of names) {
    session.send(`425${JSON.stringify([name, 1, 2])}`);
    expect(await session.next()).toBe('435["unknown"]');
  }
  expect(seen).toEqual(names.map((name) => [name, [1, 2]]));
});

test("an event nobody declared is ignored without an acknowledgement by default", async () => {
  station = new Station({ "/": declare() });
  const session = await joined(3);
  session.send('421["nothing"]', "2");
  expect(await session.next()).toBe("3");
});

test.each([
  ["a name that is no string", '42[null,"x"]'],
  ["a name that is a number", "42[5]"],
  ["an empty packet", "4"],
  ["no array", '42{"a":1}'],
  ["an empty array", "42[]"],
  ["bad JSON", '42["x",'],
  ["an unknown type", "49[]"],
  ["an id that is no safe integer", `42${"9".repeat(400)}["x"]`],
  ["a CONNECT_ERROR", '44{"message":"x"}'],
  ["an acknowledgement of no packet", "43[1]"],
  ["an event for a namespace not joined", '42/other,["x"]'],
  ["too many attachments", '4511-["x"]'],
  ["text in the place of an attachment", '451-["x",{"_placeholder":true,"num":0}]'],
])("T-8.11 V-7.10 %s closes the transport with 1007", async (_what, frame) => {
  let handled = 0;
  station = new Station({ "/": declare({ unknown: () => void handled++ }) });
  const [session, other] = [await joined(), await joined(3)];
  session.send(frame, '42["after"]');
  expect(await session.closed).toMatchObject({ code: 1007 });
  expect(handled).toBe(0);
  other.send("2");
  expect(await other.next()).toBe("3");
});

test("T-8.11 an attachment without a packet closes the transport", async () => {
  station = new Station({ "/": declare() });
  const session = await joined();
  session.send(new Uint8Array([1, 2, 3]));
  expect(await session.closed).toMatchObject({ code: 1007 });
});

test("an event before CONNECT closes the transport on revision 4", async () => {
  station = new Station({ "/": declare() });
  const session = await WireSession.open(station.url, 4);
  session.send('42["x"]');
  expect(await session.closed).toMatchObject({ code: 1007 });
});

test("V-8.4 a namespace may take numbers as names, and refuse reserved ones", async () => {
  const seen: string[] = [];
  station = new Station({
    "/": declare({
      numericNames: "unknown",
      reservedNames: "close",
      on: {
        5: event(
          v.unknown(),
          () => void seen.push("declared"),
          () => {},
        ),
      },
      unknown: (_peer, name) => void seen.push(name),
    }),
  });
  const session = await joined();
  session.send("42[5]", '42["5"]', '42["disconnect"]');
  expect(await session.closed).toMatchObject({ code: 1007 });
  expect(seen).toEqual(["5", "declared"]);
});

test.each(["drop", "kick"] as const)("more events than may wait: %s", async (inboxOverflow) => {
  const gate = new Gate();
  let left = 0;
  station = new Station(
    endpoint(
      { "/": declare({ unknown: (_peer, name) => gate.wait(name), left: () => void left++ }) },
      { maxInbox: 3, inboxOverflow },
    ),
  );
  const session = await joined();
  session.send(...["a", "b", "c", "d", "e"].map((name) => `42["${name}"]`));
  const frames = await session.rest();
  expect(frames).toEqual(inboxOverflow === "kick" ? ["41"] : []);
  gate.next();
  await until(() => left > 0);
  expect(gate.begun).toEqual(["a"]);
});

test("T-8.14 a burst within the limit is answered in full and in order", async () => {
  station = new Station(
    endpoint(
      {
        "/": declare({
          on: {
            count: event(
              v.number(),
              async (_peer, number, acknowledge) => {
                if (number % 3 === 0) await Promise.resolve();
                acknowledge(number);
              },
              () => {},
            ),
          },
        }),
      },
      { maxInbox: 1_000 },
    ),
  );
  const session = await joined();
  const numbers = Array.from({ length: 500 }, (_, number) => number);
  session.send(...numbers.map((number) => `42${number}["count",${number}]`));
  for (const number of numbers) expect(await session.next()).toBe(`43${number}[${number}]`);
});

test("T-4.17 events beyond the rate are dropped and told with the time to wait", async () => {
  const clock = new ManualClock();
  const limited: unknown[] = [];
  station = new Station(
    {
      "/": declare({
        rate: { perSecond: 10, burst: 3 },
        limited(_peer, name, wait, acknowledge) {
          limited.push([name, wait]);
          acknowledge("slow down");
        },
        unknown: (_peer, _name, [number], acknowledge) => acknowledge(number),
      }),
    },
    { clock },
  );
  const session = await joined();
  const answers = async (...numbers: number[]) => {
    session.send(...numbers.map((number) => `421["x",${number}]`));
    return Promise.all(numbers.map(() => session.next()));
  };
  expect(await answers(1, 2, 3, 4)).toEqual(["431[1]", "431[2]", "431[3]", '431["slow down"]']);
  expect(limited).toEqual([["x", 100]]);
  clock.advance(150);
  expect(await answers(5, 6)).toEqual(["431[5]", '431["slow down"]']);
  expect(limited[1]).toEqual(["x", 50]);
  clock.advance(10_000);
  expect(await answers(7, 8, 9, 10)).toEqual(["431[7]", "431[8]", "431[9]", '431["slow down"]']);
  expect(await station.samples("events_limited")).toEqual([expect.stringMatching(/ 3$/)]);
});

test("a fault in a handler goes to failed, or to the log, and the connection stays", async () => {
  const faults: unknown[] = [];
  const handlers = {
    throws: event(
      v.unknown(),
      () => {
        throw new Error("thrown");
      },
      () => {},
    ),
    rejects: event(
      v.unknown(),
      () => Promise.reject(new Error("rejected")),
      () => {},
    ),
    invalid: event(
      v.never(),
      () => {},
      () => Promise.reject(new Error("invalid")),
    ),
  };
  station = new Station({
    "/": declare({
      on: handlers,
      failed(_peer, name, error, acknowledge) {
        faults.push([name, (error as Error).message]);
        acknowledge("failed");
      },
    }),
    "/logged": declare({ on: handlers, unknown: (_peer, name, _args, acknowledge) => acknowledge(name) }),
    "/worse": declare({
      on: handlers,
      failed() {
        throw new Error("hook");
      },
      unknown: (_peer, name, _args, acknowledge) => acknowledge(name),
    }),
  });
  const session = await joined();
  for (const name of Object.keys(handlers)) {
    session.send(`421["${name}"]`);
    expect(await session.next()).toBe('431["failed"]');
  }
  expect(faults).toEqual([
    ["throws", "thrown"],
    ["rejects", "rejected"],
    ["invalid", "invalid"],
  ]);
  expect(station.logged).toEqual([]);
  for (const name of ["/logged", "/worse"]) {
    session.send(`40${name},`);
    await session.next();
    session.send(...Object.keys(handlers).map((event) => `42${name},["${event}"]`), `42${name},1["still"]`);
    expect(await session.next()).toBe(`43${name},1["still"]`);
  }
  expect(station.logged).toHaveLength(6);
  expect(await station.samples("handler_faults")).toEqual([expect.stringMatching(/ 9$/)]);
});

test("a client's acknowledgement that makes a callback throw is logged and nothing more", async () => {
  station = new Station({ "/": declare() });
  const session = await joined(3);
  station.peers[0]?.socket.emit("ask", () => {
    throw new Error("callback");
  });
  expect(await session.next()).toBe('420["ask"]');
  session.send('430["answer"]', "2");
  expect(await session.next()).toBe("3");
  expect(station.logged).toEqual([expect.stringContaining("callback")]);
});

test("metrics know events by declared names alone", async () => {
  station = new Station({
    "/": declare({
      on: {
        move: event(
          v.unknown(),
          (peer) => peer.emit("move"),
          () => {},
        ),
      },
    }),
  });
  const session = await joined(3);
  session.send('42["move"]', '42["invented-by-a-client"]', "2");
  expect([await session.next(), await session.next()]).toEqual(['42["move"]', "3"]);
  expect(await station.samples("events_received", '"move"')).toEqual([expect.stringMatching(/ 1$/)]);
  expect(await station.samples("events_received", '"other"')).toEqual([expect.stringMatching(/ 1$/)]);
  expect(await station.samples("events_sent", '"move"')).toEqual([expect.stringMatching(/ 1$/)]);
  expect(await station.samples("handler_seconds_count", '"move"')).toEqual([expect.stringMatching(/ 1$/)]);
  expect(await station.samples("invented")).toEqual([]);
  expect(await station.samples("socketio_connections")).toEqual([expect.stringMatching(/ 1$/)]);
});
