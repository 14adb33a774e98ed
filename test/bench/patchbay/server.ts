/** patchbay as a server under measurement: the real gateway, the real protocols, and a control line. */
import { loadSettings } from "../../../src/config/load.ts";
import { Gateway } from "../../../src/gateway/gateway.ts";
import { createLog } from "../../../src/observe/log.ts";
import { protocols } from "../../../src/protocols/index.ts";
import { listening } from "../peers/control.mjs";
import { rawProtocol } from "./raw-protocol.ts";

const measured = [...protocols, rawProtocol];
const settings = loadSettings(measured, process.env);
const log = createLog({ level: settings.gateway.logLevel, format: "json" });
const gateway = await Gateway.start({ settings, protocols: measured, log });
process.on("SIGTERM", () => void gateway.stop());
listening(Number(gateway.url.port));
