import type { TestJanus } from "../../../support/janus.ts";

/** A request that went through. */
export interface Relayed {
  /** Of the API: `create`, `message`, `add_token` and so on. */
  readonly janus: string;
  readonly body: Record<string, unknown>;
  readonly token: string | undefined;
  readonly plugin: string | undefined;
  readonly method: string;
  readonly path: string;
  readonly type: string | null;
  /** All of the request's body. */
  readonly fields: Record<string, unknown>;
}

/** What the server answered. */
export type Answered = { plugindata?: { data: Record<string, unknown> } } & Record<string, unknown>;

/** What stands between nodes and a Janus, so that a test sees what is asked, and can spoil some of it. */
export interface Relay {
  /** A Janus to be named in settings: its API is reached through here. */
  readonly janus: TestJanus;
  readonly requests: readonly Relayed[];
  /** What was asked since the last call of this, by its request or its kind. */
  asked(): string[];
  /** From now on requests this is true for get HTTP 500 and never reach the server; null ends that. */
  spoil(which: ((request: Relayed) => boolean | Promise<boolean>) | null): void;
  /** From now on answers are as this makes them; null ends that. */
  retell(how: ((request: Relayed, answer: Answered) => Answered) | null): void;
  close(): Promise<void>;
}

export function startRelay(janus: TestJanus): Relay {
  const requests: Relayed[] = [];
  let seen = 0;
  let retold: Parameters<Relay["retell"]>[0] = null;
  let spoiled: ((request: Relayed) => boolean | Promise<boolean>) | null = null;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const target = pathname.startsWith("/admin") ? new URL(janus.adminUrl) : new URL(janus.url);
      // Clients wait for events by GET; nodes never do.
      if (request.method === "GET") return fetch(`${target.origin}${pathname}${search}`, { keepalive: false });
      const text = await request.text();
      const fields = JSON.parse(text) as {
        janus: string;
        body?: Record<string, unknown>;
        token?: string;
        plugin?: string;
      };
      const { janus: kind, body = {}, token, plugin } = fields;
      const type = request.headers.get("content-type");
      const relayed = { janus: kind, body, token, plugin, method: request.method, path: pathname, type, fields };
      requests.push(relayed);
      if (await spoiled?.(relayed)) return new Response("spoiled", { status: 500 });
      try {
        const response = await fetch(`${target.origin}${pathname}`, { method: "POST", keepalive: false, body: text });
        const answer = await response.text();
        return new Response(retold ? JSON.stringify(retold(relayed, JSON.parse(answer))) : answer, {
          status: response.status,
        });
      } catch {
        return new Response("Janus is away", { status: 502 });
      }
    },
  });
  const origin = `http://127.0.0.1:${server.port}`;
  return {
    janus: { ...janus, url: `${origin}/janus`, adminUrl: `${origin}/admin` },
    requests,
    asked() {
      const fresh = requests.slice(seen);
      seen = requests.length;
      return fresh.map(({ janus, body }) => (typeof body.request === "string" ? body.request : janus));
    },
    spoil(which) {
      spoiled = which;
    },
    retell(how) {
      retold = how;
    },
    async close() {
      await server.stop(true);
    },
  };
}
