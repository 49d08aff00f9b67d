/** The ports of a Kubernetes rule, grouped by protocol, as few as possible. */
import { err, ok, type Result } from "@calico/model";
import { isMap } from "./facts.ts";

/** Calico's forms: a number, "from:to", or a name. */
export type CalicoPort = number | string;

/** Per protocol, sorted by its name: which ports; `undefined` is all of them. Without protocol: any traffic. */
export interface ProtocolPorts {
  readonly protocol: string | undefined;
  readonly ports: readonly CalicoPort[] | undefined;
}

type Range = { readonly from: number; readonly to: number };

/**
 * Source: calico libcalico-go/lib/backend/k8s/conversion (k8sRuleToCalico, k8sPortToCalicoFields); facts §1.11.2: a port without protocol
 * is TCP; an empty one allows everything, and then the others say nothing more.
 */
export function convertPorts(list: readonly unknown[], field: string): Result<readonly ProtocolPorts[], string> {
  if (list.length === 0) return ok([{ protocol: undefined, ports: undefined }]);
  const byProtocol = new Map<string, (Range | string)[] | undefined>();
  for (const [i, item] of list.entries()) {
    const here = `${field}[${i}]`;
    if (!isMap(item)) return err(`${here}: expected a port`);
    const protocol = item["protocol"] ?? undefined;
    const port = convertPort(item, here);
    if (!port.ok) return port;
    if (protocol === undefined && port.value === undefined) return ok([{ protocol: undefined, ports: undefined }]);
    const name = String(protocol ?? "TCP");
    if (!["TCP", "UDP", "SCTP"].includes(name)) return err(`${here}.protocol: "${name}" is none of TCP, UDP, SCTP`);
    if (port.value === undefined) byProtocol.set(name, undefined);
    else if (!byProtocol.has(name)) byProtocol.set(name, [port.value]);
    else byProtocol.get(name)?.push(port.value);
  }
  return ok(
    [...byProtocol]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([protocol, ports]) => ({ protocol, ports: ports === undefined ? undefined : simplify(ports) })),
  );
}

function convertPort(item: Readonly<Record<string, unknown>>, field: string): Result<Range | string | undefined, string> {
  const { port, endPort } = item;
  if (port === undefined || port === null) return endPort === undefined ? ok(undefined) : err(`${field}.endPort: needs a port`);
  if (typeof port === "string" && !/^\d+$/.test(port)) {
    if (endPort !== undefined) return err(`${field}.endPort: a named port ("${port}") has no range`);
    return port.length <= 128 && /^[a-zA-Z0-9_.-]+$/.test(port)
      ? ok(port)
      : err(`${field}.port: ${JSON.stringify(port)} is not a port's name`);
  }
  const from = Number(port);
  const to = endPort === undefined || endPort === null ? from : Number(endPort);
  const valid = (n: number) => Number.isInteger(n) && n >= 1 && n <= 65535;
  if (!valid(from)) return err(`${field}.port: ${JSON.stringify(port)} is not within 1 to 65535`);
  if (!valid(to) || to < from) return err(`${field}.endPort: ${JSON.stringify(endPort)} is not within ${from} to 65535`);
  return ok({ from, to });
}

/** Names first, in their order; then ranges, sorted and joined where they touch. Source: calico conversion (SimplifyPorts). */
function simplify(ports: readonly (Range | string)[]): readonly CalicoPort[] {
  const names = [...new Set(ports.filter((p) => typeof p === "string"))];
  const joined: Range[] = [];
  for (const next of ports.filter((p) => typeof p !== "string").toSorted((a, b) => a.from - b.from || a.to - b.to)) {
    const last = joined.at(-1);
    if (last !== undefined && next.from <= last.to + 1) joined.splice(-1, 1, { from: last.from, to: Math.max(last.to, next.to) });
    else joined.push(next);
  }
  return [...names, ...joined.map(({ from, to }) => (from === to ? from : `${from}:${to}`))];
}
