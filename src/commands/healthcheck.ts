import { isIPv6 } from "node:net";
import * as v from "valibot";
import { loadGateway } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { parseArguments } from "./usage.ts";

/** Longer than a readiness check takes at most. */
const timeLimit = 5_000;

const Readiness = v.object({ ok: v.boolean(), checks: v.record(v.string(), v.string()) });

/**
 * `patchbay healthcheck`, for containers: loads nothing but the gateway's own settings, since it runs every few seconds.
 */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  parseArguments(args, {});
  const { internalHost, internalPort } = loadGateway(env);
  const url = `http://${hostToAsk(internalHost)}:${internalPort}/readyz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeLimit) });
    const { ok, checks } = v.parse(Readiness, await response.json());
    const words = Object.entries(checks).map(([name, answer]) => `${name} ${answer}`);
    console.log([ok ? "ready" : "not ready", ...words].join(", "));
    return ok ? 0 : 1;
  } catch (error) {
    console.error(`no answer from ${url}: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

/** An address to listen on everywhere is not one to call. */
function hostToAsk(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return isIPv6(host) ? `[${host}]` : host;
}
