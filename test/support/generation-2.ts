const browserSocket = globalThis.WebSocket;

/**
 * Loads a client of generation 2 as Node would. It takes the global WebSocket where there is one, and then believes to
 * be in a browser and sends no headers. It decides when it is loaded, once for the whole test run: so every test gets it
 * from here.
 */
export async function asOnNode<T>(load: () => Promise<T>): Promise<T> {
  Reflect.deleteProperty(globalThis, "WebSocket");
  try {
    return await load();
  } finally {
    globalThis.WebSocket = browserSocket;
  }
}

/** The stock client of generation 2 (2.5.0). */
export const { default: io2 } = await asOnNode(() => import("socket.io-client-v2"));
