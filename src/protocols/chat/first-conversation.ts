/** See `Protocol.firstConversation`. */
export function firstConversation(url: string): string {
  return url;
}
