import { inArray, sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import { connectionFrame, recordsFrame } from "../frames.ts";
import { unitState } from "../tables.ts";
import type { ClientChannel } from "./session.ts";

/** What a client that asks for it is told of its units before anything new (F-5.15). */
export class Snapshot {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async send(channel: ClientChannel): Promise<void> {
    const rights = channel.session.login?.rights ?? new Map();
    const uids = [...rights].filter(([, { view }]) => view).map(([uid]) => uid);
    if (uids.length === 0) return;
    const rows = await this.#database.orm
      .select({
        uid: unitState.uid,
        connected: unitState.connected,
        pndConnected: unitState.pndConnected,
        record: sql<string | null>`${unitState.record}::text`,
      })
      .from(unitState)
      .where(inArray(unitState.uid, uids))
      .orderBy(unitState.uid);
    for (const { uid, connected, pndConnected, record } of rows) {
      if (connected) channel.send(connectionFrame(uid, "connection", 1));
      if (pndConnected) channel.send(connectionFrame(uid, "pnd-connection", 1));
      if (record !== null) channel.send(recordsFrame(uid, 0, record));
    }
  }
}
