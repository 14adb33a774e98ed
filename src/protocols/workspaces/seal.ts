import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A sealed text that none of the keys opens. */
export class Unsealable extends Error {
  override readonly name = "Unsealable";
}

/** Encrypts what has to be read again: invite codes, room secrets, recorded tokens (W-2.2, W-10.8). */
export class Seal {
  readonly #keys: readonly Buffer[];

  /** @param secrets a comma list: the first writes, all read (W-14.11) */
  constructor(secrets: string) {
    this.#keys = secrets
      .split(",")
      .map((secret) => secret.trim())
      .filter((secret) => secret !== "")
      .map((secret) => Buffer.from(hkdfSync("sha256", secret, "", "workspaces seal", 32)));
  }

  /** Encrypts a text; the same text gives another result every time. */
  seal(text: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#keys[0]!, nonce);
    const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64url");
  }

  /** Throws {@link Unsealable}. */
  open(sealed: string): string {
    const bytes = Buffer.from(sealed, "base64url");
    for (const key of this.#keys) {
      try {
        const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES));
        decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
        const body = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES));
        return Buffer.concat([body, decipher.final()]).toString("utf8");
      } catch {
        // Sealed with another key.
      }
    }
    throw new Unsealable("sealed with a key that is not in WORKSPACES_SECRET_KEY");
  }
}

/** What is stored in place of a token or code (W-2.2). Hex. */
export function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
