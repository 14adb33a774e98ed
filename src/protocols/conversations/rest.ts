import type { Database } from "../../database/database.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { RestSurface, Route } from "../../http/routes.ts";
import { clientBundle } from "./client-bundle.ts";
import { errors, failure, publicFault } from "./errors.ts";
import type { History } from "./history.ts";
import { messageRoutes } from "./message-routes.ts";
import { type RoomRouteParts, roomRoutes } from "./room-routes.ts";
import { type UploadParts, uploadRoutes } from "./upload-routes.ts";

/** What the routes work with. */
export interface RestParts extends RoomRouteParts {
  readonly history: History;
  readonly uploads: Omit<UploadParts, "requests">;
  readonly cors: CorsPolicy;
  readonly database: Database;
  /** Serve the browser bundle of Socket.IO. */
  readonly serveClient: boolean;
}

/** The REST surface (section 3). */
export function rest(parts: RestParts): RestSurface {
  const { requests, uploads, cors, database } = parts;
  return {
    routes: [
      ...roomRoutes(parts),
      ...messageRoutes(parts),
      ...uploadRoutes({ requests, ...uploads }),
      health(database),
      ...(parts.serveClient ? [clientBundle] : []),
    ],
    unknown: { under: ["/v1/conversations"], answer: () => answer(errors.fault("NOT_FOUND")) },
    cors,
    onError: answer,
    onWrongMethod: () => answer(errors.fault("METHOD_NOT_ALLOWED")),
  };
}

/** V-3.48. */
function health(database: Database): Route {
  return {
    method: "GET",
    path: "/v1/conversations/healthz",
    async handler() {
      const status = await database.ping().then(
        () => true,
        () => false,
      );
      return Response.json({ status }, { status: status ? 200 : 503 });
    },
  };
}

/** Any error as an answer (V-3.7). */
function answer(error: unknown): Response {
  const fault = publicFault(error);
  const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
  return Response.json(failure(fault), { status: fault.row.status, headers });
}
