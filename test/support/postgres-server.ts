import { existsSync, globSync } from "node:fs";
import { chown, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "./free-port.ts";

/** A server process and where it answers, soon. */
export interface PostgresServer {
  readonly url: string;
  /** Ends it and removes its data; resolves when it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts a throw-away Postgres from the binaries on this machine; undefined when there are none. It ends with this
 * process at the latest.
 */
export async function startPostgres(settings: readonly string[] = []): Promise<PostgresServer | undefined> {
  const binaries = findBinaries();
  if (!binaries) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "patchbay-postgres-"));
  const asUser = await unprivileged(folder);
  const data = join(folder, "data");
  const made = Bun.spawnSync([...asUser, join(binaries, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N"]);
  if (made.exitCode !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const options = ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off", ...settings];
  const command = ["sh", "-c", untilInputEnds, folder, ...asUser, join(binaries, "postgres"), ...options];
  const server = Bun.spawn(command, { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  server.unref();
  servers.add(server);
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    async stop() {
      await server.stdin.end();
      await server.exited;
    },
  };
}

/** Holds them all: one that is collected as garbage would close its input and so end. */
const servers = new Set<Bun.Subprocess>();

/** Runs a command until our end of its input closes, which it does however this process ends; then removes `$0`. */
const untilInputEnds = '"$@" & cat > /dev/null; kill -QUIT $!; wait $!; rm -rf "$0"';

function findBinaries(): string | undefined {
  const inPath = Bun.which("initdb");
  const folders = [...(inPath ? [dirname(inPath)] : []), ...globSync("/usr/lib/postgresql/*/bin").sort().reverse()];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

/** Postgres refuses to run as root: root hands the folder to another user and starts it as that one. */
async function unprivileged(folder: string): Promise<string[]> {
  if (process.getuid?.() !== 0) return [];
  const id = (flag: string) => {
    const named = Bun.spawnSync(["id", flag, "postgres"]);
    return Number((named.exitCode === 0 ? named : Bun.spawnSync(["id", flag, "nobody"])).stdout.toString());
  };
  const [user, group] = [id("-u"), id("-g")];
  await chown(folder, user, group);
  return ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups"];
}
