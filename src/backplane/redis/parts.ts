/** Members or timers looked up in one command: few enough that no other command waits long for it. */
const size = 1_000;

/** Asks for a list in parts, all of them sent before the first is answered; the answers in the order of the list. */
export async function inParts<T>(asked: readonly string[], ask: (part: string[]) => Promise<T[]>): Promise<T[]> {
  const parts = Array.from({ length: Math.ceil(asked.length / size) }, (_, index) =>
    asked.slice(index * size, (index + 1) * size),
  );
  return (await Promise.all(parts.map(ask))).flat();
}
