import type { Namespace } from "socket.io";
import type { EventHandler, NamespaceDeclaration } from "./endpoint.ts";
import type { Meters } from "./meters.ts";

/** A namespace with the declaration in force. Peers keep it over a reload and look into it at each event. */
export class DeclaredNamespace {
  readonly namespace: Namespace;
  readonly #meters: Meters;
  /** A map, so that names such as `__proto__` find nothing. */
  #events: ReadonlyMap<string, EventHandler<unknown>> = new Map();
  #declaration: NamespaceDeclaration<unknown>;

  constructor(namespace: Namespace, declaration: NamespaceDeclaration<never>, meters: Meters) {
    this.namespace = namespace;
    this.#meters = meters;
    this.#declaration = this.declare(declaration);
  }

  get declaration(): NamespaceDeclaration<unknown> {
    return this.#declaration;
  }

  event(name: string): EventHandler<unknown> | undefined {
    return this.#events.get(name);
  }

  /** Puts another declaration in force. */
  declare(erased: NamespaceDeclaration<never>): NamespaceDeclaration<unknown> {
    // The session type was erased for the endpoint's list; whatever `authenticate` gave comes back to its own handlers.
    const declaration = erased as unknown as NamespaceDeclaration<unknown>;
    this.#events = new Map(Object.entries(declaration.on));
    for (const name of this.#events.keys()) this.#meters.declare(name);
    this.#declaration = declaration;
    return declaration;
  }

  /** Hands the namespace to its declaration. Listeners an earlier declaration left on it are removed. */
  mounted(): void {
    this.namespace.removeAllListeners();
    this.#declaration.mounted?.(this.namespace);
  }
}
