/** To be written. */
export function firstConversation(url: string): string {
  return `echo ${url}`;
}
