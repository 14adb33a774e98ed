import { connect, type Socket } from "node:net";

/** Hosts and ports of a Postgres URL as postgres.js read them; `path` is a Unix socket in their place. */
export interface Address {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false;
}

/** Makes the socket of a new connection; it need not be connected yet. */
export type Dial = (address: Address) => Socket;

/**
 * Makes sockets for postgres.js, those after a failed one to the next host of the URL. A connection that is closed before
 * it said anything (by a load balancer whose server is away) ends with an error, without which postgres.js would dial
 * again and again and never answer the statement.
 */
export function createDial(): Dial {
  let failures = 0;
  return ({ host, port, path }) => {
    const turn = failures % host.length;
    const target = path ? { path } : { host: host[turn] as string, port: port[turn] as number };
    const socket = connect(target);
    socket.once("error", () => failures++);
    socket.once("end", () => {
      socket.destroy(Object.assign(new Error("the server closed the connection"), { code: "CONNECTION_CLOSED" }));
    });
    // postgres.js takes the name to expect in a certificate from here.
    return Object.assign(socket, path ? {} : target);
  };
}
