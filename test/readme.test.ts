import { describe, expect, test } from "bun:test";
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

describe("a first conversation works as it is printed", async () => {
  for (const { name, firstConversation } of protocols) {
    if (!firstConversation) continue;
    test(name, async () => {
      const gateway = await startGateway();
      try {
        const shell = Bun.spawn(["bash", "-c", firstConversation(gateway.url, gateway.internalUrl)], {
          cwd: projectRoot,
          env: { ...process.env, DATA_DIR: gateway.dataDir },
          stdout: "pipe",
          stderr: "pipe",
        });
        const [seen, complaints] = await Promise.all([
          new Response(shell.stdout).text(),
          new Response(shell.stderr).text(),
        ]);
        // Commands say on which kept secrets they stand.
        expect(complaints.replace(/^.*"level":"warn".*\n/gm, "")).toBe("");
        expect(seen.replace(/\b\d{6}\b/g, "<pin>").replace(/\btemp-\d+/g, "<temp id>")).toMatchSnapshot();
      } finally {
        await gateway.stop();
      }
    }, 120_000);
  }
});
