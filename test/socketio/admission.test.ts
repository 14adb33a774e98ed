import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Admission, Handshake } from "../../src/socketio/endpoint.ts";
import { ManualClock } from "../support/clock.ts";
import { once, until } from "./events.ts";
import { declare, endpoint, Station } from "./station.ts";
import { PollingSession, WireSession } from "./wire.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];
const byEvent: Admission<never> = { refuse: "event", event: "error", payload: { details: { type: "no" } } };

test("stock clients of both generations connect on every transport", async () => {
  station = new Station({ "/": declare() });
  for (const transports of TRANSPORTS) {
    const v4 = station.client("/", { transports });
    const v2 = station.clientV2("/", { transports });
    await Promise.all([once(v4, "connect"), once(v2, "connect")]);
  }
  expect(station.peers.map((peer) => peer.revision).sort()).toEqual([3, 3, 3, 4, 4, 4]);
  expect(station.mount.size).toBe(6);
  expect(station.observed).toBe(6);
});

test("W-1.12 the id is the engine's on revision 3 and another one on revision 4", async () => {
  station = new Station({ "/": declare() });
  const v2 = station.clientV2("/", { transports: ["websocket"] });
  await once(v2, "connect");
  expect(v2.id).toBe(v2.io.engine.id);
  expect(station.peers[0]?.id).toBe(v2.id);
  const v4 = station.client("/", { transports: ["websocket"] });
  await once(v4, "connect");
  expect(v4.id).not.toBe((v4.io.engine as unknown as { id: string }).id);
  expect(station.peers[1]?.id).toBe(v4.id as string);
});

test("the handshake shows headers, query, credentials and revision", async () => {
  const seen: Handshake[] = [];
  const authenticate = (handshake: Handshake) => {
    seen.push(handshake);
    return { session: {} };
  };
  station = new Station({ "/chat": declare({ authenticate }) });
  const v4 = await WireSession.open(station.url, 4, "&lang=en", { "X-Thing": "4" });
  v4.send('40/chat,{"token":"t"}');
  const v3 = await WireSession.open(station.url, 3, "&lang=fr", { "X-Thing": "3" });
  v3.send("40/chat?token=a%2Cb&user=7,");
  await v4.next();
  expect([await v3.next(), await v3.next()]).toEqual(["40", "40/chat,"]);
  const told = seen.map((handshake) => [
    handshake.revision,
    handshake.header("x-thing"),
    handshake.header("constructor"),
    handshake.query.lang,
    handshake.auth,
    handshake.address,
  ]);
  expect(told.sort()).toEqual([
    [3, "3", undefined, "fr", { token: "a,b", user: "7" }, "127.0.0.1"],
    [4, "4", undefined, "en", { token: "t" }, "127.0.0.1"],
  ]);
});

test("T-2.7 T-8.12 a CONNECT payload of any shape reaches authenticate", async () => {
  const seen: unknown[] = [];
  station = new Station({
    "/": declare({
      authenticate({ auth }) {
        seen.push(auth);
        return { session: {} };
      },
    }),
  });
  const payloads = ['{"a":1}', "[]", '"x"', "7", "null", "", '{"deep":{"er":[{}]}}'];
  for (const payload of payloads) {
    const session = await WireSession.open(station.url, 4);
    session.send(`40${payload}`);
    expect(await session.next()).toStartWith('40{"sid":"');
  }
  expect(seen).toEqual([{ a: 1 }, [], "x", 7, null, undefined, { deep: { er: [{}] } }]);
});

test("CONNECT is not answered, and no event handled, before authenticate has decided", async () => {
  const decision = Promise.withResolvers<Admission<unknown>>();
  const handled: string[] = [];
  station = new Station({
    "/": declare({
      authenticate: () => decision.promise,
      unknown(_peer, name) {
        handled.push(name);
      },
    }),
  });
  const session = await WireSession.open(station.url, 3);
  session.send('42["early"]', "2");
  expect(await session.next()).toBe("3");
  expect(handled).toEqual([]);
  decision.resolve({ session: {} });
  expect(await session.next()).toBe("40");
  session.send('42["late"]', "2");
  expect(await session.next()).toBe("3");
  expect(handled).toEqual(["early", "late"]);
});

test.each([
  [4, /^40\{"sid":"[\w-]{20}"\}$/],
  [3, /^40$/],
] as const)("T-2.20 revision %d: refused by CONNECT, event, DISCONNECT and nothing else", async (revision, accept) => {
  let events = 0;
  station = new Station({ "/": declare({ authenticate: async () => byEvent, unknown: () => void events++ }) });
  const session = await WireSession.open(station.url, revision);
  if (revision === 4) session.send("40");
  else session.send('42["sent","between"]');
  const frames = await session.rest();
  expect(frames).toHaveLength(3);
  expect(frames[0]).toMatch(accept);
  expect(frames.slice(1)).toEqual(['42["error",{"details":{"type":"no"}}]', "41"]);
  expect(events).toBe(0);
  expect(station.peers).toEqual([]);
  expect(await station.samples("refusals", 'how="event"')).toHaveLength(1);
});

test.each([4, 3] as const)(
  "T-2.22 revision %d on polling: the three packets are taken before the close",
  async (revision) => {
    station = new Station({ "/": declare({ authenticate: () => byEvent }) });
    const session = await PollingSession.open(station.url, revision);
    if (revision === 4) await session.post("40");
    const body = await session.poll();
    const packets = revision === 4 ? body.split("\x1e") : body.split(/\d+:(?=4)/).slice(1);
    expect(packets).toHaveLength(3);
    expect(packets.slice(1)).toEqual(['42["error",{"details":{"type":"no"}}]', "41"]);
    await until(() => station.mount.size === 0);
  },
);

test("T-2.22 a client that takes nothing is closed after five seconds", async () => {
  const clock = new ManualClock();
  station = new Station({ "/": declare({ authenticate: () => byEvent }) }, { clock });
  await PollingSession.open(station.url, 3);
  clock.advance(4_999);
  expect(station.mount.size).toBe(1);
  clock.advance(1);
  expect(station.mount.size).toBe(0);
});

test("T-2.20 stock clients see connect, error and a disconnect by the server, and stay away", async () => {
  station = new Station({ "/": declare({ authenticate: () => byEvent }) });
  const open = [
    (transports: string[]) => station.client("/", { transports }),
    (transports: string[]) => station.clientV2("/", { transports }),
  ];
  for (const transports of TRANSPORTS) {
    for (const opened of open) {
      const client = opened(transports);
      const seen = { connect: once(client, "connect"), error: once(client, "error") };
      const [reason] = await once(client, "disconnect");
      expect(reason).toBe("io server disconnect");
      await seen.connect;
      expect(await seen.error).toEqual([{ details: { type: "no" } }]);
    }
  }
});

test("V-2.7 V-2.8 refused by an error: a bare value on revision 3, an object on revision 4", async () => {
  const answers: Admission<never>[] = [
    { refuse: "error", message: "Authentication Error" },
    { refuse: "error", message: "Authentication Error", data: { code: "x" } },
  ];
  for (const [index, answer] of answers.entries()) {
    station = new Station({ "/chat": declare({ authenticate: () => answer }) });
    const v4 = await WireSession.open(station.url, 4);
    v4.send("40/chat,");
    const v3 = await WireSession.open(station.url, 3);
    v3.send("40/chat,");
    expect(await v3.next()).toBe("40");
    const frames = [await v4.next(), await v3.next()];
    expect(frames).toEqual(
      index === 0
        ? ['44/chat,{"message":"Authentication Error"}', '44/chat,"Authentication Error"']
        : ['44/chat,{"message":"Authentication Error","data":{"code":"x"}}', '44/chat,{"code":"x"}'],
    );
    await station.stop();
  }
});

test("V-2.9 a refused client stays for its linger, then is closed", async () => {
  const clock = new ManualClock();
  const authenticate = (): Admission<never> => ({ refuse: "error", message: "no", linger: 300_000 });
  station = new Station({ "/chat": declare({ authenticate }) }, { clock });
  const session = await PollingSession.open(station.url, 3);
  await session.post("17:40/chat?token=bad");
  await until(async () => (await station.samples("refusals", 'how="error"')).length === 1);
  for (let waited = 0; waited < 290_000; waited += 10_000) {
    clock.advance(10_000);
    await session.post("1:2");
    // Trying again buys no time.
    if (waited === 100_000) await session.post("17:40/chat?token=bad");
  }
  expect(station.mount.size).toBe(1);
  clock.advance(10_000);
  expect(station.mount.size).toBe(0);
});

test("V-2.10 a refused client without a linger has the connect timeout to leave", async () => {
  const clock = new ManualClock();
  const decision = Promise.withResolvers<Admission<never>>();
  station = new Station({ "/": declare({ authenticate: () => decision.promise }) }, { clock });
  const session = await WireSession.open(station.url, 4);
  session.send("40");
  await until(async () => (await station.samples("socketio_connections", " 1")).length === 1);
  clock.advance(9_000);
  decision.resolve({ refuse: "error", message: "no" });
  expect(await session.next()).toBe('44{"message":"no"}');
  clock.advance(9_999);
  expect(station.mount.size).toBe(1);
  clock.advance(1);
  expect(await session.closed).toMatchObject({ code: 4408 });
});

test("refused by close: the transport ends without a word", async () => {
  station = new Station({ "/": declare({ authenticate: () => ({ refuse: "close" }) }) });
  const session = await WireSession.open(station.url, 4);
  session.send("40");
  expect(await session.rest()).toEqual([]);
});

test("T-2.25 authenticate that throws or rejects closes the transport and is logged", async () => {
  const faults = [
    () => {
      throw new Error("no store");
    },
    () => Promise.reject(new Error("no store")),
  ];
  for (const authenticate of faults) {
    station = new Station({ "/": declare({ authenticate }) });
    const session = await WireSession.open(station.url, 4);
    session.send("40");
    expect(await session.rest()).toEqual([]);
    expect(station.logged).toHaveLength(1);
    expect(station.logged[0]).toContain("no store");
    await station.stop();
  }
});

test("V-1.10 revision 3 gets an empty root: 40 unasked, no credentials, no events", async () => {
  let asked = 0;
  const authenticate = () => {
    asked++;
    return { session: {} };
  };
  station = new Station({ "/chat": declare({ authenticate }) });
  const session = await WireSession.open(station.url, 3);
  expect(await session.next()).toBe("40");
  session.send('42["event"]', '420["event"]', "41", "40", "2");
  expect(await session.next()).toBe("3");
  expect(asked).toBe(0);
  session.send("40/chat,");
  expect(await session.next()).toBe("40/chat,");
});

test("T-1.6 an unknown namespace is refused and leaves the others undisturbed", async () => {
  station = new Station({ "/": declare({ unknown: (_peer, name, _args, acknowledge) => acknowledge(name) }) });
  const v4 = await WireSession.open(station.url, 4);
  v4.send("40", "40/other,", "40/__proto__,", '421["still"]');
  expect(await v4.next()).toStartWith("40{");
  expect(await v4.next()).toBe('44/other,{"message":"Invalid namespace"}');
  expect(await v4.next()).toBe('44/__proto__,{"message":"Invalid namespace"}');
  expect(await v4.next()).toBe('431["still"]');
  const v3 = await WireSession.open(station.url, 3);
  v3.send("40/other,", '421["still"]');
  expect([await v3.next(), await v3.next(), await v3.next()]).toEqual([
    "40",
    '44/other,"Invalid namespace"',
    '431["still"]',
  ]);
  expect(station.namespace().server._nsps.size).toBe(1);
});

test("T-1.7 V-7.8 a session that joins nothing in time is closed with 4408; one that joined is not", async () => {
  const clock = new ManualClock();
  station = new Station({ "/": declare() }, { clock });
  const idle = await WireSession.open(station.url, 4);
  const joined = await WireSession.open(station.url, 4);
  joined.send("40");
  await joined.next();
  clock.advance(9_999);
  expect(station.mount.size).toBe(2);
  clock.advance(1);
  expect(station.mount.size).toBe(1);
  expect(await idle.closed).toMatchObject({ code: 4408 });
  // The time starts anew for a client that leaves its last namespace.
  joined.send("41");
  await until(() => station.namespace().sockets.size === 0);
  clock.advance(10_000);
  expect(await joined.closed).toMatchObject({ code: 4408 });
});

test("V-8.19 a second CONNECT to a joined namespace closes the transport", async () => {
  station = new Station({ "/": declare() });
  const session = await WireSession.open(station.url, 4);
  session.send("40", "40");
  expect(await session.rest()).toHaveLength(1);
  expect(await session.closed).toMatchObject({ code: 1007 });
});

test("V-8.19 so does a second CONNECT while the first is being decided", async () => {
  const decision = Promise.withResolvers<Admission<unknown>>();
  let asked = 0;
  const authenticate = () => {
    asked++;
    return decision.promise;
  };
  station = new Station({ "/": declare({ authenticate }) });
  const session = await WireSession.open(station.url, 4);
  session.send("40", "40");
  expect(await session.closed).toMatchObject({ code: 1007 });
  expect(asked).toBe(1);
  decision.resolve({ refuse: "close" });
});

test("a client that goes while authenticate runs has left, without rooms, and never joined", async () => {
  const decision = Promise.withResolvers<Admission<string>>();
  const left = Promise.withResolvers<unknown[]>();
  let joined = 0;
  station = new Station({
    "/": declare<string>({
      authenticate: () => decision.promise,
      joined: () => void joined++,
      left: (peer, reason, rooms) => left.resolve([peer.session, reason, rooms.size]),
    }),
  });
  const session = await WireSession.open(station.url, 4);
  session.send("40");
  session.ws.close();
  await session.closed;
  await until(() => station.mount.size === 0);
  decision.resolve({ session: "mine" });
  expect(await left.promise).toEqual(["mine", "lost", 0]);
  expect(joined).toBe(0);
  expect(station.namespace().sockets.size).toBe(0);
});

test("T-7.9 a client that is turned away gets 503 with CORS headers and a time to wait", async () => {
  const cors = {
    origins: "*",
    methods: ["GET"],
    headers: "echo",
    credentials: false,
    wildcard: "literal",
    preflight: { status: 200, body: "OK" },
  } as const;
  station = new Station(endpoint({ "/": declare() }, { cors }));
  station.refusal = "node full";
  const answer = await fetch(`${station.url}/io?EIO=4&transport=polling`);
  expect([answer.status, answer.headers.get("retry-after"), answer.headers.get("access-control-allow-origin")]).toEqual(
    [503, "5", "*"],
  );
  expect(station.mount.size).toBe(0);
});

test("W-1.17 an origin that may not pass gets 403 where the endpoint says so", async () => {
  const cors = {
    origins: ["https://app.example"],
    methods: ["GET"],
    headers: "echo",
    credentials: true,
    wildcard: "echo",
    preflight: { status: 204, body: null },
  } as const;
  const status = async (origin: string) => {
    const answer = await fetch(`${station.url}/io/?EIO=4&transport=polling`, { headers: { origin } });
    await answer.text();
    return answer.status;
  };
  station = new Station(endpoint({ "/": declare() }, { cors, forbidOrigins: true }));
  expect([await status("https://evil.example"), await status("https://app.example")]).toEqual([403, 200]);
  await station.stop();
  station = new Station(endpoint({ "/": declare() }, { cors }));
  expect(await status("https://evil.example")).toBe(200);
});
