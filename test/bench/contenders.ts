import type { Contender } from "./contender.ts";
import { patchbay, patchbayRaw } from "./patchbay/contender.ts";
import { FLOOR, peer } from "./peer.ts";
import type { Stores } from "./stores.ts";

/** All contenders, in the order of the tables. */
export const contenders = (stores: Stores): readonly Contender[] => [
  patchbay(stores),
  patchbayRaw(stores),
  peer(stores, { name: FLOOR, kind: "raw", runtime: "bun", file: "bun-raw.mjs" }),
  peer(stores, { name: "Node socket.io + ws", kind: "socket.io", runtime: "node", file: "node-ws.mjs" }),
  peer(stores, { name: "Node socket.io + uWebSockets.js", kind: "socket.io", runtime: "node", file: "node-uws.mjs" }),
  peer(stores, { name: "Bun socket.io + bun-engine", kind: "socket.io", runtime: "bun", file: "bun-engine.mjs" }),
];
