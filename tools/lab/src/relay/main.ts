/** The relay as a process of its own, for the namespace it is started in: relay LISTEN=TO [LISTEN=TO …] */
import process from "node:process";
import { untilSignal } from "@calico/daemon";
import { openRelay, parseEndpoint } from "./relay.ts";

const signal = untilSignal("SIGTERM", "SIGINT");
await using stack = new AsyncDisposableStack();
for (const pair of process.argv.slice(2)) {
  const [listen, to] = pair.split("=");
  if (listen === undefined || to === undefined)
    throw new Error(`Cannot parse "${pair}": expected LISTEN=TO, each unix:/path or tcp:host:port`);
  stack.use(await openRelay({ listen: parseEndpoint(listen), to: parseEndpoint(to) }));
}
await new Promise((resolve) => signal.addEventListener("abort", resolve));
