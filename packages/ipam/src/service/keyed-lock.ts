/** Runs actions of one key one after another; those of different keys go side by side. */
export interface KeyedLock {
  run<T>(key: string, action: () => Promise<T>): Promise<T>;
  /** Whether an action of that key runs or waits. */
  isHeld(key: string): boolean;
}

export function makeKeyedLock(): KeyedLock {
  const tails = new Map<string, Promise<unknown>>();
  return {
    async run(key, action) {
      const before = tails.get(key) ?? Promise.resolve();
      const mine = before.then(action, action);
      tails.set(key, mine);
      try {
        return await mine;
      } finally {
        if (tails.get(key) === mine) tails.delete(key);
      }
    },
    isHeld: (key) => tails.has(key),
  };
}
