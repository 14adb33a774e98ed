import { inArray, sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Fanout } from "../fanout.ts";
import { connectionFrame, recordsFrame } from "../frames.ts";
import { unitState } from "../tables.ts";
import type { ClientChannel } from "./session.ts";

/** How often a unit is read again at most, and milliseconds between: a store may be behind what it once had confirmed. */
const TRIES = 500;
const PAUSE = 20;

/** What a client that asks for it is told of its units before anything new (F-5.15). */
export class Snapshot {
  readonly #database: Database;
  readonly #fanout: Fanout;

  constructor({ database, fanout }: { database: Database; fanout: Fanout }) {
    this.#database = database;
    this.#fanout = fanout;
  }

  /** A unit of which the client has heard something newer than what was read of it is read again. */
  async send(channel: ClientChannel): Promise<void> {
    const rights = channel.session.login?.rights ?? new Map();
    let uids = [...rights].filter(([, { view }]) => view).map(([uid]) => uid);
    for (let attempt = 1; uids.length > 0 && channel.open; attempt++) {
      if (attempt > 1) await Bun.sleep(PAUSE);
      const rows = await this.#read(uids);
      uids = [];
      for (const { uid, version, connected, pndConnected, record } of rows) {
        if (this.#fanout.told(uid) > version && attempt < TRIES) uids.push(uid);
        else {
          if (connected) channel.send(connectionFrame(uid, "connection", 1));
          if (pndConnected) channel.send(connectionFrame(uid, "pnd-connection", 1));
          if (record !== null) channel.send(recordsFrame(uid, 0, record));
        }
      }
    }
  }

  #read(uids: readonly number[]) {
    return this.#database.orm
      .select({
        uid: unitState.uid,
        version: unitState.version,
        connected: unitState.connected,
        pndConnected: unitState.pndConnected,
        record: sql<string | null>`${unitState.record}::text`,
      })
      .from(unitState)
      .where(inArray(unitState.uid, [...uids]))
      .orderBy(unitState.uid);
  }
}
