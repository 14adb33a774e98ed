import { shellOfSourceTree } from "../shell.ts";

/**
 * Shell lines in which Alice sends a message and Bobby gets it. A WebSocket frame from a client is written by hand: text
 * (81), a length with the mask bit (so below 126), and a mask of zeros, which leaves the text as it is.
 */
export function firstConversation(url: string): string {
  const { hostname, port } = new URL(url);
  return `${shellOfSourceTree}
alice=a11ce000-0000-4000-8000-000000000001; bobby=b0bb1e00-0000-4000-8000-000000000002
a=$(patchbay token --protocol chat --id $alice); b=$(patchbay token --protocol chat --id $bobby)
room=$(curl -s ${url}/rooms -H "authorization: Bearer $a" -d "{\\"users\\":[\\"$bobby\\"]}" | sed 's/.*"data":\\([0-9]*\\).*/\\1/')
upgrade() { # <descriptor> <token>: opens a WebSocket on an open connection
  printf 'GET /chat/ws?token=%s HTTP/1.1\\r\\nHost: ${hostname}\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n' "$2" >&$1
  printf 'Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n' >&$1
  while read -r line <&$1 && [ "$line" != $'\\r' ]; do :; done
}
frame() { printf "\\\\x81\\\\x$(printf %x $((128 + \${#2})))\\\\0\\\\0\\\\0\\\\0%s" "$2" >&$1; } # <descriptor> <text>: sends it
heard() { read -r -d '}' text <&$1; echo "{\${text#*\\{}}}"; read -r -d '}' text <&$1; } # <descriptor>: prints a frame
exec 3<>/dev/tcp/${hostname}/${port || 80} 4<>/dev/tcp/${hostname}/${port || 80}
upgrade 3 "$a"; upgrade 4 "$b"
frame 3 "{\\"type\\":\\"SendMessage\\",\\"data\\":{\\"room_id\\":$room,\\"message\\":\\"Hello\\",\\"message_temp_id\\":\\"temp-$(date +%s)\\"}}"
heard 3 # what Alice is told
heard 4 # what Bobby gets
exec 3>&- 4>&-`;
}
