import { version } from "../../package.json";

declare const PATCHBAY_COMMIT: string | undefined;

/** What is running. The commit is written in by `bun build --define PATCHBAY_COMMIT='"..."'`. */
export const build = {
  version,
  commit: typeof PATCHBAY_COMMIT === "string" ? PATCHBAY_COMMIT : "development",
  bun: Bun.version,
} as const;
