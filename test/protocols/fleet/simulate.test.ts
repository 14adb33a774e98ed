import { expect, setDefaultTimeout, test } from "bun:test";
import { projectRoot, startProcess } from "../../support/process.ts";

setDefaultTimeout(60_000);

test("patchbay fleet simulate drives vehicles whose records are stored, with one command beside a gateway", async () => {
  const gateway = await startProcess({ env: { PROTOCOLS: "fleet" } });
  try {
    const dataDir = /"folder":"([^"]*)\/db"/.exec(gateway.output())?.[1] ?? "";
    const simulate = async () => {
      const place = ["--url", gateway.url, "--admin", gateway.internalUrl];
      const command = [
        process.execPath,
        "src/main.ts",
        "fleet",
        "simulate",
        "--vehicles",
        "3",
        "--every",
        "0.2",
        "--seconds",
        "3",
      ];
      const child = Bun.spawn([...command, ...place], {
        cwd: projectRoot,
        env: { PATH: process.env.PATH ?? "", DATA_DIR: dataDir },
        stdout: "pipe",
        stderr: "pipe",
      });
      return (await new Response(child.stdout).text()).trim().split("\n");
    };
    for (let run = 0; run < 2; run++) {
      const lines = await simulate();
      expect(lines[0]).toStartWith("3 vehicles report to ");
      const [, sent, stored] = /^(\d+) records sent, (\d+) stored$/.exec(lines.at(-1) ?? "") ?? [];
      expect(Number(stored)).toBeGreaterThan(0);
      expect(Number(sent)).toBeGreaterThanOrEqual(Number(stored));
      const authorization = `Basic ${btoa(/-u (\S+)/.exec(lines[1] ?? "")?.[1] ?? "")}`;
      const response = await fetch(`${gateway.url}/ws/vehiclesForUser`, { headers: { authorization } });
      const { data } = (await response.json()) as { data: { data: { pos: object | null } }[] };
      expect(data.map((vehicle) => vehicle.data.pos !== null)).toEqual([true, true, true]);
    }
  } finally {
    await gateway.cleanUp();
  }
});
