/** Values by key, of which it remembers only what it last sent: so what comes out depends on what is, not on how it came to be. */
export class KeyedOutput<V> {
  readonly #sent = new Map<string, V>();
  readonly #pending = new Map<string, V | undefined>();
  readonly #same: (a: V, b: V) => boolean;

  constructor(same: (a: V, b: V) => boolean) {
    this.#same = same;
  }

  /** What the key should be from now on; undefined for nothing. */
  set(key: string, value: V | undefined): void {
    this.#pending.set(key, value);
  }

  get size(): number {
    return this.#sent.size;
  }

  /** The keys whose value differs from what was sent. */
  flush(): readonly { readonly key: string; readonly value?: V }[] {
    const out: { key: string; value?: V }[] = [];
    for (const [key, value] of this.#pending) {
      const sent = this.#sent.get(key);
      if (value === undefined) {
        if (this.#sent.delete(key)) out.push({ key });
      } else if (sent === undefined || !this.#same(sent, value)) {
        this.#sent.set(key, value);
        out.push({ key, value });
      }
    }
    this.#pending.clear();
    return out;
  }
}

export const sameJson = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
