import type { CorsPolicy } from "../../http/cors.ts";

/** The `cors` option of `@socket.io/bun-engine`, without regular expressions. */
export interface CorsOptions {
  /** `true` echoes the caller's origin, `"*"` (the default) allows all. */
  readonly origin?: boolean | string | readonly string[];
  readonly methods?: string | readonly string[];
  readonly allowedHeaders?: string | readonly string[];
  readonly credentials?: boolean;
  /** Seconds. */
  readonly maxAge?: number;
}

/** Brings either shape of the `cors` option to a policy. */
export function corsPolicy(cors: CorsPolicy | CorsOptions): CorsPolicy {
  if ("origins" in cors) return cors;
  const { origin = "*", methods = ["GET", "POST"], allowedHeaders, credentials = false, maxAge } = cors;
  const everyone = origin === true || origin === "*";
  return {
    origins: everyone ? "*" : origin === false ? [] : list(origin),
    wildcard: origin === true ? "echo" : "literal",
    methods: list(methods),
    headers: allowedHeaders === undefined ? "echo" : list(allowedHeaders),
    credentials,
    ...(maxAge !== undefined && { maxAge }),
    preflight: { status: 204, body: null },
  };
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === "string" ? value.split(/\s*,\s*/) : value;
}
