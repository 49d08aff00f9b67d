/** What an assignment is decided on besides the blocks: pools, reservations, configuration, the node's labels. */
import type { KeyValue, Store } from "@calico/datastore";
import { ipamConfigKey, keyOf, prefixOf } from "@calico/model";
import type { Cidr } from "@calico/model";
import { parseConfig } from "../domain/config.ts";
import type { IpamConfig } from "../domain/config.ts";
import { parsePool } from "../domain/pools.ts";
import type { Labels, Pool } from "../domain/pools.ts";
import { reservedCidrs } from "../domain/reservations.ts";
import { IpamFault } from "./fault.ts";

export type Facts = { readonly pools: readonly Pool[]; readonly reserved: readonly Cidr[]; readonly config: IpamConfig };

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
    pools: pools.items.flatMap(poolsIn),
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
function onceEach<T>(parse: (json: unknown) => T): (kv: KeyValue) => T {
  const known = new WeakMap<KeyValue, T>();
  return (kv) => {
    const before = known.get(kv);
    if (before !== undefined) return before;
    const value = parse(parseJson(kv.value));
    known.set(kv, value);
    return value;
  };
}

/** A pool that does not parse is none. */
const poolsIn = onceEach((json): readonly Pool[] => {
  const pool = parsePool(json);
  return pool.ok ? [pool.value] : [];
});
const reservedIn = onceEach(reservedCidrs);

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
