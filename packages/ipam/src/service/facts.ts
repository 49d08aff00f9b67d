/** What an assignment is decided on besides the blocks: pools, reservations, configuration, the node's labels. */
import type { KeyValue, Store } from "@calico/datastore";
import { err, ipamConfigKey, keyOf, prefixOf } from "@calico/model";
import type { Cidr } from "@calico/model";
import { parseConfig } from "../domain/config.ts";
import type { IpamConfig } from "../domain/config.ts";
import { parsePool } from "../domain/pools.ts";
import type { Labels, Pool } from "../domain/pools.ts";
import { reservedCidrs } from "../domain/reservations.ts";
import { IpamFault } from "./fault.ts";

export type Facts = {
  readonly pools: readonly Pool[];
  /** Pools that do not parse, and why. Nothing is given from them. */
  readonly brokenPools?: readonly string[];
  readonly reserved: readonly Cidr[];
  readonly config: IpamConfig;
};

/** The prefixes and keys that are read for each assignment; worth mirroring in a process that lives on. */
export function factPrefixes(node: string): readonly string[] {
  return [
    prefixOf("IPPool"),
    prefixOf("IPReservation"),
    prefixOf("FelixConfiguration"),
    ipamConfigKey,
    keyOf({ kind: "Node", name: node }),
    `/calico/ipam/v2/host/${node}/`,
  ];
}

export async function readFacts(store: Pick<Store, "get" | "list">): Promise<Facts> {
  const [pools, reservations, config] = await Promise.all([
    store.list(prefixOf("IPPool")),
    store.list(prefixOf("IPReservation")),
    store.get(ipamConfigKey),
  ]);
  const before = lastFacts.get(pools.items);
  if (before?.reservations === reservations.items && before.config === config) return before.facts;
  const parsed = parseConfig(config?.value);
  if (!parsed.ok) throw new IpamFault("corrupt", `${parsed.error}; correct ${ipamConfigKey}`);
  const facts = {
    pools: pools.items.flatMap((kv) => poolIn(kv).pool ?? []),
    brokenPools: pools.items.flatMap((kv) => poolIn(kv).broken ?? []),
    reserved: reservations.items.flatMap(reservedIn),
    config: parsed.value,
  };
  lastFacts.set(pools.items, { reservations: reservations.items, config, facts });
  return facts;
}

/** The facts drawn from lists last: a mirror gives the same lists until something changes, and then they are the same facts. */
const lastFacts = new WeakMap<
  readonly KeyValue[],
  { readonly reservations: readonly KeyValue[]; readonly config: KeyValue | undefined; readonly facts: Facts }
>();

/** A record is parsed once for as long as it is the same: a mirror gives the same record until it changes. */
function onceEach<T>(parse: (json: unknown, key: string) => T): (kv: KeyValue) => T {
  const known = new WeakMap<KeyValue, T>();
  return (kv) => {
    const before = known.get(kv);
    if (before !== undefined) return before;
    const value = parse(parseJson(kv.value), kv.key);
    known.set(kv, value);
    return value;
  };
}

const poolIn = onceEach((json, key): { readonly pool?: Pool; readonly broken?: string } => {
  const pool = json === undefined ? err("it is not JSON") : parsePool(json);
  return pool.ok ? { pool: pool.value } : { broken: `IPPool ${key.slice(prefixOf("IPPool").length)}: ${pool.error}` };
});
const reservedIn = onceEach(reservedCidrs);

/** There is no pool to take from; those that might be but for a mistake in them are named. */
export function noPoolFault(message: string, { brokenPools = [] }: Facts): IpamFault {
  const unread = brokenPools.length === 0 ? "" : `; not read, correct it: ${brokenPools.join("; ")}`;
  return new IpamFault("noPool", `${message}${unread}`);
}

/** Labels of a node; none while it is not known. */
export async function readNodeLabels(store: Pick<Store, "get">, node: string): Promise<Labels> {
  const kv = await store.get(keyOf({ kind: "Node", name: node }));
  return kv === undefined ? NO_LABELS : labelsIn(kv);
}

const NO_LABELS: Labels = {};
const labelsIn = onceEach((json): Labels => {
  const labels = (json as { metadata?: { labels?: unknown } } | undefined)?.metadata?.labels;
  return typeof labels === "object" && labels !== null ? (labels as Labels) : NO_LABELS;
});

/** JSON at the door; what is not JSON is undefined and then fails its schema. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
