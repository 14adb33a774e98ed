/** Which origins may call, and what a preflight answers. Used by REST routes and by Engine.IO polling alike. */
export interface CorsPolicy {
  /** `"*"` or a list of exact origins. */
  readonly origins: "*" | readonly string[];
  readonly methods: readonly string[];
  /** Listed in a preflight; `"echo"` repeats what was asked for. */
  readonly headers: "echo" | readonly string[];
  readonly credentials: boolean;
  /** With `origins: "*"`: answer `*` literally, or echo the caller's origin. */
  readonly wildcard: "literal" | "echo";
  /** Seconds a browser may keep a preflight. */
  readonly maxAge?: number;
  readonly preflight: { readonly status: 200 | 204; readonly body: string | null };
}

/** True when a request with this `Origin` header may pass. A request without one always may. */
export function originAllowed(policy: CorsPolicy, origin: string | null): boolean {
  return origin === null || policy.origins === "*" || policy.origins.includes(origin);
}

/** The CORS headers of an ordinary answer; none for an origin that is not allowed. */
export function corsHeaders(policy: CorsPolicy, origin: string | null): Record<string, string> {
  const headers: Record<string, string> = {};
  const echo = policy.origins !== "*" || policy.wildcard === "echo";
  if (echo) headers.vary = "Origin";
  if (!originAllowed(policy, origin)) return headers;
  if (echo) {
    if (origin === null) return headers;
    headers["access-control-allow-origin"] = origin;
  } else {
    headers["access-control-allow-origin"] = "*";
  }
  if (policy.credentials) headers["access-control-allow-credentials"] = "true";
  return headers;
}

/** The answer to an `OPTIONS` preflight. */
export function preflight(policy: CorsPolicy, request: Request): Response {
  const origin = request.headers.get("origin");
  const headers = new Headers({ vary: "Origin, Access-Control-Request-Headers" });
  // One without an origin is no preflight at all; where origins are listed it is not told that all may pass.
  if (originAllowed(policy, origin) && (origin !== null || policy.origins === "*")) {
    headers.set("access-control-allow-origin", origin ?? "*");
    if (policy.credentials) headers.set("access-control-allow-credentials", "true");
    headers.set("access-control-allow-methods", policy.methods.join(", "));
    const asked = policy.headers === "echo" ? request.headers.get("access-control-request-headers") : null;
    const allowed = asked ?? (policy.headers === "echo" ? "" : policy.headers.join(", "));
    if (allowed) headers.set("access-control-allow-headers", allowed);
    if (policy.maxAge !== undefined) headers.set("access-control-max-age", String(policy.maxAge));
  }
  return new Response(policy.preflight.body, { status: policy.preflight.status, headers });
}
