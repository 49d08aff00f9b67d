/**
 * The filter table's fixed chains. The order of their rules is part of the contract.
 *
 * Source: Calico felix/rules/static.go (StaticFilterTableChains).
 */
import { allMarks, clearMark, markClear, markSet, setMark } from "../marks.ts";
import { CHAIN_PREFIX, DISPATCH, FIXED_SETS, INTERFACE_PREFIX } from "../names.ts";
import type { Rule } from "../program.ts";
import { renderChain, renderHook } from "./chain.ts";
import { setMatch } from "./matches.ts";
import { HOST_CHAINS } from "./static.ts";
import type { StaticOptions, StaticTable } from "./static.ts";

const WORKLOADS_IN = `-i ${INTERFACE_PREFIX}+`;
const WORKLOADS_OUT = `-o ${INTERFACE_PREFIX}+`;
const WL_TO_HOST = `${CHAIN_PREFIX}wl-to-host`;
const CIDR_BLOCK = `${CHAIN_PREFIX}cidr-block`;
/** Neighbour and router discovery, and multicast listening: without these, IPv6 on the link does not work. */
const ICMP6_ALWAYS = [130, 131, 132, 133, 135, 136];

export function renderStaticFilter(o: StaticOptions): StaticTable {
  return {
    table: "filter",
    chains: [
      renderChain(`${CHAIN_PREFIX}INPUT`, input(o)),
      renderChain(`${CHAIN_PREFIX}FORWARD`, forward(o)),
      renderChain(`${CHAIN_PREFIX}OUTPUT`, output(o)),
      renderChain(WL_TO_HOST, workloadToHost(o)),
      renderChain(CIDR_BLOCK, cidrBlock(o)),
      renderChain(HOST_CHAINS.from, []),
      renderChain(HOST_CHAINS.to, []),
      renderChain(HOST_CHAINS.fromForward, []),
      renderChain(HOST_CHAINS.toForward, []),
    ],
    hooks: [
      renderHook("INPUT", "top", { action: `--jump ${CHAIN_PREFIX}INPUT` }),
      renderHook("FORWARD", "top", { action: `--jump ${CHAIN_PREFIX}FORWARD` }),
      renderHook("OUTPUT", "top", { action: `--jump ${CHAIN_PREFIX}OUTPUT` }),
      renderHook("FORWARD", "end", {
        match: markSet(o.marks.accept),
        action: "--jump ACCEPT",
        comments: ["Policy explicitly accepted packet."],
      }),
      renderHook("FORWARD", "end", { action: setMark(o.marks.accept) }),
    ],
  };
}

function input(o: StaticOptions): readonly Rule[] {
  return [
    ...tunnelInput(o),
    { match: WORKLOADS_IN, action: `--goto ${WL_TO_HOST}` },
    accepted(o),
    { action: clearMark(allMarks(o.marks)) },
    { action: `--jump ${HOST_CHAINS.from}` },
    { ...accepted(o), comments: ["Host endpoint policy accepted packet."] },
  ];
}

/** Only other nodes may send tunnelled packets to this node. */
function tunnelInput({ family, ipip, vxlan, vxlanPort }: StaticOptions): readonly Rule[] {
  const local = "-m addrtype --dst-type LOCAL";
  const rules: Rule[] = [];
  if (ipip && family === 4) {
    rules.push({
      match: `-p ipencap ${setMatch(family, FIXED_SETS.allHosts, "source")} ${local}`,
      action: "--jump ACCEPT",
      comments: ["Allow IPIP packets from Calico hosts"],
    });
    rules.push({ match: "-p ipencap", action: "--jump DROP", comments: ["Drop IPIP packets from non-Calico hosts"] });
  }
  if (vxlan && family === 4) {
    const port = `-p udp -m multiport --destination-ports ${vxlanPort}`;
    rules.push({
      match: `${port} ${setMatch(family, FIXED_SETS.allVxlan, "source")} ${local}`,
      action: "--jump ACCEPT",
      comments: ["Allow IPv4 VXLAN packets from allowed hosts"],
    });
    rules.push({ match: `${port} ${local}`, action: "--jump DROP", comments: ["Drop IPv4 VXLAN packets from non-allowed hosts"] });
  }
  return rules;
}

function workloadToHost({ family, endpointToHostAction }: StaticOptions): readonly Rule[] {
  const discovery =
    family === 6 ? ICMP6_ALWAYS.map((type): Rule => ({ match: `-p icmpv6 -m icmp6 --icmpv6-type ${type}`, action: "--jump ACCEPT" })) : [];
  return [
    ...discovery,
    { action: `--jump ${DISPATCH.from}` },
    { action: `--jump ${endpointToHostAction}`, comments: ["Configured DefaultEndpointToHostAction"] },
  ];
}

function forward({ marks }: StaticOptions): readonly Rule[] {
  return [
    { action: clearMark(allMarks(marks) & ~marks.accept) },
    { match: markClear(marks.accept), action: `--jump ${HOST_CHAINS.fromForward}` },
    { match: WORKLOADS_IN, action: `--jump ${DISPATCH.from}` },
    { match: WORKLOADS_OUT, action: `--jump ${DISPATCH.to}` },
    { action: `--jump ${HOST_CHAINS.toForward}` },
    { action: `--jump ${CIDR_BLOCK}` },
  ];
}

function output(o: StaticOptions): readonly Rule[] {
  return [
    accepted(o),
    { match: WORKLOADS_OUT, action: "--jump RETURN" },
    ...tunnelOutput(o),
    { action: clearMark(allMarks(o.marks)) },
    { match: "-m conntrack ! --ctstate DNAT", action: `--jump ${HOST_CHAINS.to}` },
    { ...accepted(o), comments: ["Host endpoint policy accepted packet."] },
  ];
}

function tunnelOutput({ family, ipip, vxlan, vxlanPort }: StaticOptions): readonly Rule[] {
  const local = "-m addrtype --src-type LOCAL";
  const rules: Rule[] = [];
  if (ipip && family === 4) {
    const match = `-p ipencap ${setMatch(family, FIXED_SETS.allHosts, "destination")} ${local}`;
    rules.push({ match, action: "--jump ACCEPT", comments: ["Allow IPIP packets to other Calico hosts"] });
  }
  if (vxlan && family === 4) {
    const match = `-p udp -m multiport --destination-ports ${vxlanPort} ${local} ${setMatch(family, FIXED_SETS.allVxlan, "destination")}`;
    rules.push({ match, action: "--jump ACCEPT", comments: ["Allow IPv4 VXLAN packets to other allowed hosts"] });
  }
  return rules;
}

function cidrBlock({ family, serviceCidrs }: StaticOptions): readonly Rule[] {
  return serviceCidrs
    .filter((cidr) => cidr.includes(":") === (family === 6))
    .map((cidr) => ({ match: `--destination ${cidr}`, action: "--jump DROP" }));
}

function accepted({ marks }: StaticOptions): Rule {
  return { match: markSet(marks.accept), action: "--jump ACCEPT" };
}
