import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { protocols } from "../src/protocols/index.ts";
import { upToDate } from "../src/readme.ts";
import { startGateway } from "./support/gateway.ts";
import { projectRoot } from "./support/process.ts";

const readme = await Bun.file(join(projectRoot, "README.md")).text();

describe("the README", () => {
  test("is what `bun run readme` makes of it", () => {
    expect(readme).toBe(upToDate(readme));
  });

  test("lists every protocol that is served, and no other", () => {
    const listed = [...readme.matchAll(/^\| \[(\w+)\]\(src\/protocols\/\w+\/SPEC\.md\) /gm)].map((row) => row[1]);
    expect(listed.sort()).toEqual(protocols.map(({ name }) => name).sort());
  });

  test("lists every dependency", async () => {
    const { dependencies } = await Bun.file(join(projectRoot, "package.json")).json();
    const table = readme.slice(readme.indexOf("### Dependencies"));
    const missing = Object.keys(dependencies).filter((name) => !table.includes(name));
    expect(missing).toEqual([]);
  });
});

/** What a shell says and complains of when a first conversation is pasted into it. */
async function converse(
  conversation: (url: string, internal: string) => string,
  env: Record<string, string> = {},
): Promise<{ seen: string; complaints: string }> {
  const gateway = await startGateway();
  try {
    const shell = Bun.spawn(["bash", "-c", conversation(gateway.url, gateway.internalUrl)], {
      cwd: projectRoot,
      env: { ...process.env, DATA_DIR: gateway.dataDir, ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [seen, complaints] = await Promise.all([
      new Response(shell.stdout).text(),
      new Response(shell.stderr).text(),
    ]);
    return {
      seen: seen.replace(/\b\d{6}\b/g, "<pin>").replace(/\btemp-\d+/g, "<temp id>"),
      // Commands say on which kept secrets they stand.
      complaints: complaints.replace(/^.*"level":"warn".*\n/gm, ""),
    };
  } finally {
    await gateway.stop();
  }
}

describe("a first conversation works as it is printed", async () => {
  for (const { name, firstConversation } of protocols) {
    if (!firstConversation) continue;
    test(name, async () => {
      const { seen, complaints } = await converse(firstConversation);
      expect(complaints).toBe("");
      expect(seen).toMatchSnapshot();
    }, 120_000);
  }

  test("where there is Node alone, and Bun comes by npx", async () => {
    const path = await mkdtemp(join(tmpdir(), "patchbay-path-"));
    try {
      for (const tool of ["bash", "curl", "sed", "grep", "tr", "date"]) {
        await symlink(Bun.which(tool) ?? "", join(path, tool));
      }
      // Stands in for npx, which would fetch Bun from the registry.
      const npx = `#!/bin/sh\n[ "$1 $2" = "-y bun@1.4.5" ] && shift 2 && exec '${process.execPath}' "$@"\n`;
      await writeFile(join(path, "npx"), npx, { mode: 0o755 });
      for (const { name, firstConversation } of protocols) {
        if (!firstConversation) continue;
        const { seen, complaints } = await converse(firstConversation, { PATH: path });
        expect({ name, complaints }).toEqual({ name, complaints: "" });
        expect(seen).toMatchSnapshot(name);
      }
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  }, 120_000);
});
