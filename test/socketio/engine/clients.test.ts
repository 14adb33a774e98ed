import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Server, type Socket as ServerSocket } from "socket.io";
import { io as connect4 } from "socket.io-client";
import { io2 as connect2 } from "../../support/generation-2.ts";
import { ended, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

/** What both generations of the stock client share. */
interface Client {
  readonly id?: string | undefined;
  on(event: string, listener: (...args: never[]) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  close(): unknown;
  readonly io: { readonly engine: { readonly transport: { readonly name: string } } };
}

type Connect = (url: string, options: Record<string, unknown>) => Client;

const GENERATIONS: readonly { name: string; connect: Connect; revision: 3 | 4 }[] = [
  { name: "socket.io-client 4", connect: connect4 as unknown as Connect, revision: 4 },
  { name: "socket.io-client 2", connect: connect2 as unknown as Connect, revision: 3 },
];

const WAYS = [
  { way: "polling only", transports: ["polling"], last: "polling" },
  { way: "WebSocket only", transports: ["websocket"], last: "websocket" },
  { way: "polling, then upgrade", transports: ["polling", "websocket"], last: "websocket" },
] as const;

/** Messages in each direction while a client connects and upgrades. */
const LOAD = 2000;

class Installation implements AsyncDisposable {
  readonly station = Station.open({ path: "/socket.io/" });
  readonly io = new Server();

  constructor() {
    // The engine fits where socket.io expects its own; their types do not say so.
    this.io.bind(this.station.engine as never);
  }

  connect(connect: Connect, transports: readonly string[]): Client {
    const { port } = this.station.server;
    return connect(`http://127.0.0.1:${port}`, { transports, forceNew: true, reconnection: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.station[Symbol.asyncDispose]();
  }
}

function once<T = unknown>(client: Client, event: string): Promise<T> {
  return new Promise((resolve) => client.on(event, (value: never) => resolve(value)));
}

for (const { name, connect, revision } of GENERATIONS) {
  describe(name, () => {
    for (const { way, transports, last } of WAYS) {
      test(`${way}: text, binary, acknowledgements, disconnect`, async () => {
        await using at = new Installation();
        at.io.on("connection", (socket) => {
          expect(socket.conn.protocol).toBe(revision);
          socket.on("text", (value, acknowledge) => acknowledge(value));
          socket.on("binary", (value) => socket.emit("binary", value));
        });
        const client = at.connect(connect, transports);
        await once(client, "connect");
        const answer = await new Promise((resolve) => client.emit("text", { a: ["€", 1] }, resolve));
        expect(answer).toEqual({ a: ["€", 1] });
        const back = once<Uint8Array>(client, "binary");
        client.emit("binary", Buffer.of(1, 2, 3));
        expect([...(await back)]).toEqual([1, 2, 3]);
        const [session] = at.station.engine.sessions.values();
        const reason = ended(session as never);
        // A client that closes before it has moved takes its leave by polling.
        while (client.io.engine.transport.name !== last) await new Promise((resolve) => setImmediate(resolve));
        client.close();
        expect(await reason).toBe("transport close");
        // A WebSocket is just closed below DISCONNECT; a poll has a packet for it.
        expect((session as { endedBy?: string }).endedBy).toBe(last === "websocket" ? "lost" : "client");
      });

      test(`${way}: ${LOAD} messages in each direction arrive once and in order`, async () => {
        await using at = new Installation();
        const atServer: number[] = [];
        const served = new Promise<ServerSocket>((resolve) => {
          at.io.on("connection", (socket) => {
            socket.on("n", (n: number) => {
              atServer.push(n);
              if (n === LOAD - 1) resolve(socket);
            });
            pour((n) => socket.emit("n", n));
          });
        });
        const client = at.connect(connect, transports);
        const atClient: number[] = [];
        const got = new Promise<void>((resolve) => {
          client.on("n", (n: number) => {
            atClient.push(n);
            if (n === LOAD - 1) resolve();
          });
        });
        client.on("connect", () => pour((n) => client.emit("n", n)));
        const [socket] = await Promise.all([served, got]);
        const order = Array.from({ length: LOAD }, (_, n) => n);
        expect(atClient).toEqual(order);
        expect(atServer).toEqual(order);
        while (socket.conn.transport.name !== last) await new Promise((resolve) => setImmediate(resolve));
        client.close();
      });
    }

    test("terminate is `transport close` to the client, on every transport", async () => {
      for (const { transports } of WAYS) {
        await using at = new Installation();
        const client = at.connect(connect, transports);
        const gone = once(client, "disconnect");
        await once(client, "connect");
        for (const session of at.station.engine.sessions.values()) session.terminate(1012);
        expect(await gone).toBe("transport close");
      }
    });

    test("a disconnect by the server is taken before the transport closes", async () => {
      for (const { transports } of WAYS) {
        await using at = new Installation();
        at.io.on("connection", (socket) => {
          socket.emit("last", "words");
          socket.disconnect(true);
        });
        const client = at.connect(connect, transports);
        const last = once(client, "last");
        const gone = once(client, "disconnect");
        expect(await last).toBe("words");
        expect(await gone).toBe("io server disconnect");
      }
    });
  });
}

test("both generations in one room", async () => {
  await using at = new Installation();
  at.io.on("connection", (socket) => socket.on("say", (text) => at.io.emit("said", text)));
  const clients = GENERATIONS.map(({ connect }) => at.connect(connect, ["polling", "websocket"]));
  await Promise.all(clients.map((client) => once(client, "connect")));
  const heard = clients.map((client) => once(client, "said"));
  clients[0]?.emit("say", "hello");
  expect(await Promise.all(heard)).toEqual(["hello", "hello"]);
  for (const client of clients) client.close();
});

/** Sends numbers over several turns of the event loop, so that some fall into every phase of an upgrade. */
function pour(send: (n: number) => void): void {
  let n = 0;
  const turn = (): void => {
    for (let i = 0; i < 40 && n < LOAD; i++) send(n++);
    if (n < LOAD) setImmediate(turn);
  };
  turn();
}
