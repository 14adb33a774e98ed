import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Server } from "bun";
import { abuse } from "./abuse.ts";

// Thousands of connections take a while on a busy machine.
setDefaultTimeout(600_000);

let server: Server<undefined> | undefined;
afterEach(async () => {
  await server?.stop(true);
  server = undefined;
});

/** A small listener: JSON over POST, an echo over WebSocket. `flaw` makes it answer a good sample with a server error. */
function listen(flaw: "none" | "http" | "websocket") {
  let open = 0;
  let messages = 0;
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 30,
    async fetch(request, server) {
      if (request.headers.get("upgrade") === "websocket" && server.upgrade(request)) return undefined;
      const body = await request.text();
      if (flaw === "http" && body.includes("hello")) return new Response("oh", { status: 500 });
      return new Response("fine", { status: request.method === "POST" ? 200 : 404 });
    },
    websocket: {
      maxPayloadLength: 100_000,
      open() {
        open++;
      },
      message(ws, message) {
        messages++;
        if (flaw === "websocket" && String(message).includes("hello")) ws.close(1011, "oh");
        else ws.send(message);
      },
      close() {
        open--;
      },
    },
  });
  const target = {
    url: server.url.origin,
    paths: ["/", "/deep/path?with=query"],
    samples: ['{"say":"hello","to":[1,2]}'],
  };
  return { target, counts: () => ({ open, messages }) };
}

test("10,000 attacks: every kind is carried out, nothing is left open, an honest server has no fault", async () => {
  const { target, counts } = listen("none");
  const summary = await abuse(target, { seed: 11, count: 10_000 });
  expect(summary.faults).toEqual([]);
  for (const [kind, count] of Object.entries(summary.attacks)) expect([kind, count > 1_000]).toEqual([kind, true]);
  // Good and bad requests, upgrades, messages and broken frames all got through to what they are for.
  for (const status of ["101", "200", "400", "404"]) expect(summary.statuses[status] ?? 0).toBeGreaterThan(20);
  for (const code of ["1002", "1007", "1009"]) expect(summary.closes[code] ?? 0).toBeGreaterThan(5);
  expect(counts().messages).toBeGreaterThan(1_000);
  while (counts().open > 0) await Bun.sleep(5);
});

test("a server error over HTTP is a fault that names seed and attack, and comes again by them", async () => {
  const { target } = listen("http");
  const { faults } = await abuse(target, { seed: 12, count: 400 });
  expect(faults.length).toBeGreaterThan(5);
  // All but those that reset their connection, now before the answer.
  let again = 0;
  for (const fault of faults) {
    const [, number] = /^seed 12, attack (\d+) \((?:http|drip)\): answered 500$/.exec(fault) ?? [];
    const repeated = await abuse(target, { seed: 12, count: 400, only: Number(number) });
    expect([[], [fault]]).toContainEqual(repeated.faults);
    again += repeated.faults.length;
  }
  expect(again).toBeGreaterThan(0);
});

test("a close with 1011 is a fault", async () => {
  const { target } = listen("websocket");
  const { faults } = await abuse(target, { seed: 13, count: 400 });
  expect(faults.some((fault) => /^seed 13, attack \d+ \(websocket\): closed with 1011 oh$/.test(fault))).toBe(true);
});

test("a listener that is gone is told with the seed", async () => {
  const { target } = listen("none");
  await server?.stop(true);
  await expect(abuse(target, { seed: 14, count: 5 })).rejects.toThrow("seed 14");
});
