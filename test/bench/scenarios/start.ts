import { existsSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { number, spread, verdict } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { linesOf } from "../lines.ts";
import type { Scenario } from "../scenario.ts";
import type { Stores } from "../stores.ts";
import { usageOf } from "../usage.ts";

const root = join(import.meta.dir, "../../..");
const source = [process.execPath, join(root, "src/main.ts")];
const executable = join(root, "dist/patchbay");

/** A way to start, and the stores of one first start and the one after it. */
interface Start {
  readonly name: string;
  readonly command: readonly string[];
  stores(): Promise<Readonly<Record<string, string>>>;
}

export const start: Scenario = {
  name: "start",
  about: "time from the start of the process until it says that it listens; the first time on empty stores, and again",
  async run({ stores, rounds }) {
    const commands: [string, string[]][] = [["bun src/main.ts", source]];
    if (existsSync(executable)) commands.push(["dist/patchbay", [executable]]);
    const starts = commands.flatMap(([name, command]) => waysToStart(name, command, stores));
    return [
      {
        title: "start: milliseconds from process start to listening",
        columns: [
          number("first ms", "firstMs", 0),
          spread("min-max", "firstMs", 0),
          number("CPU s", "firstCpu", 2),
          number("again ms", "againMs", 0),
          spread("min-max", "againMs", 0),
          number("CPU s", "againCpu", 2),
          number("MiB", "mib", 0),
          verdict,
        ],
        results: await contest(starts, rounds, play),
      },
    ];
  },
};

const waysToStart = (name: string, command: readonly string[], stores: Stores): Start[] => [
  {
    name: `${name}, embedded`,
    command,
    stores: async () => ({ DATA_DIR: await stores.folder() }),
  },
  {
    name: `${name}, Postgres + Redis`,
    command,
    stores: async () => ({
      DATA_DIR: await stores.folder(),
      DATABASE_URL: await stores.database(),
      REDIS_URL: stores.redisUrl,
      KEY_PREFIX: stores.keyPrefix(),
    }),
  },
];

async function play({ command, stores }: Start): Promise<Sample> {
  const env = await stores();
  const first = await startOnce(command, env);
  const again = await startOnce(command, env);
  return {
    firstMs: first.milliseconds,
    firstCpu: first.cpu,
    againMs: again.milliseconds,
    againCpu: again.cpu,
    mib: again.rss / 2 ** 20,
  };
}

const Listening = v.pipe(v.string(), v.parseJson(), v.object({ msg: v.literal("listening"), internal: v.string() }));

/** Starts, waits for the line that says "listening", checks that it is true, and stops. */
async function startOnce(command: readonly string[], env: Readonly<Record<string, string>>) {
  const started = performance.now();
  const process = Bun.spawn([...command, "serve"], {
    stdout: "pipe",
    stderr: "inherit",
    env: { PATH: Bun.env.PATH, HOST: "127.0.0.1", PORT: "0", INTERNAL_PORT: "0", LOG_FORMAT: "json", ...env },
  });
  // Not by `for await`, which would close the pipe at the end while the gateway still writes its log to it.
  const lines = linesOf(process.stdout);
  try {
    for (let line = await lines.next(); !line.done; line = await lines.next()) {
      const listening = v.safeParse(Listening, line.value);
      if (!listening.success) continue;
      const milliseconds = performance.now() - started;
      const usage = usageOf(process.pid);
      const { status } = await fetch(`${listening.output.internal}/readyz`);
      if (status !== 200) throw new Error(`/readyz answered ${status}`);
      return { milliseconds, ...usage };
    }
    throw new Error("it ended before it listened");
  } finally {
    process.kill();
    await process.exited;
  }
}
