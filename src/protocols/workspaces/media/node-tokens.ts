import { and, eq, inArray, notInArray } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Seal } from "../seal.ts";
import { readable } from "./readable.ts";
import { mediaNodeTokens } from "./tables.ts";

/** A token by which a node speaks to a server (W-10.5), plain. */
export interface NodeToken {
  readonly server: string;
  readonly node: string;
  readonly token: string;
}

/** The nodes' own tokens, on record so that those of a node that died do not stay good for ever. */
export class NodeTokens {
  readonly #database: Database;
  readonly #seal: Seal;

  constructor(parts: { database: Database; seal: Seal }) {
    this.#database = parts.database;
    this.#seal = parts.seal;
  }

  async record({ server, node, token }: NodeToken): Promise<void> {
    const sealed = this.#seal.seal(token);
    await this.#database.orm
      .insert(mediaNodeTokens)
      .values({ server, node, token: sealed })
      .onConflictDoUpdate({ target: [mediaNodeTokens.server, mediaNodeTokens.node], set: { token: sealed } });
  }

  /** Tokens on these servers of nodes other than the living ones. */
  async strays(servers: readonly string[], living: readonly string[]): Promise<NodeToken[]> {
    const stray = and(inArray(mediaNodeTokens.server, [...servers]), notInArray(mediaNodeTokens.node, [...living]));
    const rows = await this.#database.orm.select().from(mediaNodeTokens).where(stray);
    return readable(rows, (row) => ({ ...row, token: this.#seal.open(row.token) }));
  }

  /** Drops tokens of nodes that died on servers that are not in the settings any more. */
  async purge(known: readonly string[], living: readonly string[]): Promise<void> {
    const { server, node } = mediaNodeTokens;
    const lost = and(notInArray(server, [...known]), notInArray(node, [...living]));
    await this.#database.orm.delete(mediaNodeTokens).where(lost);
  }

  async forget({ server, node }: Pick<NodeToken, "server" | "node">): Promise<void> {
    const token = and(eq(mediaNodeTokens.server, server), eq(mediaNodeTokens.node, node));
    await this.#database.orm.delete(mediaNodeTokens).where(token);
  }
}
