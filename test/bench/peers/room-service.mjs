import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";

/**
 * The service every Socket.IO peer offers: join a room, and have moves relayed to it, in the frames of the tracker
 * protocol, so that all servers put the same bytes on the wire. There are no tokens, checks or limits.
 * @param {import("socket.io").Server} io
 */
export function serveRooms(io) {
  io.on("connection", (socket) => {
    socket.on("join_room", (room, acknowledge) => {
      socket.join(room);
      acknowledge?.();
    });
    socket.on("move", ({ lat, long, roomId }) => {
      io.to(roomId).emit("move", { details: { type: "success", msg: { lat, long } } });
    });
  });
}

/** Options of a Socket.IO server; with REDIS_URL set it is one node of several. */
export function serverOptions() {
  const { REDIS_URL, KEY_PREFIX } = process.env;
  if (REDIS_URL === undefined) return {};
  const publisher = new Redis(REDIS_URL);
  return { adapter: createAdapter(publisher, publisher.duplicate(), { key: KEY_PREFIX }) };
}
