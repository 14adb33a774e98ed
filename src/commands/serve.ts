import { isatty } from "node:tty";
import { systemClock } from "../clock.ts";
import { loadSettings } from "../config/load.ts";
import { Gateway } from "../gateway/gateway.ts";
import { createLog, type Log, type RootLog } from "../observe/log.ts";
import { protocols } from "../protocols/index.ts";
import { shellOfExecutable, shellOfSourceTree } from "../protocols/shell.ts";
import { firstOf } from "./signals.ts";
import { parseArguments } from "./usage.ts";

/** The gateway of this process. It lives outside the module because `bun --hot` evaluates modules again. */
const process_ = globalThis as { patchbay?: Promise<Gateway>; patchbayGuarded?: true };

/** Milliseconds in which most clients that were sent away have tried again: they wait for half a second to one and a half. */
const LINGER = 1_500;

/**
 * Runs the gateway until SIGTERM or SIGINT, then drains it; a second signal ends the process at once. SIGHUP has it read
 * the files that settings name anew (C-4.15). Under `bun --hot` a later evaluation finds the running gateway and puts the
 * new declarations into it.
 */
export async function run(args: readonly string[], env: Record<string, string | undefined>): Promise<number> {
  parseArguments(args, {});
  if (process_.patchbay) {
    const gateway = await process_.patchbay;
    await gateway.reload(protocols);
    return 0;
  }
  const settings = loadSettings(protocols, env);
  const { logLevel, logFormat } = settings.gateway;
  const log = createLog({ level: logLevel, format: logFormat });
  for (const warning of settings.warnings) log.warn({}, warning);
  endOnUnforeseen(log);
  process_.patchbay = Gateway.start({ settings, protocols, log });
  // A start that failed must not stand in the way of the next one, which a reload brings.
  process_.patchbay.catch(() => delete process_.patchbay);
  const gateway = await process_.patchbay;
  announce(gateway, settings.serves, log, env.NODE_ENV === "production");
  const endings: NodeJS.Signals[] = ["SIGTERM", "SIGINT"];
  // A terminal sends it when it goes away, and with it whoever could stop what was started there.
  if (isatty(0)) endings.push("SIGHUP");
  else process.on("SIGHUP", () => reload(gateway, log));
  await firstOf(endings, { source: process, clock: systemClock, again: () => process.exit(1) });
  // A store that does not answer while it is closed must not hold the process beyond its time.
  const overdue = Bun.sleep(settings.gateway.drainTime).then(() => log.warn({}, "cut short: the drain time is over"));
  await Promise.race([gateway.stop({ linger: LINGER }), overdue]);
  await log.flush();
  // Under `bun --hot` the watcher of files would keep the process alive.
  process.exit(0);
}

/** A fault that nothing caught leaves the state unknown: it is logged, and whoever supervises the process starts it anew. */
function endOnUnforeseen(log: RootLog): void {
  // A start that failed under `bun --hot` has been here before.
  if (process_.patchbayGuarded) return;
  process_.patchbayGuarded = true;
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, async (error: unknown) => {
      log.fatal({ error }, event);
      await log.flush();
      process.exit(1);
    });
  }
}

function reload(gateway: Gateway, log: Log): void {
  gateway.reload().catch((error) => log.error({ error }, "reload failed"));
}

/** Tells where the gateway listens and, outside production, how to hold a first conversation. */
function announce(gateway: Gateway, serves: (name: string) => boolean, log: Log, production: boolean): void {
  const url = gateway.url.origin.replace("0.0.0.0", "localhost");
  const internal = gateway.internalUrl.origin;
  log.info({ url, internal, maxConnections: gateway.maxConnections }, "listening");
  if (production) return;
  const shell = Bun.main.startsWith("/$bunfs/") ? shellOfExecutable(process.execPath) : shellOfSourceTree;
  const lines = [
    "",
    `patchbay listens on ${url} (room for ${gateway.maxConnections} sockets)`,
    `health and metrics on ${internal}/readyz and ${internal}/metrics`,
  ];
  for (const protocol of protocols) {
    if (protocol.firstConversation && serves(protocol.name)) {
      lines.push("", `A first conversation with ${protocol.name}, to paste into another shell in this folder:`, "");
      lines.push(protocol.firstConversation(url, internal).replace(shellOfSourceTree, () => shell));
    }
  }
  console.log(lines.join("\n"));
}
