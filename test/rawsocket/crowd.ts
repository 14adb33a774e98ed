/**
 * Many idle clients in a process of their own: `bun crowd.ts <ws url> <count>` prints `open <count>` when all are open,
 * and `closed <count> <codes> <last frames>` when all are closed. It ends with its input, and so with who started it, or
 * when a client is not let in.
 */
const [url = "", given = "0"] = process.argv.slice(2);
const count = Number(given);
const codes = new Set<number>();
const frames = new Set<string>();
let open = 0;
let closed = 0;

function join(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = new WebSocket(url);
  socket.onerror = () => reject(new Error("not let in"));
  socket.onopen = () => {
    open++;
    resolve();
  };
  socket.onmessage = ({ data }) => frames.add(String(data));
  socket.onclose = ({ code }) => {
    codes.add(code);
    if (++closed === count) process.stdout.write(`closed ${closed} ${[...codes]} ${[...frames]}\n`);
  };
  return promise;
}

for (let left = count; left > 0; left -= 100) await Promise.all(Array.from({ length: Math.min(100, left) }, join));
process.stdout.write(`open ${open}\n`);
await Bun.stdin.text();
process.exit();

export {};
