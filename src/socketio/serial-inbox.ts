/**
 * Handles items one at a time in the order they came. While one is being waited for, the others wait in line; as long
 * as none has to be waited for, nothing is stored and no promise is made.
 */
export abstract class SerialInbox<Item> {
  #busy = false;
  #line: Item[] | null = null;

  /** Items that wait for their turn. */
  protected get waiting(): number {
    return this.#line?.length ?? 0;
  }

  /** True while an item is being handled. */
  protected get busy(): boolean {
    return this.#busy;
  }

  /** Must neither throw nor reject. */
  protected abstract handle(item: Item): void | Promise<void>;

  /** Called whenever the last item was handled. */
  protected abstract idle(): void;

  protected put(item: Item): void {
    if (this.#busy) {
      this.#line ??= [];
      this.#line.push(item);
    } else {
      this.#busy = true;
      this.#work(item);
    }
  }

  /** Forgets the items that wait. */
  protected clear(): void {
    this.#line = null;
  }

  #work(first: Item | undefined): void {
    for (let item = first; item !== undefined; item = this.#line?.shift()) {
      const pending = this.handle(item);
      if (pending) {
        void pending.then(() => this.#work(this.#line?.shift()));
        return;
      }
    }
    this.#line = null;
    this.#busy = false;
    this.idle();
  }
}
