import type { Backplane } from "../../src/backplane/backplane.ts";

/** Collects the texts a node hears on a topic. */
export function hear(node: Backplane, topic: string): string[] {
  const heard: string[] = [];
  node.topics.subscribe(topic, (message) => heard.push(String(message)));
  return heard;
}
