import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { migrate } from "../../../src/database/migrate.ts";
import { openDatabase } from "../../../src/database/open.ts";
import { createLog } from "../../../src/observe/log.ts";
import type { Stores } from "../stores.ts";

/** A room that is in the database. */
export interface StoredRoom {
  readonly id: string;
  readonly participants: readonly string[];
}

/** A fresh database with the schema of the gateway and rooms of so many people. */
export async function chatDatabase(stores: Stores, rooms: number, members: number) {
  const url = await stores.database();
  const log = createLog({ level: "error", format: "json" });
  const database = await openDatabase({ databaseUrl: url, dataDir: "" }, { log });
  await migrate(database, log);
  await database.close();
  const sql = postgres(url, { max: 1 });
  const stored: StoredRoom[] = [];
  for (let room = 0; room < rooms; room++) {
    const participants = Array.from({ length: members }, () => randomUUID());
    const [row] = await sql<{ id: string }[]>`
      insert into chat.rooms (owner_id, participants, created_at)
      values (${participants[0]!}, ${participants}, now()) returning id`;
    stored.push({ id: row!.id, participants });
  }
  await sql.end();
  return { url, rooms: stored };
}
