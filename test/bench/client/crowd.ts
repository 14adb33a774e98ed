import { LoadSocket } from "./socket.ts";
import { Tally } from "./tally.ts";
import type { Destination } from "./wire-socket.ts";

/** Sockets that may be opening, joining or closing at the same time. */
const CONCURRENCY = 64;

/** Many sockets that share one tally. */
export class Crowd {
  readonly tally = new Tally();
  readonly sockets: LoadSocket[] = [];

  /** Opens more sockets, each to where `destination` sends it by its number. */
  async open(count: number, destination: (socket: number) => Destination): Promise<void> {
    const first = this.sockets.length;
    await sideBySide(count, async (offset) => {
      const socket = new LoadSocket(this.tally, destination(first + offset));
      this.sockets[first + offset] = socket;
      await socket.open();
    });
  }

  /** Puts the sockets into rooms: as many one after the other into each room as it has members. */
  async join(rooms: readonly string[], members: number): Promise<void> {
    await sideBySide(rooms.length * members, (index) => {
      const room = Math.floor(index / members);
      return this.sockets[index]!.join(room, rooms[room]!);
    });
  }

  /** Waits until the server has closed every socket; the close codes it gave, and how often. */
  async sentAway(): Promise<ReadonlyMap<number, number>> {
    const codes = new Map<number, number>();
    for (const code of await Promise.all(this.sockets.map((socket) => socket.sentAway()))) {
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    this.sockets.length = 0;
    return codes;
  }

  /** Closes all sockets and reads them to their end. */
  async close(): Promise<void> {
    await sideBySide(this.sockets.length, (index) => this.sockets[index]!.close());
    this.sockets.length = 0;
  }
}

/** Runs `task` for 0 to `count - 1`, a limited number at a time; throws what the first failing one throws. */
async function sideBySide(count: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, count) }, lane));
}
