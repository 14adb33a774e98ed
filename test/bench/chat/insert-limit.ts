import { join } from "node:path";
import type { StoredRoom } from "./database.ts";

/** Clients of pgbench: as many connections as postgres.js opens by itself. */
const CLIENTS = 10;

/**
 * Single-row inserts a second that this Postgres takes on the chat's table by pgbench: the limit of whatever inserts row
 * by row. NaN where there is no pgbench.
 */
export async function insertLimit(url: string, room: StoredRoom, folder: string, seconds: number): Promise<number> {
  if (Bun.which("pgbench") === null) return Number.NaN;
  const script = join(folder, "insert.sql");
  await Bun.write(
    script,
    `insert into chat.messages (room_id, sender_id, temp_id, message, created_at)
     values (${room.id}, '${room.participants[0]}', gen_random_uuid(), 'A message of the length that people write, 0000000', now());\n`,
  );
  const options = ["-n", "-M", "prepared", "-c", String(CLIENTS), "-j", "1", "-T", String(seconds), "-f", script];
  const child = Bun.spawn(["pgbench", ...options, url], { stdout: "pipe", stderr: "ignore" });
  return Number(/tps = ([\d.]+)/.exec(await child.stdout.text())?.[1]);
}
