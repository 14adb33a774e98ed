/**
 * First lines of a first conversation that uses Bun or the gateway's commands: `bun` and `patchbay` as a source tree has
 * them, also where Node alone is installed and Bun came by npx.
 */
export const shellOfSourceTree = `command -v bun >/dev/null || bun() { npx -y bun@1.4.5 "$@"; } # where there is Node alone
patchbay() { bun src/main.ts "$@"; } # not needed where patchbay is installed`;

/** The same where an executable serves, which has no source tree beside it and is a Bun as well. */
export function shellOfExecutable(path: string): string {
  const quoted = `'${path.replaceAll("'", `'\\''`)}'`;
  return `bun() { BUN_BE_BUN=1 ${quoted} "$@"; }
patchbay() { ${quoted} "$@"; }`;
}
