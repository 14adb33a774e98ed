/**
 * The events of workspaces from socket.io and ws as they are: REST calls that send them to everybody in the workspace.
 * Nobody is checked, nothing is stored.
 */
import { createServer } from "node:http";
import { Server } from "socket.io";
import { listening } from "./control.mjs";

/** Socket id to user and workspace. */
const people = new Map();

const http = createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const socketId = url.searchParams.get("socketId");
  let text = "";
  request.on("data", (chunk) => {
    text += chunk;
  });
  request.on("end", () => {
    const { userId, workspaceId } = people.get(socketId);
    const room = io.to(workspaceId);
    const body = JSON.parse(text);
    const [, , channelId, action] = url.pathname.split("/");
    if (action === "select") {
      room.emit("user-selected-channel", { userId, channelId, userMediaState: body, socketId });
      const connectionOptions = { janusServerUrl: null, janusWsServerUrl: null, janusAuthToken: null };
      response.end(JSON.stringify({ connectionOptions }));
      return;
    }
    if (action === "unselect") room.emit("user-unselected-channel", { userId, channelId, socketId });
    else {
      room.emit("online-status-updated", { userId, onlineStatus: body.onlineStatus });
      io.to(userId).emit("my-online-status-updated", body);
    }
    response.end("ok");
  });
});
const io = new Server(http, { serveClient: false });
io.on("connection", (socket) => {
  socket.on("auth", ({ token, workspaceId }) => {
    const userId = `10000000-0000-4000-8000-${token.slice(-12)}`;
    people.set(socket.id, { userId, workspaceId });
    socket.join([workspaceId, userId]);
    socket.emit("auth-success", { userId, reconnected: false, onlineStatus: "online" });
  });
});

http.listen(0, "127.0.0.1", () => listening(http.address().port));
