/**
 * Builds the executable: `bun run build` for this machine, `bun run build --target bun-linux-arm64` for another (any
 * target of `bun build --compile`; repeatable). Everything the gateway needs is inside.
 */
import { rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import { $ } from "bun";

const { values } = parseArgs({
  options: { target: { type: "string", multiple: true }, outfile: { type: "string", default: "dist/patchbay" } },
});
const commit = (await $`git rev-parse --short HEAD`.quiet().nothrow().text()).trim() || "unknown";

for (const target of values.target ?? [null]) {
  const outfile = target === null ? values.outfile : `${values.outfile}-${target.replace(/^bun-/, "")}`;
  const result = await Bun.build({
    entrypoints: [new URL("./main.ts", import.meta.url).pathname],
    target: "bun",
    // Nothing is left to parse at the start, which halves the time until it listens.
    bytecode: true,
    minify: { whitespace: true, syntax: true },
    sourcemap: "inline",
    define: { PATCHBAY_COMMIT: JSON.stringify(commit) },
    compile: {
      outfile,
      // An operator's folder may hold files of other programs: only the environment configures patchbay.
      autoloadDotenv: false,
      autoloadBunfig: false,
      ...(target === null ? {} : { target: target as Bun.Build.CompileTarget }),
    },
  });
  if (!result.success) throw new AggregateError(result.logs, "build failed");
  // The map is inside the executable; the copy beside it is of no use.
  await rm(`${outfile}.map`, { force: true });
  console.log(`${outfile} (commit ${commit})`);
}
