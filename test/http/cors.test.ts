import { expect, test } from "bun:test";
import { type CorsPolicy, corsHeaders, preflight } from "../../src/http/cors.ts";

const open: CorsPolicy = {
  origins: "*",
  methods: ["GET", "POST"],
  headers: "echo",
  credentials: true,
  wildcard: "literal",
  maxAge: 600,
  preflight: { status: 200, body: "OK" },
};
const listed: CorsPolicy = { ...open, origins: ["https://app.example"] };

const ask = (policy: CorsPolicy, origin?: string) =>
  preflight(
    policy,
    new Request("http://localhost/", {
      method: "OPTIONS",
      headers: { ...(origin === undefined ? {} : { origin }), "access-control-request-headers": "authorization" },
    }),
  );

test("a preflight echoes the origin and the headers asked for", async () => {
  for (const policy of [open, listed]) {
    const answer = ask(policy, "https://app.example");
    expect([answer.status, await answer.text()]).toEqual([200, "OK"]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "access-control-allow-origin": "https://app.example",
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization",
      "access-control-max-age": "600",
    });
  }
});

test("where origins are listed, nobody else gets a CORS header, nor does a caller without an origin", () => {
  for (const origin of ["https://evil.example", "null", undefined]) {
    for (const headers of [ask(listed, origin).headers, new Headers(corsHeaders(listed, origin ?? null))]) {
      expect([...headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
      expect(headers.get("vary")).toStartWith("Origin");
    }
  }
});

test("where all may pass, a caller without an origin is told so", () => {
  expect(ask(open).headers.get("access-control-allow-origin")).toBe("*");
  expect(corsHeaders(open, null)["access-control-allow-origin"]).toBe("*");
});
