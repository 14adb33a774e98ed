import { afterAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { CLOSE, WireClient, type WireFrame } from "../../support/wire.ts";
import { EVENTS, PATH } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { draft, type Person, pageIn, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

/** Somebody in the chat who answers nothing by himself; what he is told on coming in is taken. */
async function silent(at: Stage, revision: 3 | 4, { id, token }: Person): Promise<WireClient> {
  const credentials = new URLSearchParams({ token, user_id: id, user_role: "SELLER" });
  const client = await WireClient.open(`${at.url}${PATH}?EIO=${revision}&transport=websocket&${credentials}`);
  client.send(`40${EVENTS},`);
  await answered(client);
  return client;
}

/** Sends an event and takes everything up to its acknowledgement: what was sent before it has been read. */
async function answered(client: WireClient): Promise<string[]> {
  client.send(`42${EVENTS},1["get_active_users"]`);
  const texts: string[] = [];
  for (let frame = await client.next(); frame; frame = await client.next()) {
    if (frame.text.startsWith(`43${EVENTS},1`)) return texts;
    texts.push(frame.text);
  }
  throw new Error("closed");
}

const texts = (frames: WireFrame[]) => frames.filter(({ opcode }) => opcode !== CLOSE).map(({ text }) => text);

describe("heartbeats (V-7.2)", () => {
  const start = async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ clock });
    return { clock, at, person: await at.person() };
  };

  test("V-1.7 V-7.7 revision 3: pings are answered; 45 s without any packet, and the transport ends with 4012", async () => {
    const { clock, at, person } = await start();
    const client = await silent(at, 3, person);
    clock.advance(44_000);
    client.send("2");
    expect((await client.next())?.text).toBe("3");
    // Any packet counts, and the server sends no ping of its own.
    clock.advance(44_000);
    expect(await answered(client)).toMatchObject([expect.stringContaining("active_user_list")]);
    clock.advance(46_000);
    const rest = await client.rest();
    expect(texts(rest)).toEqual([]);
    expect(rest.at(-1)).toMatchObject({ opcode: CLOSE, code: 4012 });
  });

  test("V-11.5 whoever keeps pinging keeps his connection: there is no rotation", async () => {
    const { clock, at } = await start();
    const client = await silent(at, 3, await at.person(undefined, { exp: clock.now() / 1000 + 100_000 }));
    for (let hours = 0; hours < 24; hours += 1 / 90) {
      clock.advance(40_000);
      client.send("2");
      expect((await client.next())?.text).toBe("3");
    }
  });

  test("V-1.8 V-7.7 revision 4: a ping every 25 s; 20 s without an answer, and the transport ends with 4012", async () => {
    const { clock, at, person } = await start();
    const client = await silent(at, 4, person);
    for (let i = 0; i < 3; i++) {
      clock.advance(26_000);
      expect((await client.next())?.text).toBe("2");
      client.send("3");
      await answered(client);
    }
    clock.advance(26_000);
    expect((await client.next())?.text).toBe("2");
    clock.advance(21_000);
    const rest = await client.rest();
    expect(texts(rest)).toEqual([]);
    expect(rest.at(-1)).toMatchObject({ opcode: CLOSE, code: 4012 });
  });
});

for (const revision of [3, 4] as const) {
  test(`V-7.6 a slow reader is closed and may come back; nobody else waits for him (revision ${revision})`, async () => {
    const at = await stages.start({
      // However long it takes, no heartbeat is due meanwhile.
      clock: new ManualClock(Date.now()),
      env: {
        CONVERSATIONS_MAX_OUTGOING_BYTES: "65536",
        CONVERSATIONS_MAX_CONTENT_CHARS: "50000",
        CONVERSATIONS_MESSAGES_PER_MINUTE: "1000000",
        CONVERSATIONS_EVENTS_BURST: "1000000",
      },
    });
    const room = await at.room();
    const buyer = await at.client({ person: room.buyer, role: "BUYER" });
    await buyer.until("active_user_list");
    const slow = await silent(at, revision, room.seller);
    await buyer.until("user_status_change");
    slow.pause();
    let sent = 0;
    const gone = () => buyer.told.some(([event, payload]) => event === "user_status_change" && isOffline(payload));
    while (!gone()) {
      const content = `${sent++} ${"x".repeat(49_000)}`;
      expect(await buyer.ask("new_message", draft(room, "buyer", content))).toMatchObject({ status: true });
      expect(sent).toBeLessThan(10_000);
    }
    expect(buyer.told.filter(([event]) => event === "new_message")).toHaveLength(sent);
    slow.resume();
    // What came before the cut is whole: no gap, no DISCONNECT.
    const received = texts(await slow.rest()).map((text) => Number(/"content":"(\d+) x/.exec(text)?.[1]));
    expect(received).toEqual(received.map((_, index) => index));
    const { body } = await at.call(room.seller, "GET", `/messages?room_id=${room.id}&limit=1`);
    expect(pageIn(body).data[0]!.content).toStartWith(`${sent - 1} `);
  });
}

const isOffline = (payload: unknown) => (payload as { status: boolean }).status === false;

test("V-7.13 a full node takes nobody, and its clients come back when there is room", async () => {
  const full = await stages.start({ env: { MAX_CONNECTIONS: "1" } });
  const first = await full.client();
  for (const revision of [3, 4] as const)
    await expect(RawSocket.open(full.url, { revision })).rejects.toThrow("refused");
  const { id, token } = await full.person();
  const credentials = { token, user_id: id, user_role: "SELLER" };
  for (const generation of [2, 4] as const) {
    const waiting = await full.client({ generation, credentials, reconnection: true });
    await waiting.until("connect_error");
    for (const client of full.clients.splice(0)) if (client !== waiting) client.close();
    await waiting.until("connect");
    full.clients.push(waiting);
  }
  expect(first.socket.connected).toBe(false);
});
