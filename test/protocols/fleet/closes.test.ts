import { afterAll, describe, expect, test } from "bun:test";
import { CLOSE, frameBytes, PING, PONG, TEXT, WireClient } from "../../support/wire.ts";
import { eventually, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

/** How the server ended a socket. */
const endOf = async (client: WireClient) => (await client.rest()).find(({ opcode }) => opcode === CLOSE)?.code;

/** A client of a user on bare TCP, authenticated. */
async function bareWatcher(stage: Stage, user: Awaited<ReturnType<Stage["user"]>>): Promise<WireClient> {
  const client = await WireClient.open(`${stage.url}/fleet/ws`, { polite: true });
  client.send(JSON.stringify({ type: "auth", query: { user_id: user.user_id, SESSID: await stage.sessid(user) } }));
  expect((await client.next())?.text).toBe('{"params":{"type":"auth","success":true}}');
  return client;
}

describe.each(["/fleet/ws", "/fleet/device"])("%s", (path) => {
  test("F-1.9 F-1.10 neither subprotocol nor compression", async () => {
    await using stage = await stages.start();
    const headers = { "Sec-WebSocket-Protocol": "fleet, json", "Sec-WebSocket-Extensions": "permessage-deflate" };
    const client = await WireClient.open(stage.url + path, { headers });
    expect([client.status, client.header("sec-websocket-protocol")]).toEqual([101, null]);
    expect(client.header("sec-websocket-extensions")).toBeNull();
    client.destroy();
  });

  test("F-1.11 F-7.6 who does not answer a ping for 10 s is closed with 4012, who does stays", async () => {
    await using stage = await stages.start({ env: { FLEET_PING_S: "20", FLEET_AUTH_TIMEOUT_S: "3600" } });
    const { clock } = stage;
    const unit = await stage.unit();
    const hello = { t: "hello", unit: unit.unique_id, role: "tracker", key: unit.key };
    const open = async (polite: boolean) => {
      const client = await WireClient.open(stage.url + path, { polite });
      if (path === "/fleet/device") {
        client.send(JSON.stringify(polite ? { ...hello, role: "pnd", key: unit.pnd_key } : hello));
        expect((await client.next())?.text).toContain("welcome");
      }
      return client;
    };
    const [alive, silent] = [await open(true), await open(false)];
    const started = clock.now();
    // Time passes slowly enough for a pong to come back in it.
    const passing = setInterval(() => clock.advance(250), 5);
    const frames = await silent.rest();
    const took = clock.now() - started;
    clearInterval(passing);
    expect(frames.map(({ opcode }) => opcode)).toEqual([PING, CLOSE]);
    expect(frames.at(-1)?.code).toBe(4012);
    expect(took).toBeGreaterThanOrEqual(10_000);
    await eventually(async () => alive.frames.some(({ opcode }) => opcode === PING) || void clock.advance(250));
    alive.write(frameBytes(PING, "still here"));
    await eventually(async () => alive.frames.some(({ opcode, text }) => opcode === PONG && text === "still here"));
    expect(alive.frames.some(({ opcode }) => opcode === CLOSE)).toBe(false);
    for (const client of [alive, silent]) client.destroy();
  });

  test("F-7.2 text that is not UTF-8 is 1007", async () => {
    await using stage = await stages.start();
    const client = await WireClient.open(stage.url + path);
    client.write(frameBytes(TEXT, new Uint8Array([0x7b, 0xff, 0x7d])));
    expect(await endOf(client)).toBe(1007);
    client.destroy();
  });
});

test("F-7.5 who does not read is closed with 4008, and nobody waits for him", async () => {
  await using stage = await stages.start({ env: { FLEET_MAX_OUTGOING_BYTES: "65536", FLEET_PING_S: "3600" } });
  const unit = await stage.unit();
  const user = await stage.user(unit);
  const [hangs, reads] = [await bareWatcher(stage, user), await stage.watcher(user)];
  const tracker = await stage.device(unit);
  await reads.ofType("connection");
  hangs.pause();
  const exd = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`text${i}`, "x".repeat(255)]));
  const start = stage.clock.now();
  const isFound = async () => {
    const metrics = await (await fetch(`${stage.internalUrl}/metrics`)).text();
    return /^patchbay_rawsocket_slow_readers_total\{.*\} 1$/m.test(metrics);
  };
  let sent = 0;
  // What the system keeps for a socket comes before the limit of the gateway.
  while (!(await isFound())) {
    const rec = { tmx: new Date(start + ++sent).toISOString(), loc: { lat: 1, lon: 2 }, gsp: sent % 100, exd };
    tracker.send({ t: "records", seq: sent, records: [rec] });
    expect(await tracker.text()).toBe(`{"t":"ack","seq":${sent}}`);
    expect((await reads.next()).params).toMatchObject({ type: "records", lastRecord: { gsp: sent % 100 } });
    // Outboxes are looked through every second.
    stage.clock.advance(1_000);
  }
  hangs.resume();
  expect(await endOf(hangs)).toBe(4008);
  hangs.destroy();
});
