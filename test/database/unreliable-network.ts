import { connect, createServer, type Socket } from "node:net";
import { freePort } from "../support/free-port.ts";

/** How a {@link UnreliableNetwork} treats connections. */
export type Weather =
  /** Hands everything on. */
  | "fair"
  /** Keeps connections and swallows every byte, as a network that lost its way or a server that froze. */
  | "silent"
  /** Accepts new connections and closes them without a word, as a load balancer whose server is away. */
  | "closing";

/** A TCP proxy before a real server, whose weather a test makes. */
export class UnreliableNetwork {
  weather: Weather = "fair";
  /** Connections so far. */
  accepted = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));
  #port = 0;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port || 5432) };
  }

  /** Listens: on a free port the first time, later on the same again. Returns the URL with the proxy in it. */
  async listen(url: string): Promise<string> {
    if (this.#port === 0) this.#port = await freePort();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(this.#port, "127.0.0.1", resolve);
    await promise;
    const through = new URL(url);
    through.hostname = "127.0.0.1";
    through.port = String(this.#port);
    return through.href;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Cuts every connection and refuses new ones until `listen` is called again. */
  async stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.cut();
    await promise;
  }

  #accept(socket: Socket): void {
    this.accepted++;
    this.#keep(socket);
    if (this.weather === "closing") {
      socket.end();
      return;
    }
    const upstream = connect(this.#target);
    this.#keep(upstream);
    const pass = (to: Socket) => (data: Buffer) => {
      if (this.weather !== "silent") to.write(data);
    };
    socket.on("data", pass(upstream)).on("close", () => upstream.destroy());
    upstream.on("data", pass(socket)).on("close", () => {
      if (this.weather !== "silent") socket.end();
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
