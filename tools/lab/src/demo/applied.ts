import type { Applied } from "@calico/model";
import { natsConnection, openReports } from "@calico/bus";
import { makeLogger } from "@calico/daemon";

/** The agents' own word on what reached the kernel, collected while changes are made. */
export interface AppliedLog extends AsyncDisposable {
  /**
   * felix's reports of changes that it applied at or after `ms` (milliseconds since the epoch), as soon as there is one, of `node` if that is
   * given; empty after `withinMs`. A report comes some milliseconds after the kernel's change that it tells of.
   */
  changesSince(ms: number, options: { readonly withinMs: number; readonly node?: string }): Promise<readonly Applied[]>;
}

/** `env` as `Lab.environment`. */
export async function followApplied(nats: string, env: Readonly<Record<string, string>> = {}): Promise<AppliedLog> {
  const log = makeLogger({ component: "lab", level: "error" });
  const connection = natsConnection({
    ...{ node: env["NODENAME"] ?? "tools", natsCa: env["NATS_CA_FILE"], natsCert: env["NATS_CERT_FILE"], natsKey: env["NATS_KEY_FILE"] },
    ...{ natsUser: env["NATS_USER"], natsPasswordFile: env["NATS_PASSWORD_FILE"] },
  });
  const abort = new AbortController();
  const seen: Applied[] = [];
  const done = (async () => {
    for await (const report of openReports({ servers: [nats], signal: abort.signal, log, connection }))
      if (report.kind === "applied") seen.push(report.body);
  })();
  return {
    async changesSince(ms, { withinMs, node }) {
      const find = () =>
        seen.filter(
          (r) => r.component === "felix" && r.changed.length > 0 && Date.parse(r.at) >= ms && (node === undefined || r.node === node),
        );
      const deadline = Date.now() + withinMs;
      while (find().length === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
      return find();
    },
    async [Symbol.asyncDispose]() {
      abort.abort("the changes are made");
      await done;
    },
  };
}
