import { expect, test } from "bun:test";

test("an idle channel costs at most 2 KB of server memory, Bun's own part included", async () => {
  const server = Bun.spawn(["bun", `${import.meta.dir}/idle-server.ts`], { stdout: "pipe", stderr: "inherit" });
  const out = await new Response(server.stdout).text();
  const { connections, bytesEach } = JSON.parse(out) as { connections: number; bytesEach: number };
  console.log(`idle raw channel: ${bytesEach} bytes of resident memory each, over ${connections}`);
  expect(connections).toBe(5_000);
  expect(bytesEach).toBeLessThan(2_048);
});
