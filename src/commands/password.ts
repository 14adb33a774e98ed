/**
 * A password from standard input: typed without being shown when that is a terminal, its first line otherwise.
 * Rejects when a person gives up with Ctrl-C or Ctrl-D.
 */
export async function askPassword(prompt: string): Promise<string> {
  if (!process.stdin.isTTY) return (await Bun.stdin.text()).split(/\r?\n/, 1)[0]!;
  // Before the prompt: what is typed the moment it appears must not be echoed.
  process.stdin.setRawMode(true);
  process.stderr.write(prompt);
  try {
    return await typed();
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stderr.write("\n");
  }
}

async function typed(): Promise<string> {
  const letters: string[] = [];
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    for (const letter of String(chunk)) {
      if (letter === "\r" || letter === "\n") return letters.join("");
      if (letter === "\x03" || letter === "\x04") throw new Error("given up");
      if (letter === "\x7f" || letter === "\b") letters.pop();
      else letters.push(letter);
    }
  }
  return letters.join("");
}
