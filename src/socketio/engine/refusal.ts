/** Why a request is refused, with the codes and texts of engine.io for Node. */
export const REFUSALS = {
  unknownTransport: { code: 0, message: "Transport unknown" },
  unknownSession: { code: 1, message: "Session ID unknown" },
  badMethod: { code: 2, message: "Bad handshake method" },
  badRequest: { code: 3, message: "Bad request" },
  forbidden: { code: 4, message: "Forbidden" },
  unsupportedRevision: { code: 5, message: "Unsupported protocol version" },
} as const;

export interface Refusal {
  readonly code: number;
  readonly message: string;
}

/** The HTTP answer of a refusal: 403 for a forbidden request, 400 for all others. */
export function refuse(refusal: Refusal, headers: Headers): Response {
  headers.set("content-type", "application/json");
  const status = refusal.code === REFUSALS.forbidden.code ? 403 : 400;
  return new Response(JSON.stringify({ code: refusal.code, message: refusal.message }), { status, headers });
}

export function badRequest(headers: Headers): Response {
  return refuse(REFUSALS.badRequest, headers);
}

/** The rest of the body is not read, so the connection cannot be used again. */
export function payloadTooLarge(headers: Headers): Response {
  headers.set("connection", "close");
  return new Response(null, { status: 413, headers });
}
