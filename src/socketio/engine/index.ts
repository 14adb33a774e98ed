export type { CloseReason, EndedBy } from "./ending.ts";
export { Engine } from "./engine.ts";
export type { EngineOptions } from "./options.ts";
export type { EngineRequest } from "./request.ts";
export type { ConnectionError } from "./router.ts";
export type { EngineSocket } from "./socket.ts";
export type { Transport, TransportName } from "./transport.ts";
export { WEBSOCKET_LIMITS } from "./websocket.ts";
