import { join } from "node:path";
import * as v from "valibot";
import { deliveryText, moveText } from "../client/frames.ts";
import type { Contender } from "../contender.ts";
import { BenchServer, type Launch } from "../server.ts";
import type { Stores } from "../stores.ts";
import { bearer, SECRET } from "./tokens.ts";

/** Limits that a load from one address and a room of a thousand would otherwise meet; all checks stay on. */
const LIMITS = {
  ACCEPT_RATE: "0",
  MAX_CONNECTIONS_PER_ADDRESS: "0",
  TRACKER_EVENT_RATE: "1000000",
  TRACKER_EVENT_BURST: "1000000",
  CHAT_SEND_RATE: "1000000",
  CHAT_SEND_BURST: "1000000",
};

/** How to start a node that serves these protocols; with a Redis prefix it is one of those that share it. */
export async function patchbayLaunch(
  stores: Stores,
  protocols: string,
  { databaseUrl = stores.databaseUrl, cluster }: { databaseUrl?: string; cluster?: string | undefined },
): Promise<Launch> {
  return {
    command: [process.execPath, join(import.meta.dir, "server.ts")],
    env: {
      NODE_ENV: "production",
      HOST: "127.0.0.1",
      PORT: "0",
      INTERNAL_PORT: "0",
      PROTOCOLS: protocols,
      LOG_LEVEL: "error",
      DATABASE_URL: databaseUrl,
      DATA_DIR: await stores.folder(),
      JWT_SECRET: SECRET,
      TRACKER_REFRESH_SECRET: `${SECRET}, refreshed`,
      ...(cluster === undefined ? {} : { REDIS_URL: stores.redisUrl, KEY_PREFIX: cluster }),
      ...LIMITS,
    },
  };
}

/** Starts a node; all nodes of a run use one database. */
const start = async (stores: Stores, cluster: string | undefined): Promise<BenchServer> =>
  BenchServer.start(await patchbayLaunch(stores, "tracker,bench", { cluster }));

/** The `Authorization` header of the tracker's user of this number. */
const trackerBearer = (user: number) => bearer({ user_id: user + 1, username: `user${user + 1}` });

const Pin = v.object({ room_id: v.string() });

/** patchbay's tracker protocol: every socket a user with a token of his own, every room a PIN made for it. */
export const patchbay = (stores: Stores): Contender => ({
  name: "patchbay (tracker)",
  kind: "socket.io",
  start: (cluster) => start(stores, cluster),
  destination: ({ port }, user) => ({
    port,
    path: "/track-sio/sio/?EIO=4&transport=websocket",
    headers: { authorization: trackerBearer(user) },
  }),
  // Each PIN by a user of its own, because one user may only ask for one a second.
  rooms: ({ port }, count) =>
    Promise.all(
      Array.from({ length: count }, async (_, user) => {
        const answer = await fetch(`http://127.0.0.1:${port}/track/generate-pin`, {
          headers: { authorization: trackerBearer(user) },
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
