import { connect, createServer, type Socket } from "node:net";

/** A way to a server that a test can cut. */
export interface TcpProxy {
  readonly port: number;
  /** Drops every connection and refuses new ones. */
  cut(): void;
  /** Keeps every connection open and takes new ones, but lets no byte through: a peer that is gone without a word. */
  stall(): void;
  /** Lets through what clients send, but no answer: what is asked for is done and nobody hears of it. */
  mute(): void;
  /** Lets everything through again. What was under way when it was stalled arrives late. */
  restore(): void;
  /** Open connections. */
  readonly connections: number;
  /** Connections refused so far. */
  readonly refused: number;
  close(): Promise<void>;
}

/** Starts a TCP proxy on 127.0.0.1 in front of any server, such as Redis or Postgres. */
export async function startProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let refused = 0;
  let state: "open" | "cut" | "stalled" | "muted" = "open";

  const server = createServer((near) => {
    near.on("error", () => {});
    if (state === "cut") {
      refused++;
      near.resetAndDestroy();
      return;
    }
    const far = connect(target);
    const pair = [near, far] as const;
    pairs.add(pair);
    far.on("error", () => near.destroy());
    const drop = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on("close", drop);
    far.on("close", drop);
    join(near, far, () => state === "stalled");
    join(far, near, () => state === "stalled" || state === "muted");
  });

  /** What waits to be let through, in order. */
  const held = new Set<() => void>();
  function join(from: Socket, to: Socket, isHeld: () => boolean): void {
    from.on("data", (bytes) => {
      const forward = () => {
        if (!to.destroyed) to.write(bytes);
      };
      if (isHeld()) held.add(forward);
      else forward();
    });
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");

  const dropAll = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
    pairs.clear();
    held.clear();
  };
  return {
    port: address.port,
    cut() {
      state = "cut";
      dropAll();
    },
    stall() {
      state = "stalled";
    },
    mute() {
      state = "muted";
    },
    restore() {
      state = "open";
      for (const forward of held) forward();
      held.clear();
    },
    get connections() {
      return pairs.size;
    },
    get refused() {
      return refused;
    },
    async close() {
      state = "cut";
      dropAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
