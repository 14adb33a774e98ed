import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import { listening } from "./control.mjs";
import { serveRooms, serverOptions } from "./room-service.mjs";

const io = new Server(serverOptions());
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
serveRooms(io);
listening(Bun.serve({ hostname: "127.0.0.1", port: 0, ...engine.handler() }).port);
