import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { peersFolder } from "./peer.ts";

/** The machine and the versions that a run's numbers belong to. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Packages of the peers whose versions are told. */
const PACKAGES = ["socket.io", "engine.io", "ws", "uwebsockets", "@socket.io/bun-engine", "@socket.io/redis-adapter"];

const Package = v.object({ version: v.string() });

/** Looks at the machine; the peers must be installed. */
export async function machine(): Promise<Machine> {
  const processors = cpus();
  const versions: Record<string, string> = {
    bun: Bun.version,
    node: Bun.which("node") ? Bun.spawnSync(["node", "--version"]).stdout.toString().trim().slice(1) : "none",
  };
  for (const name of PACKAGES) {
    const file = Bun.file(join(peersFolder, "node_modules", name, "package.json"));
    versions[name] = v.parse(Package, await file.json()).version;
  }
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    versions,
  };
}
