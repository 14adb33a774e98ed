import { createHmac, randomBytes } from "node:crypto";
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";

/** The file with the generated secrets cannot be used. The message says why and what to do. */
export class SecretsUnusable extends Error {
  override readonly name = "SecretsUnusable";
}

/** `seed` makes every secret; the others stand beside it so that a person can read and use them. */
const SecretsFile = v.objectWithRest({ seed: v.pipe(v.string(), v.minLength(32)) }, v.string());
type SecretsFile = v.InferOutput<typeof SecretsFile>;

/** Name of the file inside the data folder. */
export const secretsFile = "secrets.json";

/**
 * The generated secrets of an installation, kept in its data folder in a file that only its owner can read. A name not
 * seen before is derived from the seed, and the seed is written once, so processes that start at the same moment agree
 * without a lock. With `keep: false` nothing is written: what a later start would make is not known then.
 *
 * Throws {@link SecretsUnusable}.
 */
export function keptSecrets(dataDir: string, names: readonly string[], keep = true): Record<string, string> {
  const path = join(dataDir, secretsFile);
  try {
    const file = readSecrets(path) ?? (keep ? createSecrets(dataDir, path) : newSeed());
    const secrets = Object.fromEntries(names.map((name) => [name, file[name] ?? derive(file.seed, name)]));
    if (keep && names.some((name) => file[name] === undefined)) {
      replace(path, { ...file, ...secrets });
    }
    return secrets;
  } catch (cause) {
    if (cause instanceof SecretsUnusable) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SecretsUnusable(`generated secrets cannot be kept: ${reason}`, { cause });
  }
}

const newSeed = (): SecretsFile => ({ seed: randomBytes(32).toString("base64url") });

const derive = (seed: string, name: string): string => createHmac("sha256", seed).update(name).digest("base64url");

function readSecrets(path: string): SecretsFile | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = null;
  }
  const parsed = v.safeParse(SecretsFile, json);
  if (!parsed.success) throw new SecretsUnusable(`${path} is damaged`);
  return parsed.output;
}

/** Makes the file unless another process was faster; returns what is there afterwards. */
function createSecrets(dataDir: string, path: string): SecretsFile {
  mkdirSync(dataDir, { recursive: true });
  const draft = write(path, newSeed());
  try {
    // A link, unlike a rename, fails when the name is taken, and shows the file only when it is whole.
    linkSync(draft, path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const kept = readSecrets(path);
  if (kept === null) throw new SecretsUnusable(`${path} vanished while it was made`);
  return kept;
}

function replace(path: string, file: SecretsFile): void {
  renameSync(write(path, file), path);
}

/** Writes a draft beside the file, readable by its owner alone; returns its path. */
function write(path: string, file: SecretsFile): string {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(draft, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600, flag: "wx", flush: true });
  chmodSync(draft, 0o600);
  return draft;
}
