import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { type Client, INVALID_DATA, joined, moved, NO_ROOM } from "./client.ts";
import { RawPolling, RawSocket } from "./raw.ts";
import { PATH, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
let pin: string;
/** Somebody in a room who must notice nothing of what goes on elsewhere. */
let witness: Client;
let person: Person;

beforeAll(async () => {
  stage = await stages.startTimed();
});
beforeEach(async () => {
  pin = await stage.pin();
  witness = await stage.member(pin);
  person = await stage.person();
});
afterEach(async () => {
  expect(await witness.rest()).toEqual([]);
  witness.move(pin, 1, 2);
  expect(await witness.next()).toEqual(moved(1, 2));
  stage.leave();
});
afterAll(() => stages.stop());

const ERROR = `42${JSON.stringify(INVALID_DATA)}`;
const open = async (revision: 3 | 4 = 4) => {
  const raw = await RawSocket.open(stage.url, { token: person.token, revision });
  await raw.connect();
  return raw;
};
/** The socket still answers. */
const lives = async (raw: RawSocket) => {
  raw.send('4299["leave_room",""]');
  expect(await raw.next()).toBe("4399[]");
  raw.close();
};

describe("section 8", () => {
  test("T-8.1 join_room and leave_room with what is no id", async () => {
    const raw = await open();
    for (const event of ["join_room", "leave_room"]) {
      for (const argument of [
        "",
        ",null",
        ",true",
        ",[]",
        ',["929165"]',
        ",{}",
        ',{"roomId":null}',
        ',{"room":"929165"}',
      ]) {
        raw.send(`42["${event}"${argument}]`);
        expect([event, argument, await raw.next()]).toEqual([event, argument, ERROR]);
      }
    }
    await lives(raw);
  });

  test("T-8.5 move with what is no object", async () => {
    const raw = await open();
    for (const argument of ["", ",null", ',"text"', ",7", ",[]", ",[1,2]", ",true"]) {
      raw.send(`42["move"${argument}]`);
      expect([argument, await raw.next()]).toEqual([argument, ERROR]);
    }
    await lives(raw);
  });

  test("T-8.6 move with coordinates that are no numbers in range, into a room the sender is in", async () => {
    const client = await stage.client({ person });
    for (const lat of ["1", null, false, {}, undefined, 90.1, -91]) {
      client.emit("move", { lat, long: 1, roomId: pin });
      expect(await client.next()).toEqual(INVALID_DATA);
    }
    for (const long of ["1", null, true, [], undefined, 180.1, -180.5]) {
      client.emit("move", { lat: 1, long, roomId: pin });
      expect(await client.next()).toEqual(INVALID_DATA);
    }
  });

  test("T-8.7 zero is a coordinate", async () => {
    const own = await stage.pin();
    const client = await stage.member(own, { person });
    for (const [lat, long] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const) {
      client.move(own, lat, long);
      expect(await client.next()).toEqual(moved(lat, long));
    }
  });

  test("T-8.9 move into a living room never joined", async () => {
    const client = await stage.client({ person });
    client.move(pin, 5, 5);
    expect(await client.next()).toEqual(NO_ROOM);
  });

  test("T-8.10 binary arguments and placeholders", async () => {
    for (const revision of [4, 3] as const) {
      const raw = await open(revision);
      const binary = (bytes: number[]) => Uint8Array.from(revision === 4 ? bytes : [4, ...bytes]);
      for (const event of ["join_room", "leave_room", "move"]) {
        raw.send(`451-["${event}",{"_placeholder":true,"num":0}]`, binary([1, 2, 3]));
        expect([event, await raw.next()]).toEqual([event, ERROR]);
        raw.send(`42["${event}",{"_placeholder":true,"num":0}]`);
        expect([event, await raw.next()]).toEqual([event, ERROR]);
      }
      raw.send(`451-["move",{"lat":{"_placeholder":true,"num":0},"long":1,"roomId":"${pin}"}]`, binary([1]));
      expect(await raw.next()).toBe(ERROR);
      await lives(raw);
    }
  });

  const malformed = [
    ...["42[7]", "42[]", "42[null]", '42[{"a":1}]', "42", '42["join_room",', "42{}", '42"join_room"', "42[[]]"],
    ...["4", "49", "4x", "44", "48[]", "hello", "9", '451-["move"]x', '4299-["move"]', '45["move"]'],
  ];
  test("T-8.11 T-7.5 what is no packet ends its session by transport close", async () => {
    for (const revision of [4, 3] as const) {
      for (const packet of malformed) {
        const raw = await open(revision);
        raw.send(packet, '421["leave_room",""]');
        expect([revision, packet, await raw.rest()]).toEqual([revision, packet, []]);
      }
    }
  });

  test("T-8.11 an attachment without its event, and one that never comes", async () => {
    const raw = await open();
    raw.send(Uint8Array.of(1, 2, 3));
    expect(await raw.rest()).toEqual([]);
    const half = await open();
    half.send('451-["move",{"_placeholder":true,"num":0}]', '42["leave_room",""]');
    expect(await half.rest()).toEqual([]);
  });

  test("T-8.11 on EIO4 an event before CONNECT", async () => {
    const raw = await RawSocket.open(stage.url, { token: person.token });
    await raw.next();
    raw.send(`42["join_room","${pin}"]`, "40");
    expect(await raw.rest()).toEqual([]);
    const polling = await RawPolling.open(stage.url, { token: person.token });
    await polling.send(`42["join_room","${pin}"]`);
    while ((await polling.poll()) !== null);
  });

  test("T-7.5 a second CONNECT for /", async () => {
    const raw = await open();
    raw.send("40", '421["leave_room",""]');
    expect(await raw.rest()).toEqual([]);
  });

  test("T-7.6 a message over the limit: 1009 on a WebSocket, 413 on polling", async () => {
    const big = `42["join_room","${"x".repeat(70_000)}"]`;
    const raw = await open();
    raw.send(big);
    expect(await raw.rest()).toEqual([]);
    expect(await raw.closed).toBe(1009);
    for (const revision of [4, 3] as const) {
      const polling = await RawPolling.open(stage.url, { token: person.token, revision });
      if (revision === 4) await polling.send("40");
      expect(await polling.send(big)).toBe(413);
      while ((await polling.poll()) !== null);
    }
    // Close to the limit it is a message like any other.
    const fine = await open();
    fine.send(`42["join_room","${"x".repeat(60_000)}"]`);
    expect(await fine.next()).toBe(`42${JSON.stringify(NO_ROOM)}`);
    await lives(fine);
  });

  test("T-7.6 T-8.16 a body of any announced size gets 413 in the form of its path, and ends the session", async () => {
    const polling = await RawPolling.open(stage.url, { token: person.token });
    await polling.send("40");
    const { pathname, search } = new URL(polling.address);
    for (const [path, body] of [
      [pathname + search, ""],
      ["/login", '{"detail":"Request Entity Too Large"}'],
    ] as const) {
      const answer = await rawAnswer(`POST ${path}`, "content-length: 1000000000");
      expect([path, answer.split("\r\n", 1)[0]]).toEqual([path, "HTTP/1.1 413 Payload Too Large"]);
      expect(answer.toLowerCase()).toContain("access-control-allow-origin: *");
      expect(answer.split("\r\n\r\n")[1]).toBe(body);
    }
    while ((await polling.poll()) !== null);
  });

  test("T-8.12 CONNECT with any payload and no token is refused in three packets", async () => {
    for (const payload of ['{"a":1}', "[]", '"x"', "7"]) {
      const raw = await RawSocket.open(stage.url);
      await raw.next();
      raw.send(`40${payload}`);
      expect([payload, await raw.rest()]).toEqual([
        payload,
        [
          expect.stringMatching(/^40\{"sid":/),
          '42["error",{"details":{"type":"invalid_credentials","msg":"Invalid credentials"}}]',
          "41",
        ],
      ] as [string, string[]]);
    }
  });

  test("T-8.13 names that every object has", async () => {
    const raw = await open();
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      raw.send(`42["${name}",{"roomId":"${pin}"}]`);
      raw.send(`42["join_room","${name}"]`);
      expect([name, await raw.next()]).toEqual([name, ERROR]);
      raw.send(`42["move",{"lat":1,"long":2,"roomId":"${name}"}]`);
      expect([name, await raw.next()]).toEqual([name, ERROR]);
      raw.send(`42["join_room",{"${name}":{"roomId":"${pin}"}}]`);
      expect([name, await raw.next()]).toEqual([name, ERROR]);
      raw.send(`42["move",{"${name}":{"lat":1,"long":2},"roomId":"${pin}"}]`);
      expect([name, await raw.next()]).toEqual([name, ERROR]);
    }
    expect(({} as { roomId?: string; lat?: number }).roomId).toBeUndefined();
    expect(({} as { lat?: number }).lat).toBeUndefined();
    await lives(raw);
  });

  test("T-8.14 500 joins in one burst are all answered, in order", async () => {
    const own = await stage.pin();
    for (const generation of [4, 2] as const) {
      const client = await stage.client({ generation });
      const order: number[] = [];
      await Promise.all(
        Array.from({ length: 500 }, async (_, i) => {
          await client.ask("join_room", own);
          order.push(i);
        }),
      );
      expect(order).toEqual(Array.from({ length: 500 }, (_, i) => i));
      expect(client.told.filter(([event]) => event === "room")).toEqual(
        Array.from({ length: 500 }, () => joined(client.person, own)),
      );
    }
  });

  test("T-8.15 tokens that are too long, broken or doubled", async () => {
    const refused = [
      expect.stringMatching(/^40\{"sid":/),
      '42["error",{"details":{"type":"invalid_credentials","msg":"Invalid credentials"}}]',
      "41",
    ] as string[];
    const long = await RawSocket.open(stage.url);
    await long.next();
    long.send(`40${JSON.stringify({ token: "x".repeat(50_000) })}`);
    expect(await long.rest()).toEqual(refused);
    const broken = await RawSocket.open(stage.url);
    await broken.next();
    broken.send(`40${JSON.stringify({ token: `${person.token}\r\nx: y` })}`);
    expect(await broken.rest()).toEqual(refused);

    const status = await rawStatus(`authorization: Bearer ${"x".repeat(100_000)}`);
    expect([200, 431]).toContain(status);
    const twice = await rawSession(`authorization: Bearer ${person.token}\r\nauthorization: Bearer ${person.token}`);
    if (twice.status === 200) {
      const address = `${stage.url}${PATH}?EIO=4&transport=polling&sid=${twice.sid}`;
      await fetch(address, { method: "POST", body: "40" });
      const packets: string[] = [];
      while (packets.length < 3) packets.push(...(await (await fetch(address)).text()).split("\x1e"));
      expect(packets).toEqual(refused);
    } else {
      expect([400, 431]).toContain(twice.status);
    }
  });
});

/** The answer to a polling handshake with these header lines, written as they are. */
async function rawSession(lines: string): Promise<{ status: number; sid: string }> {
  const text = await rawAnswer(`GET ${PATH}?EIO=4&transport=polling`, lines);
  return { status: Number(text.split(" ")[1]), sid: /"sid":"([^"]+)"/.exec(text)?.[1] ?? "" };
}

/** The answer to a request whose header lines are as given, as far as it came with the first error or session id. */
async function rawAnswer(request: string, lines: string): Promise<string> {
  const { hostname, port } = new URL(stage.url);
  const socket = connect({ host: hostname, port: Number(port) });
  let text = "";
  const done = new Promise<void>((resolve) => {
    socket.on("data", (data) => {
      text += data.toString();
      if (text.includes('"sid"') || /^HTTP\/1.1 [45]/.test(text)) resolve();
    });
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
  });
  socket.write(`${request} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${lines}\r\n\r\n`);
  await done;
  socket.destroy();
  return text;
}

const rawStatus = async (lines: string) => (await rawSession(lines)).status;
