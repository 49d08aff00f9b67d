/** What `action` gives, or the fault of `late` when it takes longer. The action is not stopped: who calls must see to its end. */
export async function within<T>(ms: number, action: () => Promise<T>, late: () => Error): Promise<T> {
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(() => over.reject(late()), ms);
  try {
    return await Promise.race([action(), over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
