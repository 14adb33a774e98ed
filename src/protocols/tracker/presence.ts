import * as v from "valibot";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Log } from "../../observe/log.ts";
import type { User } from "./identity.ts";
import { type RoomName, RoomNames } from "./resumption.ts";
import type { Session } from "./session.ts";

/** All admitted sockets of all nodes, by account. */
const SET = "tracker:sockets";

/** A socket that ended with its node. */
export interface LostSocket {
  readonly account: string;
  readonly connection: string;
  readonly username: string;
  readonly rooms: readonly RoomName[];
}

/** What the presence keeps of a socket, so that other nodes can take leave of it when its node dies. */
const Data = v.pipe(v.string(), v.parseJson(), v.object({ username: v.string(), rooms: RoomNames }));

/** Which sockets are connected anywhere, and where they are members. */
export class Presence {
  readonly #backplane: Backplane;
  readonly #log: Log;
  /** Sockets an account may have over all nodes. */
  readonly #limit: number;

  constructor(parts: { backplane: Backplane; log: Log }, limit: number) {
    this.#backplane = parts.backplane;
    this.#log = parts.log;
    this.#limit = limit;
  }

  /** Adds a socket; false when the account has as many as it may. */
  async enter({ account, username }: User, connection: string): Promise<boolean> {
    const options = { data: data(username, []), limit: this.#limit };
    return (await this.#backplane.presence.join(SET, account, connection, options)).admitted;
  }

  /** Brings the rooms of a socket up to date. */
  update({ user, connection, rooms }: Session): void {
    const options = { data: data(user.username, Array.from(rooms.values(), roomName)) };
    this.#backplane.presence.join(SET, user.account, connection, options).catch(this.#report);
  }

  leave({ user, connection }: Session): void {
    this.#backplane.presence.leave(SET, user.account, connection).catch(this.#report);
  }

  /** Calls on one living node for each socket that ended with its node; until the returned function is called. */
  onLost(listener: (lost: LostSocket) => void): () => void {
    return this.#backplane.presence.onLost((set, lost) => {
      if (set !== SET) return;
      const parsed = v.safeParse(Data, lost.data);
      if (parsed.success) listener({ account: lost.member, connection: lost.connection, ...parsed.output });
    });
  }

  readonly #report = (error: unknown): void => this.#log.warn({ error }, "presence not updated");
}

/** A membership as it is named outside this process. */
export const roomName = ({ pin, instance }: { pin: string; instance: string }): RoomName => [pin, instance];

const data = (username: string, rooms: readonly RoomName[]) => JSON.stringify({ username, rooms });
