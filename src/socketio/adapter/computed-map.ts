/** A map that is computed when it is read, and cannot be written. */
export class ComputedMap<K, V> extends Map<K, V> {
  readonly #find: (key: K) => V | undefined;
  readonly #all: () => Generator<[K, V], undefined>;

  constructor(find: (key: K) => V | undefined, all: () => Generator<[K, V], undefined>) {
    super();
    this.#find = find;
    this.#all = all;
  }

  override get(key: K): V | undefined {
    return this.#find(key);
  }

  override has(key: K): boolean {
    return this.#find(key) !== undefined;
  }

  override get size(): number {
    let size = 0;
    for (const _ of this.#all()) size++;
    return size;
  }

  override *keys(): Generator<K, undefined> {
    for (const [key] of this.#all()) yield key;
  }

  override *values(): Generator<V, undefined> {
    for (const [, value] of this.#all()) yield value;
  }

  override entries(): Generator<[K, V], undefined> {
    return this.#all();
  }

  override [Symbol.iterator](): Generator<[K, V], undefined> {
    return this.#all();
  }

  override forEach(visit: (value: V, key: K, map: Map<K, V>) => void): void {
    for (const [key, value] of this.#all()) visit(value, key, this);
  }

  override set(): never {
    throw new TypeError("this map is computed");
  }

  override delete(): never {
    throw new TypeError("this map is computed");
  }

  override clear(): never {
    throw new TypeError("this map is computed");
  }
}
