import { expect, setDefaultTimeout, test } from "bun:test";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(60_000);

test("an idle channel costs at most 2 KB of server memory, Bun's own part included", async () => {
  const server = Bun.spawn(["bun", `${import.meta.dir}/idle-server.ts`], { stdout: "pipe", stderr: "inherit" });
  const out = await new Response(server.stdout).text();
  const { connections, bytesEach } = JSON.parse(out) as { connections: number; bytesEach: number };
  console.log(`idle raw channel: ${bytesEach} bytes of resident memory each, over ${connections}`);
  expect(connections).toBe(5_000);
  expect(bytesEach).toBeLessThan(2_048);
});
