import { Server } from "socket.io";
import uws from "uwebsockets";
import { listening } from "./control.mjs";
import { serveRooms, serverOptions } from "./room-service.mjs";

const app = uws.App();
const io = new Server(serverOptions());
io.attachApp(app);
serveRooms(io);
app.listen("127.0.0.1", 0, (socket) => listening(uws.us_socket_local_port(socket)));
