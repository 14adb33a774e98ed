import { randomBytes } from "node:crypto";
import { globSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { freePort } from "./free-port.ts";

/** Plugins a test server has, and the keys by which they let rooms be made. */
const plugins = ["audiobridge", "videoroom", "textroom"] as const;

/** A Janus of a test's own, with token authentication and the admin API. Started again it has forgotten everything. */
export interface TestJanus {
  /** HTTP API. */
  readonly url: string;
  readonly adminUrl: string;
  readonly adminSecret: string;
  readonly keys: Readonly<Record<(typeof plugins)[number], string>>;
  start(): Promise<void>;
  /** Ends it as `kill -9` does. Does nothing when it has ended. */
  kill(): Promise<void>;
  /** Stops it where it stands: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** The tokens it accepts requests with. */
  tokens(): Promise<string[]>;
  /** The ids of its sessions. */
  sessions(): Promise<number[]>;
  /** Kills it and removes its folder. */
  close(): Promise<void>;
}

const program = Bun.which("janus");
const libraries = globSync("/usr/lib/*/janus").concat(globSync("/usr/lib/janus"))[0];

/** Whether a Janus can be started here. Without one this says so loudly, and throws when CI=true. */
export const janusAvailable = program !== null && libraries !== undefined;
if (!janusAvailable) {
  const text = "NO JANUS: install the Debian package janus; the tests of media servers are NOT RUN";
  if (process.env.CI === "true") throw new Error(text);
  console.error(`\n*** ${text} ***\n`);
}

/** The secrets of servers that are used together; the same for all that this process starts. */
const adminSecret = randomBytes(12).toString("hex");
const [audiobridge = "", videoroom = "", textroom = ""] = plugins.map(() => randomBytes(12).toString("hex"));
const keys = { audiobridge, videoroom, textroom };

/** Starts a Janus on free ports, with a folder of its own. It ends with this process at the latest. */
export async function startJanus(): Promise<TestJanus> {
  if (program === null || libraries === undefined) throw new Error("there is no Janus to test with");
  const folder = await mkdtemp(join(tmpdir(), "patchbay-janus-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  await configure(folder, libraries, { port, adminPort });
  let child: Bun.Subprocess | null = null;
  let watch: Bun.Subprocess<"pipe"> | null = null;

  const admin = async (janus: string): Promise<Record<string, unknown>> => {
    const body = JSON.stringify({ janus, transaction: "test", admin_secret: adminSecret });
    const response = await fetch(server.adminUrl, { method: "POST", keepalive: false, body });
    return (await response.json()) as Record<string, unknown>;
  };

  const server: TestJanus = {
    url: `http://127.0.0.1:${port}/janus`,
    adminUrl: `http://127.0.0.1:${adminPort}/admin`,
    adminSecret,
    keys,
    async start() {
      const started = Bun.spawn([program, "-F", folder, "-C", join(folder, "janus.jcfg")], {
        stdout: "ignore",
        stderr: "ignore",
      });
      child = started;
      // Ends the server with this process, however that ends: its input is then closed.
      const command = 'cat > /dev/null; kill -9 "$0" 2> /dev/null; rm -rf "$1"';
      watch = Bun.spawn(["sh", "-c", command, String(started.pid), folder], { stdin: "pipe", stdout: "ignore" });
      watch.unref();
      started.unref();
      const answers = (url: string) => fetch(`${url}/info`, { keepalive: false }).then(Boolean, () => false);
      while (!((await answers(server.url)) && (await answers(server.adminUrl)))) {
        if (started.exitCode !== null) throw new Error(`janus ended with ${started.exitCode}`);
        await Bun.sleep(20);
      }
    },
    async kill() {
      watch?.kill("SIGKILL");
      child?.kill("SIGKILL");
      await child?.exited;
      child = null;
    },
    pause() {
      child?.kill("SIGSTOP");
    },
    resume() {
      child?.kill("SIGCONT");
    },
    async tokens() {
      const { data } = await admin("list_tokens");
      return (data as { tokens: { token: string }[] }).tokens.map(({ token }) => token);
    },
    async sessions() {
      return (await admin("list_sessions")).sessions as number[];
    },
    async close() {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/**
 * Only what is configured here is loaded: the folders hold links to one transport and three plugins. Sessions outlive
 * every test, however slow the machine is: some are not heard of for a while.
 */
async function configure(
  folder: string,
  libraries: string,
  server: { port: number; adminPort: number },
): Promise<void> {
  const link = (file: string) =>
    symlink(file, join(folder, file.includes("/plugins/") ? "plugins" : "transports", basename(file)));
  await Promise.all(["plugins", "transports", "none"].map((name) => mkdir(join(folder, name))));
  await Promise.all(plugins.map((name) => link(join(libraries, "plugins", `libjanus_${name}.so`))));
  await link(join(libraries, "transports", "libjanus_http.so"));
  await writeFile(
    join(folder, "janus.jcfg"),
    `general: {
      configs_folder = "${folder}"
      plugins_folder = "${folder}/plugins"
      transports_folder = "${folder}/transports"
      events_folder = "${folder}/none"
      loggers_folder = "${folder}/none"
      debug_level = 1
      admin_secret = "${adminSecret}"
      token_auth = true
      session_timeout = 3600
      interface = "127.0.0.1"
    }
    nat: { ice_enforce_list = "lo" }`,
  );
  await writeFile(
    join(folder, "janus.transport.http.jcfg"),
    `general: { json = "compact", base_path = "/janus", http = true, port = ${server.port}, ip = "127.0.0.1", https = false }
    admin: { admin_base_path = "/admin", admin_http = true, admin_port = ${server.adminPort}, admin_ip = "127.0.0.1" }`,
  );
  for (const name of plugins) {
    await writeFile(join(folder, `janus.plugin.${name}.jcfg`), `general: { admin_key = "${keys[name]}" }`);
  }
}
