import type { Clock } from "../clock.ts";
import { originAllowed } from "../http/cors.ts";
import type { SocketIoEndpoint } from "./endpoint.ts";
import type { EngineOptions } from "./engine/index.ts";

/** The engine an endpoint asks for. */
export function engineOptions(endpoint: SocketIoEndpoint, clock: Clock): EngineOptions {
  const { cors, forbidOrigins = false, bindAddress = false } = endpoint;
  return {
    path: `${endpoint.path}/`,
    revisions: endpoint.revisions,
    transports: endpoint.transports,
    pingInterval: endpoint.pingInterval,
    pingTimeout: endpoint.pingTimeout,
    maxHttpBufferSize: endpoint.maxMessageBytes,
    maxOutboxBytes: endpoint.maxOutboxBytes,
    bindAddress,
    clock,
    ...(cors && { cors }),
    ...(cors &&
      forbidOrigins && {
        allowRequest(request: Request) {
          if (!originAllowed(cors, request.headers.get("origin"))) throw new Error("origin not allowed");
        },
      }),
  };
}
