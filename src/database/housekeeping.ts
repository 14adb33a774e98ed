import { sql } from "drizzle-orm";
import type { Orm } from "./database.ts";

/** Bytes of log after which a checkpoint is due: what the next start has to read again after a kill. */
const maxLogBytes = 64 * 1024 * 1024;

/** When tables are vacuumed, as autovacuum has it by default. */
const minRows = 50;
const deadShare = 0.2;
const changedShare = 0.1;

/** What was done; null where nothing was due. */
export interface Tidied {
  readonly checkpoint: boolean;
  readonly vacuumed: string | null;
}

/**
 * Does what a Postgres server does in the background and PGlite, having none, never does: without checkpoints its log
 * grows without end, without vacuum its tables do. Cleans one table a call, since everybody waits meanwhile.
 */
export async function tidy(orm: Orm, limits = { logBytes: maxLogBytes }): Promise<Tidied> {
  const [table] = await orm.execute<{ name: string }>(sql`
    select format('%I.%I', schemaname, relname) as name
    from pg_stat_user_tables
    where n_dead_tup > ${minRows} + ${deadShare}::real * n_live_tup
      or n_mod_since_analyze > ${minRows} + ${changedShare}::real * n_live_tup
    order by n_dead_tup desc limit 1`);
  if (table) await orm.execute(sql.raw(`vacuum (analyze) ${table.name}`));
  const [log] = await orm.execute<{ bytes: string }>(sql`
    select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn) as bytes from pg_control_checkpoint()`);
  const checkpoint = Number(log?.bytes) > limits.logBytes;
  if (checkpoint) await orm.execute("checkpoint");
  return { checkpoint, vacuumed: table?.name ?? null };
}
