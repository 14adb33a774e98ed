import { connect, type Socket } from "node:net";
import { anyFrame } from "./any-frame.ts";
import { anyRequest, anyUpgrade } from "./any-request.ts";
import { Random } from "./random.ts";
import { CLOSE, readFrames } from "./wire.ts";

/** What is attacked. */
export interface AbuseTarget {
  /** Origin of the listener, `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Paths with whatever query opens the door: `/`, `/rooms`, `/sio/?EIO=4&transport=websocket`. */
  readonly paths: readonly string[];
  /** Good messages and bodies of the protocol: attacks are made from them by breaking something. */
  readonly samples?: readonly string[];
}

export interface AbuseOptions {
  /** The same seed makes the same attacks. */
  readonly seed: number;
  /** Number of attacks; 10,000 take some seconds. */
  readonly count: number;
  /** Repeats only the attack of this number. */
  readonly only?: number;
}

const kinds = ["http", "websocket", "half-open", "garbage", "drip"] as const;
type Kind = (typeof kinds)[number];

/** What was done and what came of it. */
export interface AbuseSummary {
  readonly seed: number;
  readonly attacks: Record<Kind, number>;
  /** HTTP answers by status; 101 is an upgrade. */
  readonly statuses: Record<string, number>;
  /** Close frames of the server by code. */
  readonly closes: Record<string, number>;
  /**
   * What no input may provoke: a server error (500, 502, 504, close 1011) or a refused connection. Each says with which
   * seed and number it comes again.
   */
  readonly faults: string[];
}

/** One attack: what is written, piece by piece, and how it ends. */
interface Attack {
  readonly kind: Kind;
  readonly pieces: readonly Buffer[];
  /** Wait for what the server says; end politely; reset; or stay connected and silent. */
  readonly ending: "listen" | "end" | "reset" | "hold";
}

/** Attacks under way at once, connections that are held open at once. */
const CONCURRENCY = 64;
const HELD = 200;
/**
 * Looks at a silent connection, 2 ms apart, until its answer counts as complete. Looks and not milliseconds, because a
 * process that stood still for some of them has not read what came meanwhile.
 */
const LOOKS = 8;

/**
 * Attacks a listener with random HTTP requests, random WebSocket frames, half-open connections, garbage and requests
 * that come byte by byte. Resolves with what happened; rejects, naming the seed, when the listener does not answer an
 * ordinary request afterwards.
 */
export async function abuse(target: AbuseTarget, options: AbuseOptions): Promise<AbuseSummary> {
  const { seed, count, only } = options;
  const attacks = { http: 0, websocket: 0, "half-open": 0, garbage: 0, drip: 0 };
  const summary: AbuseSummary = { seed, attacks, statuses: {}, closes: {}, faults: [] };
  const held: Socket[] = [];
  let next = only ?? 0;
  const end = only === undefined ? count : only + 1;
  const attacker = async (): Promise<void> => {
    while (next < end) {
      const number = next++;
      const attack = anyAttack(new Random(Math.imul(seed, 0x9e3779b1) + number), target);
      summary.attacks[attack.kind]++;
      const answer = await carryOut(target, attack, held);
      for (const fault of judge(answer, summary)) {
        summary.faults.push(`seed ${seed}, attack ${number} (${attack.kind}): ${fault}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, attacker));
  for (const socket of held) socket.resetAndDestroy();
  try {
    await (await fetch(target.url, { signal: AbortSignal.timeout(20_000) })).arrayBuffer();
  } catch (cause) {
    throw new Error(`${target.url} does not answer any more after abuse with seed ${seed}`, { cause });
  }
  return summary;
}

function anyAttack(random: Random, target: AbuseTarget): Attack {
  const samples = target.samples ?? [];
  const path = random.pick(target.paths);
  const kind = random.pick(kinds);
  const ending = random.pick(["listen", "listen", "end", "reset"] as const);
  switch (kind) {
    case "http":
      return { kind, pieces: [anyRequest(random, path, samples)], ending };
    case "websocket": {
      const frames = Array.from({ length: random.below(20) }, () => anyFrame(random, samples));
      return { kind, pieces: [anyUpgrade(random, path), ...frames], ending };
    }
    case "half-open": {
      const whole = random.chance(0.5) ? anyUpgrade(random, path) : anyRequest(random, path, samples);
      const pieces = random.chance(0.3) ? [] : [whole.subarray(0, random.below(whole.length + 1))];
      return { kind, pieces, ending: "hold" };
    }
    case "garbage": {
      // Bare noise, and the greetings of other protocols that knock at every open port.
      const greeting = random.pick([Buffer.from([0x16, 3, 1, 2, 0, 1]), Buffer.from("SSH-2.0-x\r\n"), Buffer.alloc(0)]);
      return { kind, pieces: [greeting, random.bytes(random.below(2_000))], ending };
    }
    case "drip": {
      const whole = random.chance(0.5) ? anyUpgrade(random, path) : anyRequest(random, path, samples);
      const pieces = Array.from({ length: Math.min(40, whole.length) }, (_, i) => whole.subarray(i, i + 1));
      return { kind, pieces: [...pieces, whole.subarray(pieces.length)], ending };
    }
  }
}

/** Carries an attack out; resolves with what the server said, or the error that kept the connection from being made. */
async function carryOut(target: AbuseTarget, attack: Attack, held: Socket[]): Promise<Buffer | Error> {
  const { hostname, port } = new URL(target.url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const said: Buffer[] = [];
  let closed = false;
  let looks = 0;
  socket.on("data", (data: Buffer) => {
    said.push(data);
    looks = 0;
  });
  const failure = await new Promise<Error | null>((resolve) => {
    socket.once("connect", () => resolve(null));
    socket.once("error", resolve);
  });
  if (failure) return failure;
  // Resets are what this is about.
  socket.on("error", () => {});
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      closed = true;
    });
  }
  for (const piece of attack.pieces) {
    if (closed) break;
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (attack.ending === "hold") {
    held.push(socket);
    if (held.length > HELD) held.shift()?.resetAndDestroy();
    return Buffer.concat(said);
  }
  if (attack.ending === "end") socket.end();
  if (attack.ending !== "reset") {
    for (looks = 0; !closed && looks < LOOKS; looks++) await Bun.sleep(2);
  }
  socket.resetAndDestroy();
  return Buffer.concat(said);
}

/** Counts an answer; returns what is wrong with it. */
function judge(answer: Buffer | Error, summary: AbuseSummary): string[] {
  if (answer instanceof Error) return [`cannot connect: ${answer.message}`];
  const status = /^HTTP\/1\.\d (\d{3})/.exec(answer.toString("latin1", 0, 20))?.[1];
  if (status === undefined) return [];
  summary.statuses[status] = (summary.statuses[status] ?? 0) + 1;
  if (status !== "101") return ["500", "502", "504"].includes(status) ? [`answered ${status}`] : [];
  const frames = readFrames(answer.subarray(answer.indexOf("\r\n\r\n") + 4)).frames;
  const close = frames.find((frame) => frame.opcode === CLOSE);
  if (!close) return [];
  summary.closes[close.code] = (summary.closes[close.code] ?? 0) + 1;
  return close.code === 1011 ? [`closed with 1011 ${close.text}`] : [];
}
