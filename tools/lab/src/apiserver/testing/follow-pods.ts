/** For tests: follow all pods, print each event as a JSON line. Run under the runtime that is to be tested. */
import process from "node:process";
import { loadKubeconfig, openKubeClient, reflect, RESOURCES } from "@calico/kube-client";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
const client = openKubeClient(loadKubeconfig(process.argv[2] ?? ""));
for await (const event of reflect(client, RESOURCES.pods, { signal: stop.signal, project: (o) => o.metadata.labels?.["v"] ?? "" }))
  process.stdout.write(`${JSON.stringify(event)}\n`);
client.close();
