import { Hono } from "hono";
import type { ClientInfo, RestSurface } from "../http/routes.ts";
import type { Health } from "../observe/health.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { notFound, notTaken, type RestMount, restApp } from "./rest.ts";

/**
 * The internal port: `/livez` (the process answers), `/readyz` (it should get traffic), `/metrics`, and the
 * administration routes of the protocols. Not for the internet.
 */
export class InternalListener {
  readonly #health: Health;
  readonly #metrics: Metrics;
  readonly #log: Log;
  #admin = restApp([], routesOf);
  #server: Bun.Server<undefined> | null = null;

  constructor(options: { health: Health; metrics: Metrics; log: Log }) {
    this.#health = options.health;
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  serve(rest: readonly RestMount[]): void {
    this.#admin = restApp(rest, routesOf);
  }

  /** Opens the port. Throws when it is taken. */
  listen(hostname: string, port: number): void {
    const app = new Hono<{ Bindings: ClientInfo }>({ strict: false });
    app.get("/livez", (context) => context.json({ ok: true }));
    app.get("/readyz", async (context) => {
      const readiness = await this.#health.ready();
      return context.json(readiness, readiness.ok ? 200 : 503);
    });
    app.get("/metrics", async () => {
      return new Response(await this.#metrics.text(), { headers: { "content-type": this.#metrics.contentType } });
    });
    this.#server = Bun.serve({
      hostname,
      port,
      fetch: async (request, server) => {
        const client: ClientInfo = { address: server.requestIP(request)?.address ?? "", secure: false };
        const known = await app.fetch(request, client);
        if (known.status !== 404) return known;
        const answer = await this.#admin.fetch(request, client);
        return notTaken(answer) ? notFound() : answer;
      },
      error: (error) => {
        this.#log.error({ error }, "internal request failed");
        return Response.json({ error: "Internal error" }, { status: 500 });
      },
    });
  }

  get url(): URL {
    if (!this.#server) throw new Error("not listening");
    return this.#server.url;
  }

  async stop(): Promise<void> {
    await this.#server?.stop(true);
  }
}

const routesOf = (surface: RestSurface) => surface.internal ?? [];
