import { join } from "node:path";
import * as v from "valibot";
import { deliveryText, moveText } from "../client/frames.ts";
import type { Contender } from "../contender.ts";
import { BenchServer } from "../server.ts";
import type { Stores } from "../stores.ts";
import { bearer, SECRET } from "./tokens.ts";

/** Limits that a load from one address and a room of a thousand would otherwise meet; all checks stay on. */
const LIMITS = {
  ACCEPT_RATE: "0",
  MAX_CONNECTIONS_PER_ADDRESS: "0",
  TRACKER_EVENT_RATE: "1000000",
  TRACKER_EVENT_BURST: "1000000",
};

/** Starts a node; all nodes of a run use one database. */
async function start(stores: Stores, cluster: string | undefined): Promise<BenchServer> {
  return BenchServer.start({
    command: [process.execPath, join(import.meta.dir, "server.ts")],
    env: {
      NODE_ENV: "production",
      HOST: "127.0.0.1",
      PORT: "0",
      INTERNAL_PORT: "0",
      PROTOCOLS: "tracker,bench",
      LOG_LEVEL: "error",
      DATABASE_URL: stores.databaseUrl,
      DATA_DIR: await stores.folder(),
      TRACKER_JWT_SECRET: SECRET,
      TRACKER_REFRESH_SECRET: `${SECRET}, refreshed`,
      ...(cluster === undefined ? {} : { REDIS_URL: stores.redisUrl, KEY_PREFIX: cluster }),
      ...LIMITS,
    },
  });
}

const Pin = v.object({ room_id: v.string() });

/** patchbay's tracker protocol: every socket a user with a token of his own, every room a PIN made for it. */
export const patchbay = (stores: Stores): Contender => ({
  name: "patchbay (tracker)",
  kind: "socket.io",
  start: (cluster) => start(stores, cluster),
  destination: ({ port }, user) => ({
    port,
    path: "/track-sio/sio/?EIO=4&transport=websocket",
    headers: { authorization: bearer(user) },
  }),
  // Each PIN by a user of its own, because one user may only ask for one a second.
  rooms: ({ port }, count) =>
    Promise.all(
      Array.from({ length: count }, async (_, user) => {
        const answer = await fetch(`http://127.0.0.1:${port}/track/generate-pin`, {
          headers: { authorization: bearer(user) },
        });
        return v.parse(Pin, await answer.json()).room_id;
      }),
    ),
  move: moveText,
});

/** patchbay's raw channel, with the protocol in raw-protocol.ts. */
export const patchbayRaw = (stores: Stores): Contender => ({
  name: "patchbay (raw channel)",
  kind: "raw",
  start: (cluster) => start(stores, cluster),
  destination: ({ port }) => ({ port, path: "/bench" }),
  rooms: async (_server, count) => Array.from({ length: count }, (_, index) => String(100_000 + index)),
  move: (_room, sender, number) => deliveryText(sender, number),
});
