import type { Destination } from "./client/wire-socket.ts";
import type { BenchServer } from "./server.ts";

/** A kind of server that takes part. */
export interface Contender {
  readonly name: string;
  /** `raw` speaks no Socket.IO and takes part where that does not matter. */
  readonly kind: "socket.io" | "raw";
  /** Starts a fresh server. With a Redis prefix it is a node of those that share it, otherwise it stands alone. */
  start(cluster?: string): Promise<BenchServer>;
  /** Where and as whom the user of this number connects. */
  destination(server: BenchServer, user: number): Destination;
  /** Names of so many rooms, each there for its members to join. */
  rooms(server: BenchServer, count: number): Promise<readonly string[]>;
  /** The frame that makes the server deliver `deliveryText(sender, number)` to the room. */
  move(room: string, sender: number, number: number): string;
}
