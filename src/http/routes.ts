import type { Context } from "hono";
import type { CorsPolicy } from "./cors.ts";

/** What a route knows of its caller beside the request itself. */
export interface ClientInfo {
  /** Address of the caller: the peer, or what a trusted proxy says it is. */
  readonly address: string;
  /** Address of the peer itself, where it is a trusted proxy and not the caller. */
  readonly proxy?: string;
  /** True when the caller's connection to us, or to a trusted proxy, is encrypted. */
  readonly secure: boolean;
}

/** The Hono context of every route. */
export type RouteContext = Context<{ Bindings: ClientInfo }>;
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One method of one path. Paths are written without a last slash and served in both spellings. */
export interface Route {
  readonly method: Method;
  /** A Hono path pattern, for example `/rooms/:id{[0-9]+}`. */
  readonly path: string;
  /** A GET that changes something, as some clients have it: HEAD, which must not (RFC 9110, 9.2.1), is not taken. */
  readonly unsafe?: boolean;
  readonly handler: (context: RouteContext) => Response | Promise<Response>;
}

/**
 * The REST surface of a protocol. Only these method and path pairs are taken; a wrong method on one of the paths gets
 * 405 with an `allow` header, everything else stays free for other protocols.
 */
export interface RestSurface {
  readonly routes: readonly Route[];
  /** Host values the routes are served under; for others their paths are free. Empty or absent: all. */
  readonly hosts?: readonly string[];
  readonly cors?: CorsPolicy;
  /** Turns whatever a handler threw into this protocol's error body. An answer of 500 and above is logged with its cause. */
  readonly onError: (error: unknown, context: RouteContext) => Response;
  /** Body and headers of a 405 in this protocol's shape; `allow` is set by the listener. */
  readonly onWrongMethod: (context: RouteContext) => Response;
  /** Path prefixes below which everything is this protocol's: what none of its routes takes gets `answer`. */
  readonly unknown?: { readonly under: readonly string[]; readonly answer: (context: RouteContext) => Response };
  /** Routes of the internal port (administration), same rules. */
  readonly internal?: readonly Route[];
}
