/** What a write that is under way may still take when the process is told to end. */
const FINISH_MS = 1000;

/**
 * The work, or a second after the signal, whichever is first. What then still waits for a store or an API server that hangs is cut off;
 * every write bears that, as it bears a crash.
 */
export async function endSoon(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<void>((resolve) => {
    const begin = () => void (timer = setTimeout(resolve, FINISH_MS));
    if (signal.aborted) begin();
    else signal.addEventListener("abort", begin, { once: true });
  });
  await Promise.race([work, tooLate]);
  clearTimeout(timer);
}
