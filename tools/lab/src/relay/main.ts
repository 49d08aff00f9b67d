/** The relay as a process of its own, for the namespace it is started in: relay LISTEN=TO [LISTEN=TO …] */
import process from "node:process";
import { untilSignal } from "@calico/daemon";
import { openRelay, parseEndpoint } from "./relay.ts";

const USAGE = "relay LISTEN=TO [LISTEN=TO ...]: passes connections on; each side is unix:/path or tcp:host:port";

const pairs = process.argv.slice(2);
if (pairs.includes("--help") || pairs.includes("-h")) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}
const signal = untilSignal("SIGTERM", "SIGINT");
await using stack = new AsyncDisposableStack();
for (const pair of pairs) {
  const [listen, to] = pair.split("=");
  if (listen === undefined || to === undefined) {
    process.stderr.write(`Cannot parse "${pair}": ${USAGE}\n`);
    process.exit(1);
  }
  stack.use(await openRelay({ listen: parseEndpoint(listen), to: parseEndpoint(to) }));
}
await new Promise((resolve) => signal.addEventListener("abort", resolve));
