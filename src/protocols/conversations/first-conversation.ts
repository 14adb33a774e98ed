import { shellOfSourceTree } from "../shell.ts";

/**
 * A buyer opens a room and says something in it, the seller reads it. Run where the gateway was started: the tokens are
 * signed with the secret it keeps in its data folder.
 */
export function firstConversation(url: string): string {
  const sockets = `${url.replace(/^http/, "ws")}/v1/conversations/sockets/?EIO=4&transport=websocket`;
  return `${shellOfSourceTree}
api=${url}/v1/conversations
token() { patchbay token --protocol conversations --number "$1" 2>/dev/null; }
call() { curl -s -H "x-chozoi-token: $1" -H 'content-type: application/json' "\${@:2}"; }
export buyer=$(token 11) seller=$(token 12)
call "$buyer" "$api/rooms" -d '{"type":"BS","buyer":"11","seller":"12","shop_id":"7","creator":"11"}' >/dev/null
bun -e '
  const socket = new WebSocket("${sockets}");
  const namespace = "/v1/conversations/events";
  const message = { room_id: "11.12", from: "11", to: "12", type: "TEXT", content: "Is it still there?" };
  socket.onmessage = ({ data: frame }) => {
    if (frame[0] === "0") {
      const credentials = { token: process.env.buyer, user_id: "11", user_role: "BUYER" };
      socket.send("40" + namespace + "," + JSON.stringify(credentials));
    } else if (frame.startsWith("40")) {
      socket.send("42" + namespace + ",1" + JSON.stringify(["new_message", message]));
    } else if (frame.startsWith("43")) {
      console.log("stored:", JSON.parse(frame.slice(frame.indexOf("["))).pop().message.content);
      socket.close();
    }
  };'
call "$seller" "$api/rooms/unseen?role=SELLER"; echo # how much the seller has not read
call "$seller" "$api/messages?room_id=11.12&limit=1" | grep -o '"content":"[^"]*"' # what he reads`;
}
