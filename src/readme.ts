/** `bun run readme` writes those parts of the README that are made from the code. */
import { describeSettings, settingsMarkdown } from "./config/describe.ts";
import { protocols } from "./protocols/index.ts";

/** Where the README's conversations find the gateway. */
const address = "http://localhost:8080";
const internal = "http://localhost:8081";

/** The README with its table of settings and its first conversations brought up to date. Throws when a block is missing. */
export function upToDate(readme: string): string {
  let text = withBlock(readme, "settings", settingsMarkdown(describeSettings(protocols)));
  for (const { name, firstConversation } of protocols) {
    if (!firstConversation) continue;
    text = withBlock(text, `conversation ${name}`, `\`\`\`sh\n${firstConversation(address, internal)}\n\`\`\``);
  }
  return text;
}

/** A document with the block between two markers replaced. */
function withBlock(document: string, name: string, block: string): string {
  const opening = `<!-- ${name} -->`;
  const closing = `<!-- /${name} -->`;
  const start = document.indexOf(opening);
  const end = document.indexOf(closing, start);
  if (start === -1 || end === -1) throw new Error(`no block between ${opening} and ${closing}`);
  return `${document.slice(0, start + opening.length)}\n${block}\n${document.slice(end)}`;
}

if (import.meta.main) {
  const file = Bun.file(new URL("../README.md", import.meta.url));
  await file.write(upToDate(await file.text()));
}
