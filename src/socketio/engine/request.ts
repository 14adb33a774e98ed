/** What is kept of the request that opened a session, in the shape Socket.IO reads. */
export interface EngineRequest {
  /** Path and query, as `IncomingMessage.url` has it. */
  readonly url: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly _query: Readonly<Record<string, string>>;
  readonly connection: { readonly encrypted: boolean };
}

/** Of one connection alone; keeping them would cost every idle session memory. */
const HOP_BY_HOP = new Set([
  "connection",
  "upgrade",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
]);

const PLAIN = Object.freeze({ encrypted: false });
const ENCRYPTED = Object.freeze({ encrypted: true });

/** Copies what Socket.IO needs out of a request, so that the request itself can go. */
export function keepRequest(request: Request, query: URLSearchParams, secure?: boolean): EngineRequest {
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) if (!HOP_BY_HOP.has(name)) headers[name] = value;
  return {
    url: request.url.slice(request.url.indexOf("/", request.url.indexOf("//") + 2)),
    headers,
    _query: Object.fromEntries(query),
    connection: (secure ?? request.url.startsWith("https:")) ? ENCRYPTED : PLAIN,
  };
}

/** True for a request that asks for a WebSocket. Other upgrades (`h2c`, as some Java clients send) are ignored. */
export function asksForWebSocket(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** True for a client that will not use its connection again. */
export function asksToClose(request: Request): boolean {
  return /\bclose\b/i.test(request.headers.get("connection") ?? "");
}
