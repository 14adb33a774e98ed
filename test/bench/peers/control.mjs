/**
 * The line between a server under measurement and the benchmark: the server prints one line of JSON when it listens and
 * one for every line it is sent; it ends when its standard input does, so that none outlives the benchmark.
 */

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Collects all garbage: `Bun.gc` here, `global.gc` on a Node that was started with `--expose-gc`. */
const collect = () => (globalThis.Bun ? globalThis.Bun.gc(true) : globalThis.gc());

/**
 * Tells the port this server listens on, then serves the control line until it ends.
 * @param {number} port
 */
export function listening(port) {
  say({ port });
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (lines) => {
    for (const line of lines.split("\n")) {
      if (line === "gc") {
        collect();
        say({ done: line });
      }
    }
  });
  process.stdin.on("end", () => process.exit(0));
}
