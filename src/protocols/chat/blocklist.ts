import { readFileSync } from "node:fs";

/**
 * Words and phrases that refuse a message (C-4.15): whole words, in any case, whatever stands between them.
 */
export class Blocklist {
  /** Entries by their first word, each as its words with a space around every one. */
  readonly #phrases = new Map<string, string[]>();

  /** Takes the lines of a file; `#` begins a comment. */
  constructor(lines: Iterable<string>) {
    for (const line of lines) {
      const [first, ...more] = words(line.replace(/#.*/, ""));
      if (first === undefined) continue;
      const phrases = this.#phrases.get(first) ?? [];
      phrases.push(spaced([first, ...more]));
      this.#phrases.set(first, phrases);
    }
  }

  /** Reads a file of entries, one a line. Throws when it cannot be read. */
  static read(path: string): Blocklist {
    return new Blocklist(readFileSync(path, "utf8").split(/\r?\n/));
  }

  refuses(message: string): boolean {
    if (this.#phrases.size === 0) return false;
    const found = words(message);
    const text = spaced(found);
    return found.some((word) => this.#phrases.get(word)?.some((phrase) => text.includes(phrase)));
  }
}

/**
 * The words of a text without regard to case and to how the characters are composed. Upper case first: it unfolds what
 * lower case alone leaves different, such as the two forms of a lower-case sigma or the sharp s.
 */
function words(text: string): string[] {
  const folded = text.normalize("NFKC").toUpperCase().toLowerCase().normalize("NFKC");
  return folded.match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

const spaced = (parts: readonly string[]) => ` ${parts.join(" ")} `;
