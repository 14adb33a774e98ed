import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startProcess } from "../../support/process.ts";
import { connectClient, joined, moved, NO_ROOM } from "./client.ts";
import { REFRESH_SECRET, SECRET, type Stage, Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed({ TRACKER_PIN_RATE: "100000", TRACKER_MAX_PINS_PER_USER: "100000" });
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

async function metric(at: Stage, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${at.gateway.internalUrl}/metrics`)).text();
  let sum = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(`patchbay_${name}{`) || !line.includes('protocol="tracker"')) continue;
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) {
      sum += Number(line.slice(line.lastIndexOf(" ")));
    }
  }
  return sum;
}

describe("PINs", () => {
  test("T-6.1 T-6.2 six digits, spread over the whole range, never two living ones alike", async () => {
    const owner = await stage.person();
    const pins = new Set<string>();
    for (let i = 0; i < 2000; i += 20) {
      for (const pin of await Promise.all(Array.from({ length: 20 }, () => stage.pin(owner)))) pins.add(pin);
    }
    expect(pins.size).toBe(2000);
    const buckets = new Array(9).fill(0);
    for (const pin of pins) {
      expect(pin).toMatch(/^[1-9]\d{5}$/);
      buckets[Number(pin[0]) - 1]++;
    }
    // 222 expected in each; six standard deviations either way.
    for (const count of buckets) expect(Math.abs(count - 2000 / 9)).toBeLessThan(6 * Math.sqrt((2000 * 8) / 81));
  });

  test("T-6.3 an account owns at most TRACKER_MAX_PINS_PER_USER living rooms", async () => {
    const few = await stages.startTimed({
      TRACKER_PIN_RATE: "100",
      TRACKER_MAX_PINS_PER_USER: "3",
      TRACKER_ROOM_TTL: "10",
    });
    const owner = await few.person();
    const headers = { authorization: `Bearer ${owner.token}` };
    const ask = () => few.call("GET", "/track/generate-pin", undefined, headers);
    for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200);
    const limited = await ask();
    expect([limited.status, limited.body]).toEqual([
      429,
      { detail: { type: "rate_limit_exceeded", msg: "Rate limit exceeded" } },
    ]);
    expect(limited.headers.get("retry-after")).toBe("10");
    expect(await few.pin()).toMatch(/^\d{6}$/);
    few.clock.advance(10_000);
    expect((await ask()).status).toBe(200);
  });
});

describe("the life of a room", () => {
  test("T-6.4 it runs from generation, whatever happens inside", async () => {
    const timed = await stages.startTimed({ TRACKER_ROOM_TTL: "40" });
    const pin = await timed.pin();
    const client = await timed.member(pin);
    await timed.pass(20_000);
    client.move(pin, 1, 1);
    client.emit("leave_room", pin);
    await client.rest();
    await timed.pass(15_000);
    await client.join(pin);
    client.move(pin, 1, 1);
    expect(await client.next()).toEqual(moved(1, 1));
    await timed.pass(6_000);
    expect(await client.next()).toEqual(NO_ROOM);
    client.emit("join_room", pin);
    expect(await client.next()).toEqual(NO_ROOM);
  });
});

describe("metrics and logs", () => {
  test("T-6.13 connects, refusals, closes, throttles and joins are counted", async () => {
    const counted = await stages.startTimed({ TRACKER_JOIN_FAILS_USER: "1" });
    const pin = await counted.pin();
    const member = await counted.member(pin);
    const refused = await counted.client({ headers: { authorization: "forged" }, patient: true });
    await refused.until("disconnect");
    await member.ask("join_room", "000000");
    await member.ask("join_room", "000000");
    const back = await counted.client({ person: member.person });
    await back.ask("move", { lat: 1, long: 2, roomId: pin });
    back.close();
    await member.until("room");
    const limited = await counted.call("GET", "/user/generate");
    expect(limited.status).toBe(200);
    expect((await counted.call("GET", "/user/generate")).status).toBe(429);
    expect(await metric(counted, "admitted_sockets_total")).toBe(2);
    expect(await metric(counted, "refused_sockets_total", { type: "invalid_credentials" })).toBe(1);
    expect(await metric(counted, "closed_sockets_total", { cause: "client" })).toBe(1);
    expect(await metric(counted, "throttles_total", { kind: "join" })).toBe(1);
    expect(await metric(counted, "throttles_total", { kind: "rest" })).toBe(1);
    expect(await metric(counted, "room_joins_total", { by: "join_room" })).toBe(1);
    expect(await metric(counted, "room_joins_total", { by: "move" })).toBe(1);
  });

  test("T-6.12 no PIN, token, password or coordinate in the log, however much is logged", async () => {
    const database = await stages.databaseUrl();
    const process = await startProcess({
      env: {
        PROTOCOLS: "tracker",
        TRACKER_JWT_SECRET: SECRET,
        TRACKER_REFRESH_SECRET: REFRESH_SECRET,
        LOG_LEVEL: "trace",
        ...(database === undefined ? {} : { DATABASE_URL: database }),
      },
    });
    try {
      const person = await stage.person();
      const headers = { authorization: `Bearer ${person.token}` };
      const { room_id: pin } = (await (await fetch(`${process.url}/track/generate-pin`, { headers })).json()) as {
        room_id: string;
      };
      const account = { username: `u${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`, password: "Hush!Hush7" };
      const post = async (path: string, body: unknown) =>
        (await (await fetch(process.url + path, { method: "POST", body: JSON.stringify(body) })).json()) as Record<
          string,
          unknown
        >;
      await post("/user", account);
      const grant = await post("/login/v2", account);
      await post("/login/v2", { ...account, password: "Hush!Wrong7" });
      await post("/login/v2/refresh", { refresh_token: grant.refresh_token });
      const client = await connectClient(process.url, person);
      await client.join(pin);
      client.move(pin, 12.3456, 65.4321);
      client.emit("join_room", "654321");
      client.emit("move", { lat: "12.3456", long: 0, roomId: pin });
      await client.settle();
      const refused = await connectClient(process.url, person, {
        headers: { authorization: `Bearer ${person.token}x` },
        patient: true,
      });
      await refused.until("disconnect");
      client.close();
      process.child.kill("SIGTERM");
      await process.child.exited;
      const secrets = [pin, person.token, account.password, "Hush!Wrong7", "12.3456", "65.4321", "654321"];
      for (const secret of [...secrets, String(grant.access_token), String(grant.refresh_token), SECRET]) {
        expect([secret, process.output().includes(secret)]).toEqual([secret, false]);
      }
    } finally {
      await process.cleanUp();
    }
  });

  test("T-6.12 no PIN, user, token or coordinate in the metrics", async () => {
    const pin = await stage.pin();
    const client = await stage.member(pin);
    client.move(pin, 12.3456, 65.4321);
    await client.settle();
    const text = await (await fetch(`${stage.gateway.internalUrl}/metrics`)).text();
    for (const secret of [pin, String(client.person.user_id), client.person.username, client.person.token, "12.3456"]) {
      expect(text).not.toContain(secret);
    }
  });
});

describe("alone", () => {
  test("T-6.11 without Redis everything works from memory", async () => {
    const pin = await stage.pin();
    const first = await stage.member(pin);
    const second = await stage.client();
    second.emit("join_room", pin);
    expect(await first.next()).toEqual(joined(second.person, pin));
    second.move(pin, 1, 2);
    expect(await first.next()).toEqual(moved(1, 2));
  });
});
