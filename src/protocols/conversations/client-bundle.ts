// The package does not export its browser bundles, so it is named by its file.
import bundle from "../../../node_modules/socket.io/client-dist/socket.io.min.js" with { type: "file" };
import type { Route } from "../../http/routes.ts";

/** The Socket.IO 4 browser bundle beside the endpoint (V-1.12). */
export const clientBundle: Route = {
  method: "GET",
  path: "/v1/conversations/sockets/socket.io.js",
  handler: () =>
    new Response(Bun.file(bundle), {
      headers: { "content-type": "application/javascript", "cache-control": "public, max-age=3600" },
    }),
};
