import type { Applied } from "@calico/model";
import { openReports } from "@calico/bus";
import { makeLogger } from "@calico/daemon";

/** The agents' own word on what reached the kernel, collected while changes are made. */
export interface AppliedLog extends AsyncDisposable {
  /** Reports of what was applied at or after a time in milliseconds since the epoch. */
  since(ms: number): readonly Applied[];
}

export async function followApplied(nats: string): Promise<AppliedLog> {
  const log = makeLogger({ component: "lab", level: "error" });
  const abort = new AbortController();
  const seen: Applied[] = [];
  const done = (async () => {
    for await (const report of openReports({ servers: [nats], signal: abort.signal, log }))
      if (report.kind === "applied") seen.push(report.body);
  })();
  return {
    since: (ms) => seen.filter((r) => Date.parse(r.at) >= ms),
    async [Symbol.asyncDispose]() {
      abort.abort("the changes are made");
      await done;
    },
  };
}
