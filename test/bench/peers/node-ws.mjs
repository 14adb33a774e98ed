import { createServer } from "node:http";
import { Server } from "socket.io";
import { listening } from "./control.mjs";
import { serveRooms, serverOptions } from "./room-service.mjs";

const http = createServer();
serveRooms(new Server(http, serverOptions()));
http.listen(0, "127.0.0.1", () => listening(http.address().port));
