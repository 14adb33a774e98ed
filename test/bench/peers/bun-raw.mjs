import { listening } from "./control.mjs";

/**
 * The floor of the runtime: `Bun.serve` relaying frames by its native publish, without reading them. It answers the
 * opening and joining frames of Socket.IO just enough for the same client to talk to it.
 */
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request, { data: null }) ? undefined : new Response(null, { status: 400 }),
  websocket: {
    open: (ws) => void ws.send('0{"pingInterval":25000,"pingTimeout":20000}'),
    message(ws, text) {
      if (text.startsWith('42["move"')) return void server.publish(ws.data, text);
      if (text === "40") return void ws.send('40{"sid":"0"}');
      if (text.startsWith("420")) {
        ws.data = JSON.parse(text.slice(3))[1];
        ws.subscribe(ws.data);
        ws.send("430[]");
      }
    },
  },
});
listening(server.port);
