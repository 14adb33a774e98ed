import { intern } from "./intern.ts";

/** What is kept of the request that opened a session, in the shape Socket.IO reads. */
export interface EngineRequest {
  /** Path and query, as `IncomingMessage.url` has it. */
  readonly url: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly _query: Readonly<Record<string, string>>;
  readonly connection: { readonly encrypted: boolean };
  /** Address of the TCP peer, where a trusted proxy is in between. */
  readonly proxy?: string;
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
export function keepRequest(
  request: Request,
  query: URLSearchParams,
  { secure, proxy }: { readonly secure?: boolean; readonly proxy?: string } = {},
): EngineRequest {
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) if (!HOP_BY_HOP.has(name)) headers[name] = intern(value);
  return {
    url: pathOf(request.url),
    headers,
    _query: Object.fromEntries(Array.from(query, ([name, value]) => [name, intern(value)])),
    connection: (secure ?? request.url.startsWith("https:")) ? ENCRYPTED : PLAIN,
    ...(proxy !== undefined && { proxy: intern(proxy) }),
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

/** Path and query of a URL. A request with a bad `Host` header has nothing in front of them, and `URL` rejects it. */
export function pathOf(url: string): string {
  return url.replace(/^\w+:\/\/[^/?]*/, "");
}
