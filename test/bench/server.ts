import { basename } from "node:path";
import * as v from "valibot";
import { linesOf } from "./lines.ts";
import { type Usage, usageOf } from "./usage.ts";

/** What a server says on its control line (peers/control.mjs). */
const Line = v.union([v.object({ port: v.number() }), v.object({ done: v.string() })]);
type Line = v.InferOutput<typeof Line>;

/**
 * Looks at memory that must pass without a fall until it counts as settled, and the pause between them in ms. V8 gives
 * back the pages of a collected heap only after five to eight quiet seconds.
 */
const SETTLED_LOOKS = 9;
const LOOK_PAUSE = 1000;

/** How to start a server: the command, and what it finds in its environment beside PATH. */
export interface Launch {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A server under measurement: a process of its own, with a control line on its standard input and output. */
export class BenchServer {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncGenerator<Line, void>;
  readonly port: number;

  private constructor(
    process: Bun.Subprocess<"pipe", "pipe", "inherit">,
    lines: AsyncGenerator<Line, void>,
    port: number,
  ) {
    this.#process = process;
    this.#lines = lines;
    this.port = port;
  }

  /** Starts the server and waits until it listens. Throws when it ends before that. */
  static async start({ command, env = {} }: Launch): Promise<BenchServer> {
    const process = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      env: { PATH: globalThis.process.env.PATH, HOME: globalThis.process.env.HOME, ...env },
    });
    const lines = controlLines(process.stdout);
    const first = (await lines.next()).value;
    if (!first || !("port" in first)) throw new Error(`${basename(command.at(-1)!)} ended before it listened`);
    return new BenchServer(process, lines, first.port);
  }

  usage(): Usage {
    return usageOf(this.#process.pid);
  }

  /** Resident bytes when all garbage is collected and the allocator has given back what it will. */
  async settledMemory(): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    for (let looks = 0; looks < SETTLED_LOOKS; looks++) {
      await this.#collect();
      await Bun.sleep(LOOK_PAUSE);
      const { rss } = this.usage();
      if (rss < least * 0.995) looks = 0;
      least = Math.min(rss, least);
    }
    return least;
  }

  /** Asks the process to end, as a supervisor does. */
  terminate(): void {
    this.#process.kill("SIGTERM");
  }

  /** Ends the process and waits until it is gone. */
  async stop(): Promise<void> {
    this.#process.stdin.end();
    await this.#process.exited;
  }

  async #collect(): Promise<void> {
    this.#process.stdin.write("gc\n");
    this.#process.stdin.flush();
    const answer = (await this.#lines.next()).value;
    if (!answer || !("done" in answer)) throw new Error("the server did not answer on its control line");
  }
}

/** The control lines in a server's output. Anything else it prints is passed on to standard error. */
async function* controlLines(output: ReadableStream<Uint8Array>): AsyncGenerator<Line, void> {
  for await (const line of linesOf(output)) {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Line), line);
    if (parsed.success) yield parsed.output;
    else console.error(line);
  }
}
