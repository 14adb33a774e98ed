import type { Handshake } from "./endpoint.ts";
import type { EngineSocket } from "./engine/index.ts";

/** The handshake of one CONNECT, read from the request that opened its Engine.IO session. */
export class SessionHandshake implements Handshake {
  readonly auth: unknown;
  readonly #conn: EngineSocket;

  constructor(conn: EngineSocket, auth: unknown) {
    this.#conn = conn;
    this.auth = auth;
  }

  get revision(): 3 | 4 {
    return this.#conn.protocol;
  }

  get address(): string {
    return this.#conn.remoteAddress;
  }

  get peer(): string {
    return this.#conn.request.proxy ?? this.address;
  }

  get query(): Readonly<Record<string, string>> {
    return this.#conn.request._query;
  }

  header(name: string): string | undefined {
    const { headers } = this.#conn.request;
    return Object.hasOwn(headers, name) ? headers[name] : undefined;
  }
}
