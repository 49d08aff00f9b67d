/**
 * apiserver: the lab's own small Kubernetes API server. A process of its own; all of its state is in etcd, below /registry.
 * This file only composes.
 */
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { type LogLevel, makeLogger, retry, untilSignal } from "@calico/daemon";
import { etcdAccess, openEtcd } from "@calico/datastore";
import { parseOptions } from "./adapter/options.ts";
import { loadTokens } from "./adapter/tokens.ts";
import { serveApi } from "./adapter/http-server.ts";
import { makeApi } from "./service/api.ts";
import { bootstrap, keepBootstrapped } from "./service/bootstrap.ts";
import { keepExpiring } from "./service/expire-events.ts";
import { makeRegistry } from "./service/registry.ts";

const program = new Command("apiserver")
  .description("a small Kubernetes API server for the lab, on etcd")
  .addOption(new Option("--etcd <urls>", "etcd endpoints, comma separated").env("ETCD_ENDPOINTS").default("http://127.0.0.1:2379"))
  .addOption(new Option("--etcd-ca <file>", "certificates that etcd's own must chain to, PEM").env("ETCD_CA_CERT_FILE"))
  .addOption(new Option("--etcd-cert <file>", "certificate for etcd, PEM").env("ETCD_CERT_FILE"))
  .addOption(new Option("--etcd-key <file>", "its key, PEM").env("ETCD_KEY_FILE"))
  .addOption(new Option("--listen <host:port>", "address to serve on; port 0 picks one").default("127.0.0.1:6443"))
  .option("--tls-cert <file>", "server certificate, PEM; without it the server speaks plain HTTP")
  .option("--tls-key <file>", "its key, PEM")
  .requiredOption("--token-file <file>", "accepted bearer tokens, one per line; mode 0600")
  .option("--service-cidr <cidr>", "range of ClusterIPs; its first address is the Service kubernetes", "10.96.0.0/12")
  .option("--advertise <ip>", "address in the endpoints of the Service kubernetes (default: the host of --listen)")
  .addOption(
    new Option("--log-level <level>", "least severe level that is logged").choices(["error", "warn", "info", "debug"]).default("info"),
  );
const flags = program.parse().opts<Record<string, string>>();
const options = parseOptions(flags);
const log = makeLogger({ component: "apiserver", level: flags["logLevel"] as LogLevel });
const signal = untilSignal("SIGTERM", "SIGINT");

await using app = new AsyncDisposableStack();
const access = etcdAccess({ etcdCa: flags["etcdCa"], etcdCert: flags["etcdCert"], etcdKey: flags["etcdKey"] });
const store = openEtcd({ endpoints: options.etcd, ...access, log });
app.defer(() => store.close());
const ports = {
  store,
  clock: () => new Date(),
  uid: () => crypto.randomUUID(),
  suffix: (length: number) =>
    Array.from(crypto.getRandomValues(new Uint8Array(length)), (b) => "bcdfghjklmnpqrstvwxz2456789"[b % 27]).join(""),
  serviceCidr: options.serviceCidr,
};
const registry = makeRegistry(ports);
const tls =
  options.tls === undefined ? undefined : { cert: readFileSync(options.tls.cert, "utf8"), key: readFileSync(options.tls.key, "utf8") };
const authenticate = loadTokens(options.tokenFile);
const advertised = { ip: options.advertise, port: options.port };
const onError = (error: unknown, attempt: number) => log.warn("etcd not ready, retrying", { attempt, error });
await retry(() => bootstrap(ports, registry, advertised), { signal, onError });
const handle = makeApi(ports, registry, { address: `${options.host}:${options.port}` });
const server = app.use(await serveApi({ ...options, tls, authenticate, handle, log }));
log.info("serving", { host: options.host, port: server.port, tls: tls !== undefined });
await Promise.all([
  keepExpiring(ports, registry, { signal, log }),
  retry(() => keepBootstrapped(ports, registry, { advertised, signal }), { signal, onError }),
]);
log.info("stopped", { reason: String(signal.reason) });
