import type { Random } from "./random.ts";
import { BINARY, CLOSE, frameBytes, PING, PONG, TEXT } from "./wire.ts";

/** Values that programs are not prepared for, as they stand in JSON. */
const unexpected = [
  "null",
  "true",
  "-1",
  "0",
  "1.5",
  "1e999",
  "9007199254740993",
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"__proto__"',
  '"constructor"',
  "[]",
  "{}",
  '{"__proto__":{"polluted":true}}',
  `${"[".repeat(200)}${"]".repeat(200)}`,
  `"${"long ".repeat(2_000)}"`,
];

/** Text for a message: a sample with something wrong in it, a sample as it is, or anything at all. */
export function anyText(random: Random, samples: readonly string[]): string {
  if (samples.length === 0 || random.chance(0.2)) return random.text(random.below(200));
  const sample = random.pick(samples);
  const at = random.below(sample.length + 1);
  const kind = random.below(6);
  if (kind === 0) return sample;
  if (kind === 1) return sample.slice(0, at);
  if (kind === 2) return sample.slice(0, at) + random.text(1 + random.below(5)) + sample.slice(at);
  if (kind === 3) return sample + random.pick(samples);
  // One value of the message is another one, or several are.
  const share = kind === 4 ? 0.2 : 0.6;
  return sample.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/g, (value) =>
    random.chance(share) ? random.pick(unexpected) : value,
  );
}

/** One WebSocket frame or fragmented message as a client sends it: mostly good, sometimes against the protocol. */
export function anyFrame(random: Random, samples: readonly string[] = []): Buffer {
  const kind = random.below(100);
  if (kind < 50) return frameBytes(TEXT, anyText(random, samples));
  if (kind < 65) return frameBytes(BINARY, random.bytes(random.below(500)));
  if (kind < 70) return frameBytes(random.pick([TEXT, BINARY]), "y".repeat(random.pick([20_001, 70_000, 200_000])));
  if (kind < 80) return frameBytes(random.pick([PING, PONG]), random.bytes(random.below(126)));
  if (kind < 88) {
    const parts = Array.from({ length: random.below(20) }, () => frameBytes(0, "part", { fin: false }));
    return Buffer.concat([frameBytes(TEXT, "start", { fin: false }), ...parts, frameBytes(0, "end")]);
  }
  if (kind < 91) return frameBytes(CLOSE, random.bytes(random.below(20)));
  if (kind < 94) return frameBytes(random.below(16), random.bytes(random.below(20)), { fin: random.chance(0.5) });
  if (kind < 96) return frameBytes(TEXT, random.bytes(20));
  if (kind < 98) return frameBytes(TEXT, "x", { reserved: random.below(8), masked: random.chance(0.5) });
  return random.bytes(random.below(50));
}
