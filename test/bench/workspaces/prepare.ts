import postgres from "postgres";
import { migrate } from "../../../src/database/migrate.ts";
import { openDatabase } from "../../../src/database/open.ts";
import { hashOf } from "../../../src/protocols/workspaces/seal.ts";
import { quietLog } from "../../support/quiet-log.ts";
import type { Stores } from "../stores.ts";

/** Somebody of the load. */
export interface BenchUser {
  readonly id: string;
  readonly token: string;
  readonly workspace: string;
  readonly channel: string;
}

/** A number as a uuid of version 4; the digit in front keeps people, workspaces and channels apart. */
const uuid = (kind: number, number: number) => `${kind}0000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

/** So many workspaces of so many people, each with one channel; everybody is logged in. */
export function cast(workspaces: number, members: number): BenchUser[] {
  return Array.from({ length: workspaces * members }, (_, index) => ({
    id: uuid(1, index),
    token: String(index).padStart(64, "0"),
    workspace: uuid(2, Math.floor(index / members)),
    channel: uuid(3, Math.floor(index / members)),
  }));
}

/** A fresh database that holds them; gives its URL. */
export async function preparedDatabase(stores: Stores, users: readonly BenchUser[]): Promise<string> {
  const databaseUrl = await stores.database();
  const database = await openDatabase({ databaseUrl, dataDir: await stores.folder() }, { log: quietLog });
  await migrate(database, quietLog);
  await database.close();
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const now = new Date();
  const later = new Date(now.getTime() + 86_400_000);
  const spaces = [...new Map(users.map((user) => [user.workspace, user])).values()];
  const insert = async (table: string, rows: Record<string, unknown>[]) => {
    for (let at = 0; at < rows.length; at += 1000)
      await sql`insert into ${sql(table)} ${sql(rows.slice(at, at + 1000))}`;
  };
  const times = { created_at: now, updated_at: now };
  await insert(
    "accounts.accounts",
    users.map(({ id }) => ({ id, username: id, name: "Some Body", password_hash: "", created_at: now })),
  );
  await insert(
    "workspaces.users",
    users.map(({ id }) => ({ id, ...times })),
  );
  await insert(
    "workspaces.sessions",
    users.map(({ id, token }) => ({
      id,
      user_id: id,
      access_hash: hashOf(token),
      access_expires_at: later,
      refresh_hash: id,
      refresh_expires_at: later,
      created_at: now,
    })),
  );
  await insert(
    "workspaces.workspaces",
    spaces.map(({ id, workspace }) => ({ id: workspace, name: "A workspace", creator_id: id, ...times })),
  );
  await insert(
    "workspaces.workspace_members",
    users.map(({ id, workspace }) => ({ workspace_id: workspace, user_id: id, role: "user", joined_at: now })),
  );
  await insert(
    "workspaces.channels",
    spaces.map(({ id, workspace, channel }) => ({
      id: channel,
      workspace_id: workspace,
      creator_id: id,
      name: "A channel",
      is_private: false,
      is_temporary: false,
      ...times,
    })),
  );
  await sql`analyze`;
  await sql.end();
  return databaseUrl;
}
