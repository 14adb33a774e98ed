import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Server as BunServer } from "bun";
import { type Namespace, Server } from "socket.io";
import { io } from "socket.io-client";
import { MemoryBackplane } from "../../../src/backplane/memory.ts";
import { systemClock } from "../../../src/clock.ts";
import { TopicAdapter } from "../../../src/socketio/adapter/topic-adapter.ts";
import { Engine } from "../../../src/socketio/engine/index.ts";
import type { SocketOwner } from "../../../src/websocket.ts";
import { quietLog } from "../../support/quiet-log.ts";
import { once } from "../events.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let server: BunServer<SocketOwner>;
afterEach(() => server.stop(true));

/** socket.io as it comes, with the engine and the adapter in the places it has for them. */
function socketIo(): Server {
  const deps = { clock: systemClock, log: quietLog };
  const engine = new Engine({ path: "/io/" });
  const parts = { ...deps, scope: "alone", engine, backplane: new MemoryBackplane("alone", deps) };
  const socketIoServer = new Server({
    adapter: class extends TopicAdapter {
      constructor(namespace: Namespace) {
        super(namespace, parts);
      }
    },
  });
  socketIoServer.bind(engine);
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", ...engine.handler() });
  return socketIoServer;
}

test("engine and adapter serve socket.io without the binding", async () => {
  const socketIoServer = socketIo();
  // Rooms joined while a socket is still being admitted.
  socketIoServer.use((socket, next) => {
    void socket.join("r");
    next();
  });
  const clients = [["websocket"], ["polling"], ["polling", "websocket"]].map((transports) =>
    io(server.url.origin, { path: "/io", transports, forceNew: true, reconnection: false }),
  );
  await Promise.all(clients.map((client) => once(client, "connect")));
  const heard = clients.map((client) => once(client, "x"));
  socketIoServer.to("r").emit("x", 1);
  expect(await Promise.all(heard)).toEqual([[1], [1], [1]]);
  for (const client of clients) client.close();
});
