import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Subprocess } from "bun";

/** The source tree under test. */
export const projectRoot = resolve(import.meta.dir, "../..");

/** A gateway in a process of its own, as an operator runs it. */
export interface GatewayProcess {
  readonly url: string;
  readonly internalUrl: string;
  readonly child: Subprocess;
  /** Everything it printed so far. */
  output(): string;
  /** Resolves when it has printed this text, counted from `since` characters of output. */
  printed(text: string, since?: number): Promise<void>;
  /** Ends it the hard way if it still runs and removes its data folder. */
  cleanUp(): Promise<void>;
}

/** Starts `bun <args>` (default: `src/main.ts serve`) with nothing but the given environment and waits until it listens. */
export async function startProcess(
  options: { command?: readonly string[]; cwd?: string; env?: Record<string, string>; dataDir?: string } = {},
): Promise<GatewayProcess> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "patchbay-process-")));
  const child = Bun.spawn([...(options.command ?? [process.execPath, "src/main.ts", "serve"])], {
    cwd: options.cwd ?? projectRoot,
    env: {
      PATH: process.env.PATH ?? "",
      HOST: "127.0.0.1",
      PORT: "0",
      INTERNAL_PORT: "0",
      LOG_FORMAT: "json",
      DATA_DIR: dataDir,
      ...options.env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  let changed = Promise.withResolvers<void>();
  const wake = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true });
      wake();
    }
  };
  let over = false;
  const ended = Promise.all([collect(child.stdout), collect(child.stderr), child.exited]).then(() => {
    over = true;
    wake();
  });
  const printed = async (text: string, since = 0) => {
    while (!output.slice(since).includes(text)) {
      // Over is more than ended: by then its last words have been read as well.
      if (over) throw new Error(`ended with ${child.exitCode} before printing "${text}":\n${output}`);
      await changed.promise;
    }
  };
  await printed('"listening"');
  const line = output.split("\n").find((candidate) => candidate.includes('"listening"')) ?? "";
  const { url, internal } = JSON.parse(line) as { url: string; internal: string };
  return {
    url,
    internalUrl: internal,
    child,
    output: () => output,
    printed,
    async cleanUp() {
      child.kill("SIGKILL");
      await ended;
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
