import process from "node:process";

const CLOSE_WITHIN_MS = 3000;

/**
 * The last line of a daemon: close what it holds, then end. What does not close in time, such as a connection that is being tried again
 * to a server that is gone, must not keep the process: whoever sent SIGTERM waits for it.
 */
export async function exitClean(app: AsyncDisposable): Promise<never> {
  const tooLate = new Promise((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS));
  await Promise.race([app[Symbol.asyncDispose](), tooLate]);
  process.exit(0);
}
