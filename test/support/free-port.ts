import { createServer } from "node:net";

/**
 * Below the ports that the system gives to connections and to whoever asks for any port (32768 and up), so that none of
 * them gets it before the server it is for. The bus of a Redis cluster, ten thousand above, is below them as well.
 */
const [lowest, highest] = [11_000, 22_000];

/** A port nobody listens on at the moment, for servers that cannot pick one by themselves. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
