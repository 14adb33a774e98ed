/**
 * A chat as one would write it with `ws` and postgres.js: who is in which room is read at the start, each message is
 * inserted, confirmed and sent to the others. Users say who they are; nothing is checked or limited.
 */
import { createServer } from "node:http";
import postgres from "postgres";
import { WebSocketServer } from "ws";
import { listening } from "./control.mjs";

const sql = postgres(process.env.DATABASE_URL);
const rooms = new Map();
for (const { id, participants } of await sql`select id, participants from chat.rooms`)
  rooms.set(Number(id), participants);
const sockets = new Map();

const http = createServer();
const server = new WebSocketServer({ server: http });
server.on("connection", (socket, request) => {
  const user = new URL(request.url, "http://localhost").searchParams.get("user");
  sockets.set(user, socket);
  socket.on("close", () => sockets.delete(user));
  socket.on("message", async (data) => {
    const { room_id, message, message_temp_id } = JSON.parse(data).data;
    await sql`
      insert into chat.messages (room_id, sender_id, temp_id, message, created_at)
      values (${room_id}, ${user}, ${message_temp_id}, ${message}, now())`;
    socket.send(
      JSON.stringify({
        type: "MessageSentConfirmation",
        data: { confirmed: true, reason: "", message_id: message_temp_id },
      }),
    );
    const frame = JSON.stringify({ type: "MessageReceived", data: { room_id, sender_id: user, message } });
    for (const participant of rooms.get(room_id)) {
      if (participant !== user) sockets.get(participant)?.send(frame);
    }
  });
});
http.listen(0, "127.0.0.1", () => listening(http.address().port));
