/** Resolves when a condition holds that no event tells. The limit on the wait is the test's own. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(2);
}

/** Resolves when a value has stayed the same over many looks: when something has come to rest. */
export async function settled(read: () => number): Promise<number> {
  let last = read();
  for (let same = 0; same < 50; ) {
    await Bun.sleep(4);
    const now = read();
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return last;
}
