import { expect, test } from "bun:test";
import { startGateway } from "../support/gateway.ts";
import { openShell } from "./shell.ts";

const { patchbay } = openShell();

const portOf = (url: string) => new URL(url).port;

test("a gateway that is ready is healthy, and one that is gone is not", async () => {
  const gateway = await startGateway({ protocols: [] });
  const env = { INTERNAL_PORT: portOf(gateway.internalUrl), INTERNAL_HOST: "0.0.0.0" };
  expect(await patchbay(["healthcheck"], { env })).toEqual({ code: 0, out: "ready, database ok\n", err: "" });
  await gateway.stop();
  const { code, out, err } = await patchbay(["healthcheck"], { env });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain(`no answer from http://127.0.0.1:${env.INTERNAL_PORT}/readyz`);
});

test("an answer that is none of a gateway's is not healthy", async () => {
  const stranger = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  const { code } = await patchbay(["healthcheck"], { env: { INTERNAL_PORT: String(stranger.port) } });
  expect(code).toBe(1);
  await stranger.stop(true);
});
