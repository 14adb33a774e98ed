import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closes } from "../../../src/protocols/chat/closes.ts";
import { CLOSE, frameBytes, PONG, WireClient } from "../../support/wire.ts";
import { confirmed, disconnection, ends, refused } from "./client.ts";
import { outcome, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
afterAll(() => stages.stop());

/** A socket on bare TCP that answers nothing by itself. */
async function bare(stage: Stage, who = stage.person()): Promise<WireClient> {
  return await WireClient.open(`${stage.url}/chat/ws?token=${(await who).token}`);
}

describe("section 7", () => {
  test("codes, texts and who comes back are those of the table", () => {
    const table = Object.values(closes).map(({ code, reason, comeBack }) => [code, reason, comeBack]);
    expect(table).toEqual(
      Object.values(ends).map(({ code, reason }) => [code, reason, [4006, 4007, 4009].includes(code)]),
    );
  });

  test("C-7.1 the frame first, then the close with the same words, without waiting for the client", async () => {
    const stage = await stages.start();
    const client = await bare(stage);
    client.send("nonsense");
    expect(await client.next()).toMatchObject({ text: JSON.stringify(disconnection(4010, "Bad message structure")) });
    expect(await client.next()).toMatchObject({ opcode: CLOSE, code: 4010, text: "Bad message structure" });
    client.destroy();
  });

  test("C-7.2 a socket that does not answer the close is dropped within 5 s", async () => {
    const timed = await stages.startTimed();
    const client = await bare(timed);
    client.send("nonsense");
    expect([await client.next(), await client.next()]).toMatchObject([{}, { opcode: CLOSE, code: 4010 }]);
    const open = async () => {
      const text = await (await fetch(`${timed.gateway.internalUrl}/metrics`)).text();
      return Number(/^patchbay_open_connections (\d+)$/m.exec(text)?.[1]);
    };
    for (let waited = 0; waited < 5_000 && (await open()) > 0; waited += 1_000) await timed.pass(1_000);
    expect(await open()).toBe(0);
    expect(await client.next()).toBeNull();
    client.destroy();
  });

  test("C-7.3 CHAT_AFK_SECONDS ends a socket without frames, C-7.3 pongs do not count, and 0 is off", async () => {
    const [on, off] = [await stages.startTimed({ CHAT_AFK_SECONDS: "60" }), await stages.startTimed()];
    const active = await on.person();
    const room = await on.room(active);
    const writer = await on.client(active);
    const reader = await bare(on);
    const quiet = await off.client(await off.person());
    for (let i = 0; i < 4; i++) {
      await on.pass(20_000);
      expect((await writer.say(room, "still here")).confirmed).toBe(true);
      reader.write(frameBytes(PONG));
    }
    const frames = await reader.rest();
    expect(frames.at(-1)).toMatchObject({ opcode: CLOSE, code: 4003, text: ends.inactive.reason });
    expect(frames.at(-2)).toMatchObject({ text: JSON.stringify(disconnection(4003, ends.inactive.reason)) });
    await off.pass(600_000);
    expect(quiet.isClosed).toBe(false);
  });

  test("4009 for a peer without a sign of life for two ping periods", async () => {
    const timed = await stages.startTimed({ CHAT_PING_SECONDS: "10" });
    const [silent, lively] = [await bare(timed), await bare(timed)];
    for (let i = 0; i < 5; i++) {
      await timed.pass(9_000);
      lively.write(frameBytes(PONG));
      await (await fetch(timed.url)).text();
    }
    const frames = await silent.rest();
    expect(frames.at(-1)).toMatchObject({ opcode: CLOSE, code: 4009, text: ends.lost.reason });
    expect(frames.at(-2)).toMatchObject({ text: JSON.stringify(disconnection(4009, ends.lost.reason)) });
    expect(lively.frames.filter(({ opcode }) => opcode === CLOSE)).toEqual([]);
    lively.destroy();
  });

  test("4006 when the node is full", async () => {
    const full = await stages.start({ env: { MAX_CONNECTIONS: "1" } });
    const first = await full.client(await full.person());
    expect(await outcome(await full.client(await full.person()))).toEqual(told(ends.serverError));
    expect(first.isClosed).toBe(false);
  });

  test("C-7.4 a drain finishes sends in work and then closes with 4007, also whoever comes meanwhile", async () => {
    const stage = await stages.start();
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const id = a.send(room, "before I go");
    // It is in the store, and its confirmation under way or sent.
    expect((await b.next()).data.message).toBe("before I go");
    const stopped = stage.gateway.gateway.stop();
    const late = stage.knock(`/chat/ws?token=${alice!.token}`);
    const end = told(ends.drain);
    expect(await outcome(a)).toEqual({ ...end, frames: [confirmed(id), ...end.frames] });
    expect(await outcome(b)).toEqual(end);
    const { code } = await late.closed;
    // Either the drain still listened, or the port was shut already.
    expect([4007, 1002, 1006]).toContain(code);
    await stopped;
  });

  test("C-7.5 a close by the client is answered and changes nothing for others", async () => {
    const stage = await stages.start();
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const b = await stage.client(bobby!);
    for (const payload of [Buffer.from([3, 232]), Buffer.alloc(0), Buffer.from([15, 160, 98, 121, 101])]) {
      const client = await bare(stage, Promise.resolve(alice!));
      client.write(frameBytes(CLOSE, payload));
      const [frame] = await client.rest();
      expect(frame).toMatchObject({ opcode: CLOSE });
    }
    const again = await stage.client(alice!);
    await again.say(room, "here again");
    expect((await b.next()).data.message).toBe("here again");
    expect(b.isClosed).toBe(false);
  });

  test("C-4.6 C-7.1 what a socket is owed comes before a close that it did not cause", async () => {
    const slow = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async () => {
        await release.promise;
        return Response.json({ allowed: true });
      },
    });
    const release = Promise.withResolvers<void>();
    // What is owed has a second, which the test does not let pass.
    const stage = await stages.startTimed({ CHAT_MODERATION_URL: slow.url.href });
    const alice = await stage.person();
    const room = await stage.room(alice);
    const a = await stage.client(alice);
    const id = a.send(room, "slow");
    const kicked = stage.administer("POST", `/admin/chat/users/${alice.id}/kick`);
    release.resolve();
    await kicked;
    const end = told(ends.kicked);
    expect(await outcome(a)).toEqual({ ...end, frames: [confirmed(id), ...end.frames] });
    await slow.stop(true);
  });

  test("C-5.10 nothing follows a Disconnection", async () => {
    const stage = await stages.start();
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const a = await stage.client(alice!);
    const victim = await bare(stage, Promise.resolve(bobby!));
    victim.send(JSON.stringify({ type: "SendMessage", data: { room_id: "1", message: "x", message_temp_id: "t" } }));
    for (let i = 0; i < 20; i++) await a.say(room, String(i));
    victim.end();
    const frames = (await victim.rest()).filter(({ opcode }) => opcode === 1).map(({ text }) => JSON.parse(text));
    expect(frames.slice(0, 2)).toEqual([
      refused("t", "bad message structure"),
      disconnection(4010, ends.badFrame.reason),
    ]);
    expect(frames.length).toBe(2);
  });
});
