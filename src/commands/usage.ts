import { type ParseArgsConfig, parseArgs } from "node:util";

/** The command line cannot be understood; nothing was done. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Reads a command's arguments: its options and exactly or at most so many words beside them. Throws {@link UsageError}
 * for what the command does not know.
 */
export function parseArguments<const Options extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: Options,
  words: { readonly least?: number; readonly most?: number } = {},
) {
  const parsed = understand(() => parseArgs({ args: [...args], options, allowPositionals: true, strict: true }));
  const { least = 0, most = least } = words;
  const { positionals } = parsed;
  if (positionals.length > most) throw new UsageError(`${positionals[most]} is one word too many`);
  if (positionals.length < least) throw new UsageError("a word is missing");
  return parsed;
}

function understand<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // Only the first sentence: what follows is advice about `--` that helps nobody here.
    if (error instanceof TypeError) throw new UsageError(error.message.split(". ")[0]!, { cause: error });
    throw error;
  }
}
