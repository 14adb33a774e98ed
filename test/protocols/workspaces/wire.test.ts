import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CLOSE, WireClient } from "../../support/wire.ts";
import { eventually, HANGS, type Json, MEDIA, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
let alice: Person;
let bob: Person;
let workspace: string;
let channel: string;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
// Of each test alone: what becomes of the sockets of one is not told to those of the next.
beforeEach(async () => {
  stage.leave();
  alice = await stage.person("Alice Adams");
  workspace = await stage.workspace(alice);
  bob = await stage.member(workspace, alice, "Bob Brown");
  channel = await stage.channel(workspace, alice);
});

const EVENT = (name: string, payload: unknown) => `42${JSON.stringify([name, payload])}`;
const INVALID = "Invalid namespace";

/** The next text that is sent to a bare socket; null when it was closed. */
async function text(wire: WireClient): Promise<string | null> {
  const frame = await wire.next();
  return frame === null || frame.opcode === CLOSE ? null : frame.text;
}

/** The next text that begins so, past all others. */
async function until(wire: WireClient, start: string): Promise<string> {
  for (;;) {
    const told = await text(wire);
    if (told === null) throw new Error(`closed before it was told ${start}`);
    if (told.startsWith(start)) return told;
  }
}

const SUCCESS = '42["auth-success"';
const FAILURE = '42["socket-api-error"';

/** A bare socket of a revision that has joined the default namespace, and its socket id. */
async function open(revision: 3 | 4): Promise<{ wire: WireClient; id: string; handshake: Json }> {
  const wire = await WireClient.open(`${stage.url}/socket.io/?EIO=${revision}&transport=websocket`);
  const handshake = JSON.parse(((await text(wire)) ?? "").slice(1));
  if (revision === 4) wire.send("40");
  const joined = await text(wire);
  return { wire, handshake, id: revision === 3 ? handshake.sid : JSON.parse((joined ?? "").slice(2)).sid };
}

/** The same, authenticated. */
async function member(revision: 3 | 4, person: Person, more: object = {}) {
  const opened = await open(revision);
  const { wire } = opened;
  wire.send(EVENT("auth", { token: person.token, workspaceId: workspace, ...more }));
  await until(wire, SUCCESS);
  return opened;
}

/** Lets time pass, in steps that recurring work and answers keep up with. */
async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 1_000) {
    stage.clock!.advance(Math.min(1_000, left));
    await stage.idle();
  }
}

describe("engine", () => {
  test("W-1.8 W-1.9 W-1.12 revision 3: connected unasked, the client pings, the socket id is the engine's", async () => {
    const { wire, handshake } = await open(3);
    expect(handshake).toMatchObject({ upgrades: [], pingInterval: 25_000, pingTimeout: 15_000 });
    expect(wire.frames[1]!.text).toBe("40");
    wire.send("2");
    expect(await text(wire)).toBe("3");
    wire.end();
  });

  test("W-1.8 W-1.9 W-1.12 revision 4: connected when it asks, the server pings, the ids differ", async () => {
    const wire = await WireClient.open(`${stage.url}/socket.io/?EIO=4&transport=websocket`);
    const handshake = JSON.parse(((await text(wire)) ?? "").slice(1));
    expect([handshake.pingInterval, handshake.pingTimeout, handshake.upgrades]).toEqual([25_000, 15_000, []]);
    wire.send("40");
    const joined = JSON.parse(((await text(wire)) ?? "").slice(2));
    expect(Object.keys(joined)).toEqual(["sid"]);
    expect(joined.sid).not.toBe(handshake.sid);
    wire.send(EVENT("auth", { token: alice.token, workspaceId: workspace }));
    await until(wire, SUCCESS);
    await pass(25_000);
    expect(await text(wire)).toBe("2");
    wire.end();
  });

  test("W-1.8 W-1.11 bodies of polling, with lengths in UTF-16 units or a separator", async () => {
    for (const revision of [3, 4] as const) {
      const base = `${stage.url}/socket.io/?EIO=${revision}&transport=polling`;
      const body = (packets: string[]) =>
        revision === 3 ? packets.map((packet) => `${packet.length}:${packet}`).join("") : packets.join("\x1e");
      const packets = (received: string) => {
        if (revision === 4) return received.split("\x1e");
        const found: string[] = [];
        for (let rest = received; rest !== ""; ) {
          const [, length = ""] = /^(\d+):/.exec(rest) ?? [];
          found.push(rest.slice(length.length + 1, length.length + 1 + Number(length)));
          rest = rest.slice(length.length + 1 + Number(length));
        }
        return found;
      };
      const first = packets(await (await fetch(base)).text());
      const { sid, upgrades } = JSON.parse(first[0]!.slice(1));
      expect(upgrades).toEqual(["websocket"]);
      const url = `${base}&sid=${sid}`;
      const received = first.slice(1);
      const told = async (start: string) => {
        while (!received.some((packet) => packet.startsWith(start))) {
          received.push(...packets(await (await fetch(url)).text()));
        }
        return received.find((packet) => packet.startsWith(start))!;
      };
      const send = (...sent: string[]) => fetch(url, { method: "POST", body: body(sent) });
      if (revision === 4) await send("40");
      const joined = await told("40");
      const id = revision === 3 ? sid : JSON.parse(joined.slice(2)).sid;
      await send(EVENT("auth", { token: bob.token, workspaceId: workspace }));
      await told(SUCCESS);
      await stage.must(stage.post(`/channels/${channel}/select?socketId=${id}`, bob, MEDIA));
      // Two in one body, of which the first has characters of two units.
      await send(EVENT("conversation-broadcast", "😀 ü"), EVENT("conversation-broadcast", "second"));
      expect(await told('42["conversation-broadcast","😀')).toBe('42["conversation-broadcast","😀 ü"]');
      expect(await told('42["conversation-broadcast","second"')).toBe('42["conversation-broadcast","second"]');
      await send(EVENT("logout", null));
    }
  });

  test("W-1.4 another namespace is refused by name, and the default one goes on", async () => {
    const old = await open(3);
    old.wire.send("40/other,");
    expect(await text(old.wire)).toBe(`44/other,"${INVALID}"`);
    const fresh = await open(4);
    fresh.wire.send("40/other,");
    expect(await text(fresh.wire)).toBe(`44/other,{"message":"${INVALID}"}`);
    for (const { wire } of [old, fresh]) {
      wire.send(EVENT("auth", { token: alice.token, workspaceId: workspace }));
      await until(wire, SUCCESS);
      wire.end();
    }
  });

  test("W-1.14 a silent socket is closed after interval and timeout; any packet is a sign of life", async () => {
    for (const revision of [3, 4] as const) {
      const { wire } = await member(revision, alice);
      // It answers no ping, but says something now and then.
      for (const pause of [30_000, 10_000, 10_000]) {
        await pass(pause);
        wire.send(EVENT("conversation-broadcast", "not even one that is taken"));
        await until(wire, FAILURE);
      }
      await pass(41_000);
      const rest = await wire.rest();
      expect(rest.filter(({ text, opcode }) => opcode !== CLOSE && text !== "2")).toEqual([]);
    }
  });
});

describe("closes", () => {
  /** What a socket is told last, with how it ends. */
  const last = async (wire: WireClient) => {
    const frames = await wire.rest();
    return frames.filter(({ opcode }) => opcode !== CLOSE).at(-1)?.text;
  };

  test("W-1.15 soft: no disconnect packet comes before the end", async () => {
    for (const revision of [3, 4] as const) {
      const { wire: late } = await open(revision);
      await pass(10_000);
      expect(await last(late)).toBe(EVENT("socket-api-error", { event: "auth", message: "Authentication timeout" }));

      for (const malformed of ["4", "42{", '42["auth"', "9", "45"]) {
        const { wire: bad } = await member(revision, alice);
        bad.send(malformed);
        expect(await last(bad)).not.toBe("41");
      }

      const { wire: old, id } = await member(revision, bob);
      const { wire: heir } = await member(revision, bob, { prevSocketId: id });
      expect(await last(old)).not.toBe("41");
      heir.end();
    }
  });

  test("W-1.16 final: a disconnect packet is the last word", async () => {
    for (const revision of [3, 4] as const) {
      const leaving = await member(revision, bob);
      leaving.wire.send(EVENT("logout", null));
      expect(await last(leaving.wire)).toBe("41");

      const carol = await stage.member(workspace, alice);
      const { wire: signed } = await member(revision, carol);
      await stage.must(stage.post("/signout", carol));
      expect(await last(signed)).toBe("41");

      const dan = await stage.member(workspace, alice);
      const { wire: kicked } = await member(revision, dan);
      await stage.must(stage.delete(`/workspaces/${workspace}/members/${dan.id}`, alice));
      expect(await last(kicked)).toBe("41");
    }
  });

  test("W-2.31 what waits for its turn is limited; more is abuse", async () => {
    const { wire } = await member(4, alice);
    wire.send(...Array.from({ length: 600 }, () => EVENT("auth", { token: alice.token, workspaceId: workspace })));
    expect(await last(wire)).toBe("41");
  });

  test("W-12.17 W-1.15 one who does not read is closed, softly, and has missed nothing before", async () => {
    const speaker = await stage.client(alice, workspace);
    const { wire, id } = await member(4, bob);
    await stage.must(stage.select(speaker, channel));
    await stage.must(stage.post(`/channels/${channel}/select?socketId=${id}`, bob, MEDIA));
    wire.pause();
    let said = 0;
    const lost = async () =>
      (await speaker.rest()).some(([, told]) => (told as Json)?.action === "socket-reconnecting");
    // The system's buffers take some of it.
    do {
      for (let burst = 0; burst < 50; burst++) {
        speaker.emit("conversation-broadcast", { action: "mini-chat", data: { n: said++, fill: "x".repeat(16_000) } });
      }
    } while (!(await lost()));
    wire.resume();
    const heard = (await wire.rest()).flatMap(({ text }) =>
      text.startsWith('42["conversation') ? [JSON.parse(text.slice(2))] : [],
    );
    expect(heard.length).toBeGreaterThan(60);
    expect(heard.map(([, { data }]) => data.n)).toEqual(heard.map((_, index) => index));
    expect(wire.frames.at(-1)!.text).not.toBe("41");
    await eventually(async () => (await stage.inside(channel, alice)).length === 2);
  });
});
