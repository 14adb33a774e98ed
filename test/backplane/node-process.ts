import type { RedisTimes } from "../../src/backplane/redis/times.ts";
import { openNode } from "./subjects.ts";

/** What the process of a node is asked to do, one thing at a time. */
export type Request =
  | { do: "open"; url: string; keyPrefix: string; times?: Partial<RedisTimes> }
  | { do: "join"; joins: [set: string, member: string, connection: string][] }
  | { do: "hang"; kind: string }
  | { do: "ping" };

/** What it answers, and what it tells by itself. */
export type Report =
  | { done: string; node?: string; failed?: string }
  | { fired: string }
  | { restored: [set: string, connection: string, first: boolean] };

const report = (message: Report) => process.send?.(message);

// A node in a process of its own, which a test can kill or hold up.
if (import.meta.main) {
  let node: Awaited<ReturnType<typeof openNode>> | null = null;
  const handle = async (request: Request) => {
    if (request.do === "open") {
      node = await openNode(request);
      node.presence.onRestored((set, { connection }, first) => report({ restored: [set, connection, first] }));
      return report({ done: "open", node: node.node });
    }
    if (request.do === "join") {
      await Promise.all(request.joins.map(([set, member, connection]) => node!.presence.join(set, member, connection)));
    } else if (request.do === "ping") {
      return node!.ping().then(
        () => report({ done: "ping" }),
        (error: unknown) => report({ done: "ping", failed: String(error) }),
      );
    } else {
      node!.timers.handle(request.kind, async (id) => {
        report({ fired: id });
        await new Promise(() => {});
      });
    }
    report({ done: request.do });
  };
  process.on("message", (request: Request) => void handle(request));
}

/** Starts a node in a process of its own, with further environment variables. */
export async function startNode(
  options: { url: string; keyPrefix: string; times?: Partial<RedisTimes> },
  env: Record<string, string> = {},
): Promise<{
  readonly node: string;
  readonly reports: readonly Report[];
  ask(request: Request): Promise<void>;
  /** Ends it without a chance to say good-bye. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
}> {
  const reports: Report[] = [];
  const waiting: (() => void)[] = [];
  let node = "";
  const child = Bun.spawn([process.execPath, import.meta.path], {
    stdout: "ignore",
    stderr: "inherit",
    env: { ...process.env, ...env },
    ipc(message: Report) {
      reports.push(message);
      if (!("done" in message)) return;
      node = message.node ?? node;
      waiting.shift()?.();
    },
  });
  const ask = (request: Request) =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
      child.send(request);
    });
  await ask({ do: "open", ...options });
  return {
    get node() {
      return node;
    },
    reports,
    ask,
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
    pause: () => child.kill("SIGSTOP"),
    resume: () => child.kill("SIGCONT"),
  };
}
