/** True for a request that asks for a WebSocket, well or badly. */
export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** False for an upgrade that Bun will refuse (RFC 6455, 4.2.1), so that no hook runs for it. */
export function isComplete(request: Request): boolean {
  const { headers, method } = request;
  return method === "GET" && headers.has("sec-websocket-key") && headers.get("sec-websocket-version") === "13";
}

/**
 * The answer's header for the subprotocols a client offers: the first of ours among them, or an empty value, which Bun
 * leaves out. Without a header from us Bun would select whatever is offered first. Undefined when nothing is offered.
 */
export function subprotocolHeader(
  request: Request,
  ours: readonly string[] = [],
): { "sec-websocket-protocol": string } | undefined {
  const offered = request.headers.get("sec-websocket-protocol");
  if (offered === null) return undefined;
  const names = offered.split(",").map((name) => name.trim());
  return { "sec-websocket-protocol": ours.find((name) => names.includes(name)) ?? "" };
}
