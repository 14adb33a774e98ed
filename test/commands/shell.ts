import { afterAll, setDefaultTimeout } from "bun:test";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../support/process.ts";

/** What a command did. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A shell of one test file's own. */
export interface Shell {
  /** Runs `patchbay <args>` in a process of its own, with nothing but the given environment. */
  patchbay(args: readonly string[], options?: { env?: Record<string, string>; input?: string }): Promise<Outcome>;
  /** A path in a folder that goes with the test file. */
  scratch(...names: string[]): string;
}

/** Opens a shell; to be called once, by the test file itself. */
export function openShell(): Shell {
  // A command is a process; on a busy machine a few of them in a row take a while.
  setDefaultTimeout(240_000);
  const folder = mkdtempSync(join(tmpdir(), "patchbay-command-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const scratch = (...names: string[]) => join(folder, ...names);
  return {
    scratch,
    async patchbay(args, options = {}) {
      const child = Bun.spawn([process.execPath, "src/main.ts", ...args], {
        cwd: projectRoot,
        env: { PATH: process.env.PATH ?? "", DATA_DIR: scratch("data"), ...options.env },
        stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      return { code, out, err };
    },
  };
}
