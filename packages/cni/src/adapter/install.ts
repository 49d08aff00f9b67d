/** The installer: reads the node's environment and files, and puts ours in their places. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { makeLogger } from "@calico/daemon";
import type { Logger } from "@calico/daemon";
import { Command } from "commander";
import { displace, isWritable, place, undo } from "./install-files.ts";
import { DEFAULT_TEMPLATE, parseInstallEnvironment, renderConfig, renderKubeconfig } from "../domain/install-plan.ts";
import type { InstallEnvironment } from "../domain/install-plan.ts";

type Options = { readonly from: string; readonly binDir: string[]; readonly serviceAccount: string; readonly undo: boolean };

const ENVIRONMENT = `
Environment:
  CNI_NET_DIR (/etc/cni/net.d)  CNI_CONF_NAME, CNI_OLD_CONF_NAME (10-calico.conflist)
  CNI_NETWORK_CONFIG or CNI_NETWORK_CONFIG_FILE: the template; else etcd's, chained with portmap
  ETCD_ENDPOINTS, CNI_MTU, LOG_LEVEL, KUBERNETES_NODE_NAME, …: what fills __ETCD_ENDPOINTS__ and so on in it
  SKIP_CNI_BINARIES: names not to install, separated by commas  UPDATE_CNI_BINARIES (true): false leaves those that are there
  TLS_ASSETS_DIR (/calico-secrets): etcd-ca, etcd-cert, etcd-key are copied to CNI_NET_DIR/calico-tls
  SLEEP (false): true keeps the program running until it is told to end, as a container that must not restart
  KUBERNETES_SERVICE_HOST, _PORT: with a service account's token, CNI_NET_DIR/calico-kubeconfig is written`;

/** What runtimes run; it needs what is beside it, so that is put there first. */
const MAIN: readonly string[] = ["calico", "calico-ipam"];

type World = { readonly options: Options; readonly env: InstallEnvironment; readonly log: Logger };

/** As the command line says. What goes wrong is logged, and is exit code 1. */
export function runInstaller(): void {
  const options = new Command("install")
    .description(
      "Put the CNI executables and the network configuration in place, each file whole or not at all. Other plugins are left alone.",
    )
    .option("--from <dir>", "where calico, calico-ipam and calico.full are", "dist/cni")
    .option("--bin-dir <dir...>", "where executables go, those that are writable", ["/host/opt/cni/bin", "/host/secondary-bin-dir"])
    .option("--service-account <dir>", "the service account's token and ca.crt", "/var/run/secrets/kubernetes.io/serviceaccount")
    .option("--undo", "take away what was installed and put back what was there before", false)
    .addHelpText("after", ENVIRONMENT)
    .parse(process.argv)
    .opts<Options>();
  const world = { options, env: parseInstallEnvironment(process.env), log: makeLogger({ component: "cni-install" }) };
  try {
    if (options.undo) undoAll(world);
    else install(world);
    if (!options.undo && world.env.SLEEP) stayUntilSignal(world.log);
  } catch (e) {
    world.log.error("install failed", { reason: e instanceof Error ? e.message : String(e) });
    process.exitCode = 1;
  }
}

function stayUntilSignal(log: Logger): void {
  const staying = setInterval(() => {}, 2 ** 30);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => clearInterval(staying));
  log.info("waiting for a signal to end");
}

function install(world: World): void {
  const { env, log } = world;
  installExecutables(world);
  const tls = installTls(env);
  const kubeconfig = installKubeconfig(world);
  const template =
    env.CNI_NETWORK_CONFIG || (env.CNI_NETWORK_CONFIG_FILE ? readFileSync(env.CNI_NETWORK_CONFIG_FILE, "utf8") : DEFAULT_TEMPLATE);
  const config = renderConfig(template, { KUBECONFIG_FILEPATH: kubeconfig, ...process.env, ...tls });
  const path = join(env.CNI_NET_DIR, env.CNI_CONF_NAME);
  log.info("configuration installed", { path, outcome: place(path, config, 0o600) });
  const old = join(env.CNI_NET_DIR, env.CNI_OLD_CONF_NAME);
  if (env.CNI_OLD_CONF_NAME !== env.CNI_CONF_NAME && displace(old)) log.info("old configuration put aside", { path: old });
}

function installExecutables({ options, env: { SKIP_CNI_BINARIES, UPDATE_CNI_BINARIES }, log }: World): void {
  const skipped = SKIP_CNI_BINARIES.split(",").map((s) => s.trim());
  const names = readdirSync(options.from)
    .filter((name) => !name.startsWith(".") && !skipped.includes(name))
    .toSorted((a, b) => Number(MAIN.includes(a)) - Number(MAIN.includes(b)));
  const folders = options.binDir.filter(isWritable);
  const there = (dir: string) => MAIN.every((name) => existsSync(join(dir, name)));
  if (folders.length === 0 && (UPDATE_CNI_BINARIES || !options.binDir.some(there)))
    throw new Error(`Cannot install executables: none of ${options.binDir.join(", ")} can be written`);
  for (const folder of folders) {
    for (const name of names) {
      const path = join(folder, name);
      if (!UPDATE_CNI_BINARIES && existsSync(path)) continue;
      log.info("executable installed", { path, outcome: place(path, readFileSync(join(options.from, name)), 0o755) });
    }
  }
}

/** Values for the template: where the files are, for those that are there. */
function installTls({ TLS_ASSETS_DIR, CNI_NET_DIR }: InstallEnvironment): Record<string, string> {
  const files = { ETCD_CA_CERT_FILE: "etcd-ca", ETCD_CERT_FILE: "etcd-cert", ETCD_KEY_FILE: "etcd-key" };
  const there = Object.entries(files).filter(([, name]) => existsSync(join(TLS_ASSETS_DIR, name)));
  return Object.fromEntries(
    there.map(([variable, name]) => {
      const path = join(CNI_NET_DIR, "calico-tls", name);
      place(path, readFileSync(join(TLS_ASSETS_DIR, name)), 0o600);
      return [variable, path];
    }),
  );
}

function installKubeconfig({ options, env, log }: World): string | undefined {
  const file = (name: string) => join(options.serviceAccount, name);
  if (env.KUBERNETES_SERVICE_HOST === "" || !existsSync(file("token"))) return undefined;
  const ca = existsSync(file("ca.crt")) ? readFileSync(file("ca.crt"), "utf8") : undefined;
  const path = join(env.CNI_NET_DIR, env.KUBECONFIG_FILE_NAME);
  place(path, renderKubeconfig(env, { token: readFileSync(file("token"), "utf8").trim(), ca }), 0o600);
  log.info("kubeconfig installed", { path });
  return path;
}

/** The configuration goes first, so that no runtime finds one without its executables. */
function undoAll({ options, env, log }: World): void {
  for (const folder of [env.CNI_NET_DIR, join(env.CNI_NET_DIR, "calico-tls"), ...options.binDir]) {
    if (existsSync(folder)) log.info("undone", { folder, files: undo(folder) });
  }
}
