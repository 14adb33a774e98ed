import type { Log } from "../../observe/log.ts";
import { isOutage } from "./errors.ts";
import type { ActiveUsers } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { Presence } from "./presence.ts";
import type { RoomList } from "./room-list.ts";
import { otherSide, personOn, type RoomName, type Side, sideOf } from "./room-name.ts";

const SIDES = ["BUYER", "SELLER"] as const;

/** What could not be told while the store was away. Plain data: it outlives a reload of the code. */
export interface Untold {
  /** Whether a user has come or gone. */
  readonly changes: Map<string, boolean>;
  /** Sides of users whose sockets have had no list of active users. */
  readonly lists: Map<string, Set<Side>>;
}

export const nothingUntold = (): Untold => ({ changes: new Map(), lists: new Map() });

/** Tells people who of those they share a room with is online. */
export class Companions {
  readonly #parts: {
    readonly list: RoomList;
    readonly presence: Presence;
    readonly notices: Notices;
    readonly log: Log;
  };
  readonly #untold: Untold;
  readonly #stop: (() => void)[];
  /** Announcements under way. */
  readonly #announcing = new Set<Promise<void>>();

  constructor(parts: { list: RoomList; presence: Presence; notices: Notices; log: Log }, untold: Untold) {
    this.#parts = parts;
    this.#untold = untold;
    this.#stop = [
      parts.presence.onGone((user) => void this.announce(user, false)),
      parts.presence.onBack((user) => void this.announce(user, true)),
    ];
  }

  /** Who of a user's peers on a side is online (V-5.8). */
  async activeUsers(user: string, side: Side): Promise<ActiveUsers> {
    const { list, presence } = this.#parts;
    const rooms = await list.visible(user, [side]);
    const peerOf = (room: RoomName) => personOn(room, otherSide(side));
    const online = await presence.online(rooms.map(peerOf));
    return {
      user_id: user,
      user_role: side,
      rooms: rooms.map((room) => ({ room_id: room.id, status: online.has(peerOf(room)) })),
    };
  }

  /** V-5.8, V-10.7: to all sockets of a user, when the store is back if it is away; not sent when there are no rooms. */
  async sendActiveUsers(user: string, side: Side): Promise<void> {
    this.#untold.lists.get(user)?.delete(side);
    try {
      const list = await this.activeUsers(user, side);
      if (list.rooms.length > 0) this.#parts.notices.activeUsers(list);
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#parts.log.warn({ user, error }, "the list of active users waits");
      this.#untold.lists.set(user, (this.#untold.lists.get(user) ?? new Set()).add(side));
    }
  }

  /** V-5.9: a user has come or gone. Never rejects: what cannot be told now is told when the store is back. */
  announce(user: string, status: boolean): Promise<void> {
    this.#untold.changes.delete(user);
    const announcing = this.#announce(user, status)
      .catch((error) => {
        if (!isOutage(error)) return this.#parts.log.error({ error, user }, "change of presence not announced");
        this.#parts.log.warn({ user, status }, "a change of presence waits");
        this.#untold.changes.set(user, status);
      })
      .finally(() => this.#announcing.delete(announcing));
    this.#announcing.add(announcing);
    return announcing;
  }

  /** Tells what an outage kept back, unless it is true no more. To be called again and again. */
  async catchUp(): Promise<void> {
    const { changes, lists } = this.#untold;
    for (const [user, status] of [...changes]) {
      changes.delete(user);
      const online = await this.#parts.presence.online([user]);
      if (online.has(user) === status) await this.announce(user, status);
      if (changes.has(user)) return;
    }
    for (const [user, sides] of [...lists]) {
      lists.delete(user);
      for (const side of sides) await this.sendActiveUsers(user, side);
      if (lists.has(user)) return;
    }
  }

  /** Tells one person that the other side of a room is there, if both are (V-5.14, V-10.4). */
  async introduce(room: RoomName, receiver: Side, about: Side): Promise<void> {
    const people = [personOn(room, "BUYER"), personOn(room, "SELLER")];
    const online = await this.#parts.presence.online(people);
    if (people.every((person) => online.has(person))) this.#tell(room, receiver, about, true);
  }

  /** Waits for announcements under way. */
  async close(): Promise<void> {
    for (const stop of this.#stop) stop();
    await Promise.all(this.#announcing);
  }

  async #announce(user: string, status: boolean): Promise<void> {
    const { list, presence } = this.#parts;
    const rooms = await list.visible(user, SIDES);
    const peerOf = (room: RoomName) => personOn(room, otherSide(sideOf(room, user)!));
    const online = await presence.online(rooms.map(peerOf));
    for (const room of rooms) {
      const side = sideOf(room, user)!;
      if (online.has(peerOf(room))) this.#tell(room, otherSide(side), side, status);
    }
  }

  #tell(room: RoomName, receiver: Side, about: Side, status: boolean): void {
    const change = { user_id: personOn(room, about), user_role: about, room_id: room.id, status };
    this.#parts.notices.status(personOn(room, receiver), change);
  }
}
