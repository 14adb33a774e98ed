import { Hono } from "hono";
import { clientInfo, type TrustedProxies } from "../../../http/address.ts";
import type { ClientInfo } from "../../../http/routes.ts";
import type { Log } from "../../../observe/log.ts";
import { onError } from "../rest/rest.ts";
import { empty } from "./http-door.ts";
import type { OsmAndDoor } from "./osmand.ts";

/** What the port listens with. */
export interface OsmAndPortOptions {
  readonly hostname: string;
  readonly port: number;
  readonly maxBodyBytes: number;
  readonly proxies: TrustedProxies;
  readonly log: Log;
}

/**
 * The OsmAnd protocol at `/` of a port of its own (F-1.6), where trackers expect it that can be told a host and a port
 * and nothing more. Returns what closes it. The port is shared while a reload puts a new door beside the old one.
 */
export function openOsmAndPort(door: OsmAndDoor, options: OsmAndPortOptions): () => Promise<void> {
  const { hostname, port, maxBodyBytes, proxies, log } = options;
  const app = new Hono<{ Bindings: ClientInfo }>({ strict: false });
  app.on(["GET", "POST"], "/", async (context) => {
    // Hono takes it for a GET, but it must store nothing.
    if (context.req.method === "HEAD") return empty(405);
    try {
      return await door.handle(context);
    } catch (error) {
      const { status } = onError(error, context);
      if (status >= 500) log.error({ error }, "a report failed");
      return empty(status === 413 || status === 503 ? status : 500);
    }
  });
  app.notFound(() => empty(404));
  const server = Bun.serve({
    hostname,
    port,
    reusePort: true,
    maxRequestBodySize: maxBodyBytes,
    fetch: (request, server) =>
      app.fetch(request, clientInfo(server.requestIP(request)?.address ?? "", request.headers, proxies, false)),
    error: () => empty(500),
  });
  return () => server.stop();
}
