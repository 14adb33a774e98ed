import { expect, test } from "bun:test";
import { defineErrors } from "../../src/errors.ts";
import { notTaken, restApp } from "../../src/gateway/rest.ts";
import type { CorsPolicy } from "../../src/http/cors.ts";
import type { RestSurface } from "../../src/http/routes.ts";
import { createLog } from "../../src/observe/log.ts";

const errors = defineErrors({ teapot: { text: "I am a teapot", status: 418, comeBack: false } });
const cors: CorsPolicy = {
  origins: ["https://app.example"],
  methods: ["GET", "POST"],
  headers: "echo",
  credentials: true,
  wildcard: "literal",
  maxAge: 600,
  preflight: { status: 200, body: "OK" },
};
const kettle: RestSurface = {
  cors,
  routes: [
    { method: "GET", path: "/kettle/:id{[0-9]+}", handler: (context) => context.json({ id: context.req.param("id") }) },
    {
      method: "POST",
      path: "/kettle",
      handler() {
        throw errors.fault("teapot");
      },
    },
  ],
  onError: (error, context) =>
    errors.owns(error)
      ? context.json({ error: error.row.text }, error.row.status as 418)
      : context.json({ error: "broken" }, 500),
  onWrongMethod: (context) => context.json({ error: "wrong method" }, 405),
};
const log = createLog({ level: "fatal", format: "json" });
const app = restApp([{ surface: kettle, log }], (surface) => surface.routes);
const ask = (path: string, init?: RequestInit) =>
  app.fetch(new Request(`http://localhost${path}`, init), { address: "203.0.113.1", secure: false });

test("both spellings of a path give the same answer without a redirect", async () => {
  for (const path of ["/kettle/7", "/kettle/7/"]) {
    const response = await ask(path);
    expect([response.status, await response.json()]).toEqual([200, { id: "7" }]);
  }
});

test("a path that no protocol takes is told apart from a 404 of a protocol", async () => {
  expect(notTaken(await ask("/kettle/x"))).toBe(true);
  expect(notTaken(await ask("/elsewhere"))).toBe(true);
  expect(notTaken(await ask("/kettle/7"))).toBe(false);
});

test("a path under a prefix that is a protocol's own gets that protocol's 404, its routes what they always get", async () => {
  const unknown = { under: ["/kettle"], answer: () => Response.json({ error: "no such kettle" }, { status: 404 }) };
  const app = restApp([{ surface: { ...kettle, unknown }, log }], (surface) => surface.routes);
  const ask = async (path: string, init?: RequestInit) =>
    await app.fetch(new Request(`http://localhost${path}`, init), { address: "203.0.113.1", secure: false });
  for (const path of ["/kettle/x", "/kettle/x/", "/kettle/7/lid"]) {
    const response = await ask(path, { method: "PUT", headers: { origin: "https://app.example" } });
    expect([response.status, notTaken(response), await response.json()]).toEqual([
      404,
      false,
      { error: "no such kettle" },
    ]);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://app.example");
  }
  expect((await ask("/kettle/7")).status).toBe(200);
  expect((await ask("/kettle/7", { method: "PUT" })).status).toBe(405);
  expect(notTaken(await ask("/kettles"))).toBe(true);
});

test("a wrong method names the right ones in the protocol's own shape", async () => {
  const response = await ask("/kettle", { method: "DELETE" });
  expect([response.status, response.headers.get("allow"), await response.json()]).toEqual([
    405,
    "POST, OPTIONS",
    { error: "wrong method" },
  ]);
  expect((await ask("/kettle/7", { method: "PUT" })).headers.get("allow")).toBe("GET, HEAD, OPTIONS");
});

test("HEAD is answered like GET, but not where a GET changes something", async () => {
  let poured = 0;
  const handler = () => {
    poured++;
    return Response.json({ poured });
  };
  const pour = { method: "GET", path: "/pour", unsafe: true, handler } as const;
  const app = restApp([{ surface: { ...kettle, routes: [...kettle.routes, pour] }, log }], ({ routes }) => routes);
  const ask = async (method: string, path: string) =>
    await app.fetch(new Request(`http://localhost${path}`, { method }), { address: "203.0.113.1", secure: false });
  const seen = await ask("HEAD", "/kettle/7");
  expect([seen.status, await seen.text()]).toEqual([200, ""]);
  const length = (await (await ask("GET", "/kettle/7")).bytes()).length;
  expect([length > 0, seen.headers.get("content-length")]).toEqual([true, String(length)]);
  const refused = await ask("HEAD", "/pour");
  expect([refused.status, refused.headers.get("allow"), poured]).toEqual([405, "GET, OPTIONS", 0]);
  expect([(await ask("GET", "/pour")).status, poured]).toEqual([200, 1]);
});

test("a thrown fault becomes the protocol's error", async () => {
  const response = await ask("/kettle", { method: "POST" });
  expect([response.status, await response.json()]).toEqual([418, { error: "I am a teapot" }]);
});

test("CORS follows the protocol's policy on answers, errors and preflights", async () => {
  const listed = await ask("/kettle/7", { headers: { origin: "https://app.example" } });
  expect(listed.headers.get("access-control-allow-origin")).toBe("https://app.example");
  expect(listed.headers.get("vary")).toBe("Origin");
  const stranger = await ask("/kettle", { method: "POST", headers: { origin: "https://evil.example" } });
  expect(stranger.headers.get("access-control-allow-origin")).toBeNull();
  const preflight = await ask("/kettle", {
    method: "OPTIONS",
    headers: { origin: "https://app.example", "access-control-request-headers": "authorization" },
  });
  expect([preflight.status, await preflight.text(), preflight.headers.get("access-control-allow-headers")]).toEqual([
    200,
    "OK",
    "authorization",
  ]);
  expect(preflight.headers.get("access-control-max-age")).toBe("600");
});
