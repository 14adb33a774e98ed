import * as v from "valibot";
import type { Topics } from "../../backplane/backplane.ts";
import type { Log } from "../../observe/log.ts";

const TOPIC = "chat";

const StoredMessage = v.object({
  id: v.number(),
  roomId: v.number(),
  senderId: v.string(),
  message: v.string(),
  tempId: v.string(),
  createdAt: v.number(),
  participants: v.array(v.string()),
});

/** What nodes tell each other. */
const Letter = v.variant("kind", [
  /** A message was stored: hand it to its recipients. */
  v.object({ kind: v.literal("stored"), message: StoredMessage }),
  /** End the sockets of a user: he was banned or kicked. */
  v.object({ kind: v.literal("close"), user: v.string(), code: v.number(), reason: v.string() }),
  /** End one connection of a user: a newer one took its place. */
  v.object({ kind: v.literal("replace"), user: v.string(), number: v.number() }),
  /** A confirmation for the newest socket of a user: the one that sent the message has been replaced. */
  v.object({
    kind: v.literal("confirm"),
    user: v.string(),
    confirmation: v.object({
      tempId: v.string(),
      reason: v.string(),
      stored: v.optional(v.object({ id: v.number(), createdAt: v.number() })),
    }),
  }),
]);
export type Letter = v.InferOutput<typeof Letter>;

/** Letters of one kind. */
export type LetterOf<Kind extends Letter["kind"]> = Extract<Letter, { kind: Kind }>;

/** What this node does with each kind of letter. */
export type Readers = { readonly [Kind in Letter["kind"]]: (letter: LetterOf<Kind>) => void };

/**
 * Letters from node to node. One object for the life of the process, which listens once: with a subscription for each
 * reload of the code, messages would reach their recipients twice while the old code goes and the new one comes.
 */
export class Mail {
  readonly #topics: Topics;
  readonly #log: Log;
  #readers: Readers | undefined;

  constructor(topics: Topics, log: Log) {
    this.#topics = topics;
    this.#log = log;
    topics.subscribe(TOPIC, (text) => this.#receive(String(text)));
  }

  /** Who reads from now on. */
  readBy(readers: Readers): void {
    this.#readers = readers;
  }

  /** To every other node. Never fails; letters wait while the way to the others is cut. */
  toAll(letter: Letter): void {
    this.#topics.publish(TOPIC, JSON.stringify(letter));
  }

  /** To one node, which may be this one. */
  toNode(node: string, letter: Letter): void {
    this.#topics.send(node, TOPIC, JSON.stringify(letter));
  }

  #receive(text: string): void {
    const letter = v.parse(v.pipe(v.string(), v.parseJson(), Letter), text);
    const read = this.#readers?.[letter.kind] as ((letter: Letter) => void) | undefined;
    if (read) read(letter);
    else this.#log.warn({ kind: letter.kind }, "a letter nobody reads");
  }
}
