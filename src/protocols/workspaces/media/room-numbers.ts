import { and, eq } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Seal } from "../seal.ts";
import { randomRoom, randomToken } from "./random.ts";
import { readable } from "./readable.ts";
import { mediaRooms } from "./tables.ts";

/** The number of a channel's rooms, and their secret, plain. */
export interface RoomNumber {
  readonly room: number;
  readonly secret: string;
}

/** Room numbers and secrets, which stay with their channels (W-10.8). */
export class RoomNumbers {
  readonly #database: Database;
  readonly #seal: Seal;

  constructor(parts: { database: Database; seal: Seal }) {
    this.#database = parts.database;
    this.#seal = parts.seal;
  }

  /** Rejects with `DatabaseUnavailable`, or the driver's error when the channel is gone. */
  async of(channelId: string): Promise<RoomNumber> {
    const known = await this.#read(channelId);
    const [usable] = readable(known ? [known] : [], (row) => this.#plain(row));
    if (usable) return usable;
    const fresh = { room: randomRoom(), secret: this.#seal.seal(randomToken()) };
    if (known) {
      // Its key is no longer in WORKSPACES_SECRET_KEY. Of several that replace it one wins.
      const old = and(eq(mediaRooms.channelId, channelId), eq(mediaRooms.secret, known.secret));
      await this.#database.orm.update(mediaRooms).set(fresh).where(old);
    } else {
      await this.#database.orm
        .insert(mediaRooms)
        .values({ channelId, ...fresh })
        .onConflictDoNothing();
    }
    return this.#plain((await this.#read(channelId)) ?? fresh);
  }

  /** The secret sealed. */
  async #read(channelId: string): Promise<RoomNumber | undefined> {
    const [row] = await this.#database.orm.select().from(mediaRooms).where(eq(mediaRooms.channelId, channelId));
    return row;
  }

  #plain({ room, secret }: RoomNumber): RoomNumber {
    return { room, secret: this.#seal.open(secret) };
  }
}
