import { type Destination, LoadSocket } from "./socket.ts";
import { Tally } from "./tally.ts";

/** Sockets that may be opening or joining at the same time. */
const CONCURRENCY = 64;

/** Many sockets that share one tally. */
export class Crowd {
  readonly tally = new Tally();
  readonly sockets: LoadSocket[] = [];

  /** Opens sockets, spread evenly over the nodes; `destinations` has one entry a node. */
  async open(count: number, destinations: readonly ((socket: number) => Destination)[]): Promise<void> {
    const first = this.sockets.length;
    await sideBySide(count, async (offset) => {
      const index = first + offset;
      const target = index % destinations.length;
      const socket = new LoadSocket(this.tally, target);
      this.sockets[index] = socket;
      await socket.open(destinations[target]!(index));
    });
  }

  /** Puts the sockets into rooms: as many one after the other into each room as it has members. */
  async join(rooms: readonly string[], members: number): Promise<void> {
    await sideBySide(rooms.length * members, (index) => {
      const room = Math.floor(index / members);
      return this.sockets[index]!.join(room, rooms[room]!);
    });
  }

  /** Closes all sockets and reads them to their end. */
  async close(): Promise<void> {
    const { sockets } = this;
    await sideBySide(sockets.length, (index) => sockets[index]!.close());
    sockets.length = 0;
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
