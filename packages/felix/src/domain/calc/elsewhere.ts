/**
 * Virtual machines' addresses that another node has, whatever endpoints there are on this one: a machine that moves here still runs where
 * its active owner is, and one that was started again elsewhere may have left an endpoint. Packets go where IPAM says the machine is, so
 * that this node has no route to a pod of its own for them.
 *
 * Deviation: Calico's felix routes to the target of a migration when it hears the machine speak there (GARP), which is sooner; here IPAM's
 * record decides, which CNI changes when the source leaves.
 * Source: facts 2.3.7, 3.4.9, 5.17.2.
 */
import { formatIp, nthIp, parseCidr } from "@calico/model";
import type { IPAMBlockValue } from "@calico/model";

export class Elsewhere {
  readonly #node: string;
  readonly #byBlock = new Map<string, ReadonlySet<string>>();
  readonly #addresses = new Set<string>();

  constructor(node: string) {
    this.#node = node;
  }

  /** The addresses of which `has` says something else now. */
  setBlock(key: string, value: IPAMBlockValue | undefined): ReadonlySet<string> {
    const before = this.#byBlock.get(key) ?? NONE;
    const now = value === undefined || value.deleted === true ? NONE : elsewhereIn(value, this.#node);
    if (now.size === 0) this.#byBlock.delete(key);
    else this.#byBlock.set(key, now);
    const gone = [...before].filter((address) => !now.has(address));
    const come = [...now].filter((address) => !before.has(address));
    for (const address of gone) this.#addresses.delete(address);
    for (const address of come) this.#addresses.add(address);
    return new Set([...gone, ...come]);
  }

  /** Of an address with its full length, `10.0.0.1/32`. */
  has(address: string): boolean {
    return this.#addresses.has(address);
  }
}

const NONE: ReadonlySet<string> = new Set();

function elsewhereIn({ cidr: text, allocations, attributes }: IPAMBlockValue, node: string): ReadonlySet<string> {
  const indexes = new Set(attributes.flatMap((a, i) => (isElsewhere(a, node) ? [i] : [])));
  const cidr = indexes.size === 0 ? undefined : parseCidr(text);
  if (cidr === undefined || !cidr.ok) return new Set();
  const { value } = cidr;
  const suffix = value.family === 4 ? "/32" : "/128";
  return new Set(allocations.flatMap((at, n) => (at !== null && indexes.has(at) ? [`${formatIp(nthIp(value, n))}${suffix}`] : [])));
}

function isElsewhere({ secondary }: IPAMBlockValue["attributes"][number], node: string): boolean {
  const active = secondary?.["vmi-name"] === undefined ? undefined : secondary["node"];
  return active !== undefined && active !== node;
}
