/** IPAM as the configuration names it: ours in this process, any other by running it. Source: CNI SPEC 1.1.0 "Section 4". */
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { PodFacts } from "../domain/pod.ts";
import { usesPodCidr, withPodCidrs } from "../domain/pod-cidr.ts";
import { parseResult } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import type { Datastore, Ports } from "../ports.ts";
import { ipamAdd, ipamCheck, ipamDel, ipamStatus } from "./ipam-plugin.ts";
import type { IpamPorts } from "./ipam-plugin.ts";
import { isMachineEnding, machineOfCall, mayBeMachine } from "./machine.ts";

export type Delegation = {
  readonly conf: Netconf;
  readonly call: CniCall;
  readonly node: string;
  readonly datastore: Datastore;
  /** Where they are known already, so that they are not asked for twice. */
  readonly namespaceLabels?: Readonly<Record<string, string>> | undefined;
  readonly pod?: PodFacts | undefined;
};

function ipamType({ conf }: Delegation): string {
  const type = conf.ipam?.type;
  if (!type)
    throw new CniFault(
      "invalidConfig",
      "invalid network configuration: ipam.type: is missing",
      'expected for example {"type": "calico-ipam"}',
    );
  if (type === "dhcp")
    throw new CniFault(
      "unsupportedField",
      "unsupported ipam.type: dhcp",
      "pods are reached by routes and not by a shared network segment, so no DHCP server hears them; use calico-ipam or host-local",
    );
  return type;
}

export async function delegateAdd(ports: Ports, d: Delegation): Promise<CniResult> {
  const type = ipamType(d);
  if (type === "calico-ipam") return await ipamAdd(ipamPorts(ports, d), d);
  const result = parseResult(await runPlugin(ports, type, d));
  if (result.ips.length === 0) throw new CniFault("delegate", `IPAM plugin ${type} returned no address`);
  return result;
}

export async function delegateDel(ports: Ports, d: Delegation): Promise<void> {
  const type = ipamType(d);
  if (type === "calico-ipam") await ipamDel(ipamPorts(ports, d), d);
  else await runPlugin(ports, type, d);
}

export async function delegateCheck(ports: Ports, d: Delegation & { readonly addresses: readonly string[] }): Promise<void> {
  const type = ipamType(d);
  if (type === "calico-ipam") await ipamCheck({ ipam: d.datastore.ipam }, d);
  else await runPlugin(ports, type, d);
}

/** Ours is part of the main plugin's GC. Source: CNI SPEC 1.1.0 "Delegated plugins". */
export async function delegateGc(ports: Ports, d: Delegation): Promise<void> {
  const type = ipamType(d);
  if (type !== "calico-ipam") await runPlugin(ports, type, d);
}

/** Throws when ADD could get no address. */
export async function delegateStatus(ports: Ports, d: Delegation): Promise<void> {
  const type = ipamType(d);
  if (type === "calico-ipam") await ipamStatus(d.datastore, d);
  else await runPlugin(ports, type, d);
}

export function ipamPorts(ports: Ports, d: Pick<Delegation, "conf" | "call" | "datastore" | "namespaceLabels" | "pod">): IpamPorts {
  const namespace = d.call.args.get("K8S_POD_NAMESPACE");
  return {
    ipam: d.datastore.ipam,
    resources: d.datastore.resources,
    clock: ports.clock,
    machine: () => machineOfCall(ports, d),
    mayBeMachine: mayBeMachine(d),
    isEnding: (place) => isMachineEnding(ports, d.conf, place),
    handlesOf: (owner) => d.datastore.handlesOf(owner),
    namespaceLabels: async () => d.namespaceLabels ?? (namespace ? (await ports.namespaceOf(d.conf, namespace))?.labels : undefined),
  };
}

async function runPlugin(ports: Ports, type: string, d: Delegation): Promise<unknown> {
  const { conf, call } = d;
  const argsText = [call.argsText, "IgnoreUnknown=1"].filter((s) => s !== "").join(";");
  const ipam = usesPodCidr(conf) ? { ipam: await filledIn(ports, d) } : {};
  const done = await ports.execPlugin({
    type,
    call: { ...call, argsText },
    stdin: JSON.stringify({ ...conf.raw, ...ipam, cniVersion: conf.cniVersion }),
  });
  const json = parseOutput(done.stdout);
  if (done.exit === 0) return json ?? {};
  const { code, msg, details } = (json ?? {}) as { code?: unknown; msg?: unknown; details?: unknown };
  const why = typeof msg === "string" ? msg : `it exited with ${done.exit}`;
  throw new CniFault(
    typeof code === "number" ? code : "delegate",
    `IPAM plugin ${type} failed (${call.command}): ${why}`,
    typeof details === "string" ? details : undefined,
  );
}

/** Only what asks for an address needs the true ranges; the rest must work without the API server. */
async function filledIn(ports: Ports, { conf, call, node }: Delegation): Promise<object> {
  const asks = call.command === "ADD" || call.command === "CHECK";
  const podCidrs = !asks ? undefined : await ports.podCidrsOf(conf, conf.kubernetes?.node_name || node);
  return withPodCidrs(conf.raw["ipam"] as Record<string, unknown>, podCidrs);
}

function parseOutput(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
