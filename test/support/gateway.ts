import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/clock.ts";
import { loadSettings } from "../../src/config/load.ts";
import { Gateway } from "../../src/gateway/gateway.ts";
import { createLog } from "../../src/observe/log.ts";
import { protocols as allProtocols } from "../../src/protocols/index.ts";
import type { Protocol } from "../../src/protocols/protocol.ts";
import { ManualClock } from "./clock.ts";

/** A gateway under test: its own ports, data folder and settings. */
export interface TestGateway {
  /** Public origin without a last slash. */
  readonly url: string;
  readonly internalUrl: string;
  readonly gateway: Gateway;
  /** Folder of its embedded database and secrets; give it to a second start to restart the same gateway. */
  readonly dataDir: string;
  /** Drains and stops, time going by meanwhile where the test moves it; removes the data folder unless `keepData`. */
  stop(options?: { keepData?: boolean }): Promise<void>;
}

export interface GatewayOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly protocols?: readonly Protocol[];
  readonly clock?: Clock;
  readonly dataDir?: string;
}

/** Starts a whole gateway in this process on free ports. */
export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "patchbay-test-")));
  const protocols = options.protocols ?? allProtocols;
  const settings = loadSettings(protocols, {
    HOST: "127.0.0.1",
    PORT: "0",
    INTERNAL_PORT: "0",
    DATA_DIR: dataDir,
    DRAIN_TIME: "5",
    LOG_LEVEL: "error",
    ACCEPT_RATE: "0",
    ...options.env,
  });
  const log = createLog({ level: settings.gateway.logLevel, format: "json" });
  const gateway = await Gateway.start({
    settings,
    protocols,
    log,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  return {
    url: gateway.url.origin,
    internalUrl: gateway.internalUrl.origin,
    gateway,
    dataDir,
    async stop({ keepData = false } = {}) {
      const { clock } = options;
      const passing = clock instanceof ManualClock ? setInterval(() => clock.advance(50), 1) : undefined;
      try {
        await gateway.stop();
      } finally {
        clearInterval(passing);
        if (!keepData) await rm(dataDir, { recursive: true, force: true });
      }
    },
  };
}
