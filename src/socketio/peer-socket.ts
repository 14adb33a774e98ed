import { Socket } from "socket.io";
import type { EngineSocket } from "./engine/index.ts";

type Handshake = Socket["handshake"];

/**
 * socket.io's `handshake`, put together when somebody looks at it: the strings and copies of the original are half of
 * what an idle socket costs. It holds no credentials of the CONNECT packet, which would stay in memory with it and
 * travel to other nodes with `fetchSockets`.
 */
class LazyHandshake implements Handshake {
  readonly #conn: EngineSocket;
  readonly issued = Date.now();

  constructor(conn: EngineSocket) {
    this.#conn = conn;
  }

  get headers(): Handshake["headers"] {
    return this.#conn.request.headers;
  }

  get time(): string {
    return String(new Date(this.issued));
  }

  get address(): string {
    return this.#conn.remoteAddress;
  }

  get xdomain(): boolean {
    return this.headers.origin !== undefined;
  }

  get secure(): boolean {
    return this.#conn.request.connection.encrypted;
  }

  get url(): string {
    return this.#conn.request.url;
  }

  get query(): Handshake["query"] {
    return this.#conn.request._query;
  }

  get auth(): Handshake["auth"] {
    return {};
  }

  toJSON(): Handshake {
    const { headers, time, address, xdomain, secure, issued, url, query, auth } = this;
    return { headers, time, address, xdomain, secure, issued, url, query, auth };
  }
}

/** The base class without the members its types keep private, one of which is replaced below. */
const Base = Socket as unknown as new (...given: ConstructorParameters<typeof Socket>) => Pick<Socket, keyof Socket>;

class PeerSocket extends Base {
  buildHandshake(): Handshake {
    return new LazyHandshake(this.conn as unknown as EngineSocket);
  }
}

/** A socket.io `Socket` that is lean while it is idle. `client` is what stands for socket.io's `Client`. */
export function createSocket(namespace: Socket["nsp"], client: unknown): Socket {
  return new PeerSocket(namespace, client as Socket["client"], {}) as unknown as Socket;
}
