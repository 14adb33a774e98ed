import { tmpdir } from "node:os";
import postgres from "postgres";
import { migrate } from "../../../src/database/migrate.ts";
import { openDatabase } from "../../../src/database/open.ts";
import { rooms } from "../../../src/protocols/conversations/tables.ts";
import { quietLog } from "../../support/quiet-log.ts";
import type { Stores } from "../stores.ts";
import type { BenchRoom } from "./load.ts";

/** A database with the schema and so many rooms in it; gives its URL. */
export async function preparedDatabase(stores: Stores, benchRooms: readonly BenchRoom[]): Promise<string> {
  const databaseUrl = await stores.database();
  const database = await openDatabase({ databaseUrl, dataDir: tmpdir() }, { log: quietLog });
  await migrate(database, quietLog);
  const at = new Date();
  const info = { name: "Ann", avatar: null, phone_number: null, email: null };
  await database.orm.insert(rooms).values(
    benchRooms.map(({ id, buyer, seller }) => ({
      ...{ id, type: "BS", buyer, seller, shopId: "7", creator: buyer, buyerInfo: info, shop: {} },
      ...{ createdAt: at, updatedAt: at },
    })),
  );
  await database.close();
  return databaseUrl;
}

/**
 * Checkpoints that the Postgres server has begun so far. Each makes commits wait for the disk; whoever drops a database
 * on the same server asks for one.
 */
export async function checkpoints(databaseUrl: string): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1 });
  const [version] = await sql<{ number: number }[]>`select current_setting('server_version_num')::int as number`;
  const [row] =
    version!.number < 170_000
      ? await sql<Begun[]>`select (checkpoints_timed + checkpoints_req)::int as begun from pg_stat_bgwriter`
      : await sql<Begun[]>`select (num_timed + num_requested)::int as begun from pg_stat_checkpointer`;
  await sql.end();
  return row!.begun;
}

interface Begun {
  readonly begun: number;
}

/** One message of a random room, as the plain server stores it. */
const SCRIPT = `
\\set room random(0, ROOMS - 1)
begin;
insert into conversations.messages (id, room_id, sender, receiver, type, content, created_at, updated_at)
values (gen_random_uuid()::text, 'b' || :room || '.s' || :room, 'b' || :room, 's' || :room, 'TEXT',
  'message 123456 of the load', timestamp '2000-01-01' + random() * interval '20 years', now());
update conversations.rooms set last_created_at = now(), updated_at = now(), seller_unseen = seller_unseen + 1
where id = 'b' || :room || '.s' || :room;
commit;
`;

/** Transactions a second of pgbench on the same tables, row by row, with as many connections as the plain server. */
export async function pgbench(stores: Stores, benchRooms: readonly BenchRoom[], clients: number, seconds: number) {
  const program = Bun.which("pgbench");
  if (program === null) throw new Error("no pgbench on PATH");
  const url = await preparedDatabase(stores, benchRooms);
  const script = `${await stores.folder()}/script.sql`;
  await Bun.write(script, SCRIPT.replace("ROOMS", String(benchRooms.length)));
  const args = ["-n", "-M", "prepared", "-f", script, "-c", String(clients), "-T", String(Math.ceil(seconds)), url];
  const output = Bun.spawnSync([program, ...args]);
  const text = output.stdout.toString();
  const [, rate] = /tps = ([\d.]+)/.exec(text) ?? [];
  const [, latency] = /latency average = ([\d.]+)/.exec(text) ?? [];
  if (rate === undefined) throw new Error(`pgbench: ${output.stderr.toString().slice(0, 300)}`);
  return { max: Number(rate), p50: Number(latency) };
}
