/** Longer strings are likely to be of one client alone, such as tokens. */
const MAX_LENGTH = 256;
const MAX_STRINGS = 4096;

const strings = new Map<string, string>();

/**
 * Returns one string for all equal strings. Most headers are the same for thousands of clients, and sessions keep
 * theirs; sharing them saves each idle session about a kilobyte.
 */
export function intern(text: string): string {
  const known = strings.get(text);
  if (known !== undefined) return known;
  if (text.length <= MAX_LENGTH) {
    // Starting over is enough: what is in use stays with its sessions.
    if (strings.size === MAX_STRINGS) strings.clear();
    strings.set(text, text);
  }
  return text;
}
