/**
 * A program as text, the same for the same program whatever led to it: what iptables-restore and `ipset restore` would be given,
 * then routes and devices. Replay compares these; goldens hold them.
 */
import { chainLines } from "./render/chain.ts";
import { TABLES, tableKey } from "./program.ts";
import type { Program, WantedSet } from "./program.ts";
import type { Family } from "./names.ts";

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export type ProgramText = { readonly ipset: string; readonly iptables: string; readonly ip6tables: string; readonly network: string };

export function renderProgramText(program: Program): ProgramText {
  return { ipset: ipsetText(program), iptables: tablesText(program, 4), ip6tables: tablesText(program, 6), network: networkText(program) };
}

/** All parts with headings. */
export function printProgram(program: Program): string {
  const text = renderProgramText(program);
  const part = (title: string, body: string) => (body === "" ? "" : `# ${title}\n${body}`);
  return [part("ipset", text.ipset), part("iptables", text.iptables), part("ip6tables", text.ip6tables), part("network", text.network)]
    .filter((s) => s !== "")
    .join("\n");
}

/** The line that makes a set. */
export function createLine(name: string, { type, family }: Pick<WantedSet, "type" | "family">): string {
  return `create ${name} ${type} family ${family === 4 ? "inet" : "inet6"} maxelem ${MAX_SET_SIZE}`;
}

/** Calico's MaxIpsetSize. */
export const MAX_SET_SIZE = 1048576;

function ipsetText({ sets }: Program): string {
  return [...sets]
    .toSorted(([a], [b]) => byText(a, b))
    .flatMap(([name, set]) => [createLine(name, set), ...[...set.members].toSorted(byText).map((m) => `add ${name} ${m}`)])
    .map((line) => `${line}\n`)
    .join("");
}

function tablesText(program: Program, family: Family): string {
  return TABLES.flatMap((table) => {
    const key = tableKey(family, table);
    const chains = [...(program.chains.get(key)?.values() ?? [])].toSorted((a, b) => byText(a.name, b.name));
    const hooks = program.hooks.get(key) ?? [];
    if (chains.length === 0 && hooks.length === 0) return [];
    return [
      `*${table}`,
      ...chains.map(({ name }) => `:${name} - [0:0]`),
      ...hooks.map(({ chain, where, rule }) => (where === "top" ? `-I ${chain} ${rule}` : `-A ${chain} ${rule}`)),
      ...chains.flatMap((chain) => chainLines(chain)),
      "COMMIT",
    ];
  })
    .map((line) => `${line}\n`)
    .join("");
}

function networkText(program: Program): string {
  const workloads = [...program.workloads.values()].toSorted((a, b) => byText(a.iface, b.iface));
  return [
    ...(program.ipip === undefined ? [] : [`device ${program.ipip.name} ipip ${program.ipip.address}`]),
    ...(program.vxlan === undefined ? [] : [deviceLine(program.vxlan)]),
    ...[...program.vteps.values()]
      .toSorted((a, b) => byText(a.node, b.node))
      .map((v) => `vtep ${v.node} ${v.mac} ${v.tunnelIp} at ${v.hostIp}`),
    ...[...program.routes.values()]
      .toSorted((a, b) => byText(a.dst, b.dst))
      .map((r) => `route ${r.dst} via ${r.via}${r.dev === undefined ? "" : ` dev ${r.dev} onlink`} proto 80`),
    ...workloads.flatMap((w) =>
      w.addresses.map((a) => `route ${a} dev ${w.iface} scope link${w.mac === undefined ? "" : ` lladdr ${w.mac}`}`),
    ),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function deviceLine(v: NonNullable<Program["vxlan"]>): string {
  return `device ${v.name} vxlan id ${v.vni} port ${v.port} local ${v.local} ${v.mac} ${v.address}`;
}
