import type { ServerWebSocket } from "bun";

/** A WebSocket of this process. Its `data` is the object that owns it. */
export type Socket = ServerWebSocket<SocketOwner>;

/**
 * Whatever stands behind one WebSocket: an Engine.IO transport or a raw channel. `Bun.serve` takes one set of handlers
 * for all sockets, so the owner travels in `ws.data` and is looked up there at each event.
 */
export interface SocketOwner {
  open(ws: Socket): void;
  message(ws: Socket, data: string | Buffer): void;
  drain(ws: Socket): void;
  close(ws: Socket, code: number, reason: string): void;
  pong?(ws: Socket): void;
}

/** The one `websocket` block of a `Bun.serve`: hands each event to the owner of its socket. */
export const socketHandlers = {
  open: (ws: Socket) => ws.data.open(ws),
  message: (ws: Socket, data: string | Buffer) => ws.data.message(ws, data),
  drain: (ws: Socket) => ws.data.drain(ws),
  close: (ws: Socket, code: number, reason: string) => ws.data.close(ws, code, reason),
  pong: (ws: Socket) => ws.data.pong?.(ws),
};
