/**
 * The fixed chains of raw, mangle and nat.
 *
 * Source: Calico felix/rules/static.go (StaticRawTableChains, StaticMangleTableChains, StaticNATTableChains), felix/rules/nat.go.
 */
import { allMarks, clearMark, markClear, markSet, setMark } from "../marks.ts";
import { CHAIN_PREFIX, FIXED_SETS, INTERFACE_PREFIX } from "../names.ts";
import type { RenderedChain, Rule } from "../program.ts";
import { renderChain, renderHook } from "./chain.ts";
import { notSetMatch, setMatch } from "./matches.ts";
import { HOST_CHAINS } from "./static.ts";
import type { StaticOptions, StaticTable } from "./static.ts";

export const RPF_SKIP = `${CHAIN_PREFIX}rpf-skip`;

export function renderStaticRaw(o: StaticOptions): StaticTable {
  const { marks } = o;
  const notrack: readonly Rule[] = o.vxlan ? [{ match: `-p udp -m udp --dport ${o.vxlanPort}`, action: "--jump NOTRACK" }] : [];
  const prerouting: readonly Rule[] = [
    { action: clearMark(allMarks(marks)) },
    ...notrack,
    { match: `-i ${INTERFACE_PREFIX}+`, action: setMark(marks.scratch0) },
    { match: markSet(marks.scratch0), action: `--jump ${RPF_SKIP}` },
    { match: `${markSet(marks.scratch0)} -m rpfilter --validmark --invert`, action: "--jump DROP" },
    { match: markClear(marks.scratch0), action: `--jump ${HOST_CHAINS.from}` },
    { match: markSet(marks.accept), action: "--jump ACCEPT" },
  ];
  const output: readonly Rule[] = [
    { action: clearMark(allMarks(marks)) },
    { action: `--jump ${HOST_CHAINS.to}` },
    ...notrack,
    { match: markSet(marks.accept), action: "--jump ACCEPT" },
  ];
  return {
    table: "raw",
    chains: [
      renderChain(`${CHAIN_PREFIX}PREROUTING`, prerouting),
      renderChain(`${CHAIN_PREFIX}OUTPUT`, output),
      renderChain(HOST_CHAINS.from, []),
      renderChain(HOST_CHAINS.to, []),
    ],
    hooks: [
      renderHook("PREROUTING", "top", { action: `--jump ${CHAIN_PREFIX}PREROUTING` }),
      renderHook("OUTPUT", "top", { action: `--jump ${CHAIN_PREFIX}OUTPUT` }),
    ],
  };
}

/** Workloads that may send from other addresses than their own: interface and prefix. */
export function renderRpfSkip(spoofers: readonly { readonly iface: string; readonly prefixes: readonly string[] }[]): RenderedChain {
  const rules = spoofers.flatMap(({ iface, prefixes }) =>
    prefixes.map((prefix): Rule => ({ match: `-i ${iface} --source ${prefix}`, action: "--jump ACCEPT" })),
  );
  return renderChain(RPF_SKIP, rules);
}

export function renderStaticMangle({ marks }: StaticOptions): StaticTable {
  const accept: Rule = { match: markSet(marks.accept), action: "--jump ACCEPT" };
  const prerouting: readonly Rule[] = [
    { match: "-m conntrack --ctstate RELATED,ESTABLISHED", action: "--jump ACCEPT" },
    accept,
    { action: `--jump ${HOST_CHAINS.from}` },
    { ...accept, comments: ["Host endpoint policy accepted packet."] },
  ];
  const postrouting: readonly Rule[] = [
    { match: markSet(marks.accept), action: "--jump RETURN" },
    { action: clearMark(allMarks(marks)) },
    { match: "-m conntrack --ctstate DNAT", action: `--jump ${HOST_CHAINS.to}` },
    { match: markSet(marks.accept), action: "--jump RETURN", comments: ["Host endpoint policy accepted packet."] },
  ];
  return {
    table: "mangle",
    chains: [
      renderChain(`${CHAIN_PREFIX}PREROUTING`, prerouting),
      renderChain(`${CHAIN_PREFIX}POSTROUTING`, postrouting),
      renderChain(HOST_CHAINS.from, []),
      renderChain(HOST_CHAINS.to, []),
    ],
    hooks: [
      renderHook("PREROUTING", "top", { action: `--jump ${CHAIN_PREFIX}PREROUTING` }),
      renderHook("POSTROUTING", "top", { action: `--jump ${CHAIN_PREFIX}POSTROUTING` }),
    ],
  };
}

export function renderStaticNat(o: StaticOptions): StaticTable {
  const dnat = `${CHAIN_PREFIX}fip-dnat`;
  const snat = `${CHAIN_PREFIX}fip-snat`;
  const outgoing = `${CHAIN_PREFIX}nat-outgoing`;
  const toDnat: Rule = { action: `--jump ${dnat}` };
  const pools = `${setMatch(o.family, FIXED_SETS.natPools, "source")} ${notSetMatch(o.family, FIXED_SETS.allPools, "destination")}`;
  return {
    table: "nat",
    chains: [
      renderChain(`${CHAIN_PREFIX}PREROUTING`, [toDnat]),
      renderChain(`${CHAIN_PREFIX}OUTPUT`, [toDnat]),
      renderChain(`${CHAIN_PREFIX}POSTROUTING`, [{ action: `--jump ${snat}` }, { action: `--jump ${outgoing}` }, ...tunnelMasquerade(o)]),
      renderChain(dnat, []),
      renderChain(snat, []),
      renderChain(outgoing, [{ match: pools, action: "--jump MASQUERADE" }]),
    ],
    hooks: [
      renderHook("PREROUTING", "top", { action: `--jump ${CHAIN_PREFIX}PREROUTING` }),
      renderHook("OUTPUT", "top", { action: `--jump ${CHAIN_PREFIX}OUTPUT` }),
      renderHook("POSTROUTING", "top", { action: `--jump ${CHAIN_PREFIX}POSTROUTING` }),
    ],
  };
}

/** A packet of the host's own into a tunnel takes the tunnel's address, or its answer would come back outside of the tunnel. */
function tunnelMasquerade(o: StaticOptions): readonly Rule[] {
  if (o.family !== 4) return [];
  const devices = [...(o.ipip ? [o.ipipDevice] : []), ...(o.vxlan ? [o.vxlanDevice] : [])];
  return devices.flatMap((device): Rule[] => {
    const match = `-o ${device} -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL`;
    const avoidTunnelPort: Rule[] = o.vxlan
      ? [{ match: `-p udp ${match}`, action: `--jump MASQUERADE --to-ports ${o.vxlanPort + 1}-65535` }]
      : [];
    return [...avoidTunnelPort, { match, action: "--jump MASQUERADE" }];
  });
}
