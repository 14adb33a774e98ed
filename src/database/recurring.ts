/** Longest text that is prepared, in characters, and most parameters: beyond them a text grew with the rows it writes. */
const maxLength = 4_000;
const maxParameters = 30;
/**
 * Texts prepared at most. On every connection the server keeps 12 kB for a simple one and 160 kB for the heaviest of ours
 * (measured on Postgres 15), and postgres.js never lets go of one.
 */
const maxTexts = 300;
/** How many of these may hold a list, of values or of rows: each length of it is another text. */
const maxLists = 100;
const list = / in \(\$|\), \(/;
/** Texts remembered that have come once. */
const maxCandidates = 1_000;

/**
 * The texts of statements that are worth preparing: those that have come before. Those with lists have places of their
 * own, since in time short ones of every length come twice; many values in one text that stays the same are best given as
 * one parameter.
 */
export class RecurringTexts {
  readonly #texts = new Set<string>();
  readonly #candidates = new Set<string>();
  #lists = 0;

  /** Notes a statement and tells whether to prepare it. One without parameters goes in one message as it is. */
  notes(text: string, parameters: readonly unknown[] = []): boolean {
    if (this.#texts.has(text)) return true;
    if (parameters.length === 0 || parameters.length > maxParameters) return false;
    if (text.length > maxLength || this.#texts.size >= maxTexts) return false;
    const isList = list.test(text);
    if (isList && this.#lists >= maxLists) return false;
    if (this.#candidates.delete(text)) {
      this.#texts.add(text);
      if (isList) this.#lists++;
      return true;
    }
    if (this.#candidates.size >= maxCandidates) this.#candidates.clear();
    this.#candidates.add(text);
    return false;
  }
}
