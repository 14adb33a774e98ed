/**
 * A Kafka broker of a test's own: librdkafka's, inside a kcat that does nothing else. It keeps its data in memory, and of
 * each partition the last 5 MB.
 */
export interface KafkaBroker {
  /** host:port */
  readonly address: string;
  /** Everything in a topic so far; per key in the order it came. Rejects when the broker has dropped some of it. */
  read(topic: string): Promise<{ readonly key: string; readonly value: string }[]>;
  write(topic: string, values: readonly string[]): Promise<void>;
  /** Stops it where it stands: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

/**
 * Starts a broker. Without kcat on PATH it says so loudly and returns null; it throws when CI=true.
 */
export async function startKafka(): Promise<KafkaBroker | null> {
  const kcat = Bun.which("kcat") ?? Bun.which("kafkacat");
  if (kcat === null) {
    const text = "NOT TESTED WITH KAFKA: no kcat on PATH";
    if (process.env.CI === "true") throw new Error(text);
    console.error(`\n*** ${text} ***\n`);
    return null;
  }
  const mock = ["-X", "test.mock.num.brokers=1", "-b", "none", "-P", "-t", "unused", "-d", "mock"];
  // Its input is held open by this process, with which it ends.
  const child = Bun.spawn([kcat, ...mock], { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
  const address = await bootstrapOf(child.stderr);

  const run = async (args: readonly string[], input = ""): Promise<string> => {
    const tool = Bun.spawn([kcat, "-b", address, "-q", ...args], { stdin: Buffer.from(input), stderr: "ignore" });
    const output = await new Response(tool.stdout).text();
    await tool.exited;
    return output;
  };
  return {
    address,
    async read(topic) {
      const output = await run(["-C", "-t", topic, "-o", "beginning", "-e", "-f", "%p\t%o\t%k\t%s\n"]);
      const begun = new Set<string>();
      const messages = [];
      for (const line of output.split("\n").filter((line) => line !== "")) {
        const [partition = "", offset, key = "", ...value] = line.split("\t");
        if (!begun.has(partition) && offset !== "0") throw new Error(`the broker has dropped what came before ${line}`);
        begun.add(partition);
        messages.push({ key, value: value.join("\t") });
      }
      return messages;
    },
    async write(topic, values) {
      await run(["-P", "-t", topic], `${values.join("\n")}\n`);
    },
    pause() {
      child.kill("SIGSTOP");
    },
    resume() {
      child.kill("SIGCONT");
    },
    async close() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Where the broker listens, from what it says; what it says later is read and thrown away. */
async function bootstrapOf(output: ReadableStream<Uint8Array>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = async () => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of output) {
      if (text.length < 10_000) text += decoder.decode(chunk, { stream: true });
      const address = /bootstrap\.servers=(\S+)/.exec(text)?.[1];
      if (address !== undefined) resolve(address);
    }
    reject(new Error(`no broker: ${text}`));
  };
  read().catch(reject);
  return promise;
}
