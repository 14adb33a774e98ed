import { build } from "../observe/build.ts";
import { parseArguments } from "./usage.ts";

/** `patchbay version` */
export async function run(args: readonly string[]): Promise<number> {
  parseArguments(args, {});
  console.log(`patchbay ${build.version} (${build.commit}, Bun ${build.bun})`);
  return 0;
}
