const TIMEOUT_MS = 5000;

/** Source: calico cni-plugin/pkg/plugin (2xx and 3xx pass). */
export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body?.cancel();
    return response.status >= 200 && response.status < 400;
  } catch {
    // Not reachable is not ready: the caller asks again and says so in the end.
    return false;
  }
}
