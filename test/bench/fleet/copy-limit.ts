import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Vehicle } from "../../../src/protocols/fleet/cli/vehicle.ts";
import type { FleetServer } from "./server.ts";

const ROWS = 100_000;
const TRIES = 3;

/**
 * Rows a second that Postgres takes into `fleet.records` by one COPY, at best: what no way of storing single reports can
 * reach.
 */
export async function copyLimit(server: FleetServer): Promise<number> {
  let best = 0;
  for (let attempt = 0; attempt < TRIES; attempt++) best = Math.max(best, await copy(server, attempt));
  return best;
}

async function copy({ sql }: FleetServer, attempt: number): Promise<number> {
  const vehicle = new Vehicle(1);
  const now = Date.now();
  const lines = Array.from({ length: ROWS }, (_, row) => {
    const { rec } = vehicle.step(now, 1);
    const time = new Date(now + row).toISOString();
    const body = JSON.stringify({ ...rec, vid: 1, dmx: 0, cas: 3 });
    return `${9_000_000 + (row % 1000)}\t${time}\t${attempt}#${row}\t${row.toString(16).padStart(24, "0")}\t${time}\tf\t${body}\n`;
  });
  const started = performance.now();
  const into = await sql`copy fleet.records (uid, tmx, part, id, rmx, mission, body) from stdin`.writable();
  await pipeline(Readable.from(chunks(lines)), into);
  return ROWS / ((performance.now() - started) / 1000);
}

function* chunks(lines: readonly string[]): Generator<string> {
  for (let from = 0; from < lines.length; from += 500) yield lines.slice(from, from + 500).join("");
}
