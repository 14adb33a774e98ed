import { anyText } from "./any-frame.ts";
import type { Random } from "./random.ts";

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "BREW"];
const types = [
  "application/json",
  "text/plain;charset=UTF-8",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/octet-stream",
  ";;;",
];
const detours = ["/", "//", "/../", "/./", "/%00", "/%2e%2e/%2e%2e/etc/passwd", "/%zz", "/\u00ff", "/a".repeat(2_000)];

/** The bytes of one HTTP request, about half of them well formed. */
export function anyRequest(random: Random, path: string, samples: readonly string[]): Buffer {
  const broken = random.chance(0.5);
  const method = broken && random.chance(0.2) ? random.text(5) : random.pick(methods);
  const version =
    broken && random.chance(0.2) ? random.pick(["HTTP/1.0", "HTTP/2.0", "HTTP/9", "ICY", ""]) : "HTTP/1.1";
  const body = anyBody(random, samples);
  const lines = [`${method} ${anyTarget(random, path, broken)} ${version}`.trimEnd()];
  if (!broken || random.chance(0.8)) lines.push("Host: test");
  if (random.chance(0.8)) lines.push(`Content-Type: ${random.pick(types)}`);
  if (random.chance(0.3)) lines.push(`Authorization: ${random.pick(["Bearer", "Basic", ""])} ${token(random)}`);
  if (random.chance(0.2)) lines.push(`Origin: ${random.pick(["null", "https://evil.example", "x".repeat(300)])}`);
  if (random.chance(0.2)) lines.push(`Connection: ${random.pick(["close", "keep-alive", "Upgrade", ","])}`);
  if (broken) lines.push(...brokenHeaders(random));
  const chunked = random.chance(0.2);
  if (chunked) lines.push("Transfer-Encoding: chunked");
  else lines.push(`Content-Length: ${broken && random.chance(0.3) ? anyLength(random) : body.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return Buffer.concat([head, chunked ? inChunks(random, body, broken) : body]);
}

/** The bytes of an upgrade request that a server should accept, or, now and then, should not. */
export function anyUpgrade(random: Random, path: string): Buffer {
  const lines = [`GET ${path} HTTP/1.1`, "Host: test", "Upgrade: websocket", "Connection: Upgrade"];
  if (random.chance(0.97)) lines.push(`Sec-WebSocket-Key: ${random.bytes(16).toString("base64")}`);
  lines.push(`Sec-WebSocket-Version: ${random.chance(0.97) ? 13 : random.below(20)}`);
  if (random.chance(0.1)) lines.push(`Sec-WebSocket-Protocol: ${token(random)}, ${token(random)}`);
  if (random.chance(0.1)) lines.push("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits");
  if (random.chance(0.2)) lines.push(`Authorization: Bearer ${token(random)}`);
  if (random.chance(0.1)) lines.push("Origin: https://evil.example");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function anyTarget(random: Random, path: string, broken: boolean): string {
  const query = random.chance(0.3) ? `${path.includes("?") ? "&" : "?"}${token(random)}=${token(random)}` : "";
  if (!broken || random.chance(0.6)) return path + query;
  return random.chance(0.5) ? path + random.pick(detours) + query : random.pick(["*", "", "http://other/x", "x y"]);
}

function anyBody(random: Random, samples: readonly string[]): Buffer {
  if (random.chance(0.3)) return Buffer.alloc(0);
  if (random.chance(0.3)) return random.bytes(random.below(500));
  return Buffer.from(anyText(random, samples));
}

function anyLength(random: Random): string {
  return random.pick(["-1", "1e3", "0x10", "99999999999999999999", "5, 6", " ", "3"]);
}

function brokenHeaders(random: Random): string[] {
  const headers = [];
  if (random.chance(0.3)) headers.push(`${random.text(5)}: ${random.text(20)}`);
  if (random.chance(0.2)) headers.push("no colon at all");
  if (random.chance(0.2)) headers.push("Content-Length: 3");
  if (random.chance(0.2)) headers.push(`X-Long: ${"x".repeat(random.below(40_000))}`);
  if (random.chance(0.2)) headers.push(...Array.from({ length: random.below(300) }, (_, i) => `X-${i}: y`));
  if (random.chance(0.2)) headers.push(`Cookie: ${token(random)}`, "X-Forwarded-For: 999.1.1.1, ::1, nobody");
  return headers;
}

function inChunks(random: Random, body: Buffer, broken: boolean): Buffer {
  const size =
    broken && random.chance(0.4) ? random.pick(["zz", "-1", "ffffffffffffffff", ""]) : body.length.toString(16);
  if (body.length === 0) return Buffer.from("0\r\n\r\n");
  return Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(broken ? "\r\n" : "\r\n0\r\n\r\n")]);
}

function token(random: Random): string {
  return random.bytes(1 + random.below(40)).toString(random.pick(["hex", "base64url"]));
}
