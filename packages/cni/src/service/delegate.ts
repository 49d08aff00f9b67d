/** IPAM as the configuration names it: ours in this process, any other by running it. Source: CNI SPEC 1.1.0 "Section 4". */
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import type { Netconf } from "../domain/netconf.ts";
import { parseResult } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import type { Datastore, Ports } from "../ports.ts";
import { ipamAdd, ipamCheck, ipamDel } from "./ipam-plugin.ts";

export type Delegation = { readonly conf: Netconf; readonly call: CniCall; readonly node: string; readonly datastore: Datastore };

function ipamType({ conf }: Delegation): string {
  const type = conf.ipam?.type;
  if (!type)
    throw new CniFault(
      "invalidConfig",
      "invalid network configuration: ipam.type: is missing",
      'expected for example {"type": "calico-ipam"}',
    );
  if (conf.ipam?.subnet === "usePodCidr")
    throw new CniFault("unsupportedField", "unsupported ipam.subnet: usePodCidr", "name the subnet, or use calico-ipam");
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
  if (type === "calico-ipam") await ipamDel({ ipam: d.datastore.ipam }, d);
  else await runPlugin(ports, type, d);
}

export async function delegateCheck(ports: Ports, d: Delegation): Promise<void> {
  const type = ipamType(d);
  if (type === "calico-ipam") await ipamCheck({ ipam: d.datastore.ipam }, d);
  else await runPlugin(ports, type, d);
}

export function ipamPorts(ports: Ports, d: Pick<Delegation, "conf" | "call" | "datastore">) {
  const namespace = d.call.args.get("K8S_POD_NAMESPACE");
  return {
    ipam: d.datastore.ipam,
    clock: ports.clock,
    namespaceLabels: async () => (namespace ? await ports.namespaceLabelsOf(d.conf, namespace) : undefined),
  };
}

async function runPlugin(ports: Ports, type: string, { conf, call }: Delegation): Promise<unknown> {
  const argsText = [call.argsText, "IgnoreUnknown=1"].filter((s) => s !== "").join(";");
  const done = await ports.execPlugin({
    type,
    call: { ...call, argsText },
    stdin: JSON.stringify({ ...conf.raw, cniVersion: conf.cniVersion }),
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

function parseOutput(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
