import { afterAll, setDefaultTimeout } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../support/process.ts";

// A command is a process; on a busy machine a few of them in a row take a while.
setDefaultTimeout(60_000);

const folder = await mkdtemp(join(tmpdir(), "patchbay-command-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A path in a folder of this test file's own. */
export const scratch = (...names: string[]): string => join(folder, ...names);

/** What a command did. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `patchbay <args>` in a process of its own, with nothing but the given environment. */
export async function patchbay(
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<Outcome> {
  const child = Bun.spawn([process.execPath, "src/main.ts", ...args], {
    cwd: projectRoot,
    env: { PATH: process.env.PATH ?? "", DATA_DIR: scratch("data"), ...options.env },
    stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}
