/**
 * A buyer-seller chat as it is written without further thought: socket.io, postgres.js, each message a transaction of its
 * own, then sent to both people. It checks and limits nothing.
 */
import { createServer } from "node:http";
import postgres from "postgres";
import { Server } from "socket.io";
import { listening } from "./control.mjs";

const sql = postgres(process.env.DATABASE_URL, { max: Number(process.env.POOL), onnotice: () => {} });
const http = createServer();
const io = new Server(http, { path: "/v1/conversations/sockets", transports: ["websocket"], serveClient: false });
const chat = io.of("/v1/conversations/events");

chat.on("connection", (socket) => {
  socket.join(`user:${socket.handshake.auth.user_id}`);
  socket.on("new_message", async (message, acknowledge) => {
    const { room_id, from, to, type, content } = message;
    const _id = crypto.randomUUID();
    const side = room_id.startsWith(`${to}.`) ? "buyer" : "seller";
    const created_at = await sql.begin(async (sql) => {
      const [room] = await sql`
        update conversations.rooms set
          last_created_at = greatest(clock_timestamp(), last_created_at + interval '1 ms'),
          updated_at = clock_timestamp(),
          buyer_last_message_id = ${_id}, seller_last_message_id = ${_id},
          ${sql(`${side}_unseen`)} = ${sql(`${side}_unseen`)} + 1
        where id = ${room_id} returning last_created_at`;
      const at = room.last_created_at;
      await sql`
        insert into conversations.messages (id, room_id, sender, receiver, type, content, created_at, updated_at)
        values (${_id}, ${room_id}, ${from}, ${to}, ${type}, ${content}, ${at}, ${at})`;
      return at;
    });
    const stored = { _id, room_id, from, to, type, content, client_message_id: null, created_at };
    chat.to([`user:${from}`, `user:${to}`]).emit("new_message", stored);
    acknowledge?.({ status: true, message: stored });
  });
});

http.listen(0, "127.0.0.1", () => listening(http.address().port));
