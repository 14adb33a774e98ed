import { join } from "node:path";
import type { Destination } from "../client/wire-socket.ts";
import { patchbayLaunch } from "../patchbay/contender.ts";
import { bearer } from "../patchbay/tokens.ts";
import { peersFolder } from "../peer.ts";
import { BenchServer, type Launch } from "../server.ts";
import type { Stores } from "../stores.ts";

/** A chat server that takes part. Its rooms are in the database before it starts. */
export interface ChatContender {
  readonly name: string;
  start(databaseUrl: string): Promise<BenchServer>;
  destination(server: BenchServer, user: string): Destination;
}

export const chatContenders = (stores: Stores): readonly ChatContender[] => [
  {
    name: "patchbay (chat)",
    start: async (databaseUrl) => BenchServer.start(await patchbayLaunch(stores, "chat", { databaseUrl })),
    destination: ({ port }, user) => ({ port, path: "/chat/ws", headers: { authorization: bearer({ sub: user }) } }),
  },
  {
    name: "Node ws + postgres.js, row by row",
    start: (databaseUrl) => BenchServer.start(nodeChat(databaseUrl)),
    destination: ({ port }, user) => ({ port, path: `/?user=${user}` }),
  },
];

const nodeChat = (databaseUrl: string): Launch => ({
  command: ["node", "--expose-gc", join(peersFolder, "node-chat.mjs")],
  env: { NODE_ENV: "production", DATABASE_URL: databaseUrl },
});
