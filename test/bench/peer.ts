import { join } from "node:path";
import { deliveryText, moveText } from "./client/frames.ts";
import type { Contender } from "./contender.ts";
import { BenchServer } from "./server.ts";
import type { Stores } from "./stores.ts";

/** Name of the contender that the others are compared with. */
export const FLOOR = "Bun raw publish (floor)";

/** Folder of the peers, which have packages of their own. */
export const peersFolder = join(import.meta.dir, "peers");

/** Node needs the flag so that the control line can ask for a collection. */
const RUNTIMES = { bun: [process.execPath], node: ["node", "--expose-gc"] };

/** A server of the peers' folder. */
export function peer(
  stores: Stores,
  { name, kind, runtime, file }: Pick<Contender, "name" | "kind"> & { runtime: keyof typeof RUNTIMES; file: string },
): Contender {
  return {
    name,
    kind,
    start: (cluster) =>
      BenchServer.start({
        command: [...RUNTIMES[runtime], join(peersFolder, file)],
        env: {
          NODE_ENV: "production",
          ...(cluster === undefined ? {} : { REDIS_URL: stores.redisUrl, KEY_PREFIX: cluster }),
        },
      }),
    destination: ({ port }) => ({ port, path: "/socket.io/?EIO=4&transport=websocket" }),
    rooms: async (_server, count) => Array.from({ length: count }, (_, index) => String(100_000 + index)),
    move: kind === "raw" ? (_room, sender, number) => deliveryText(sender, number) : moveText,
  };
}
