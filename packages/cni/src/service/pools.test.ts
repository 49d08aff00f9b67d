import { expect, test } from "vitest";
import { callPlugin, makeFakeWorld } from "../testing.ts";

/** An ADD of a pod with that annotation: its outcome, and how often pools were read. */
async function add(ipv4pools: readonly string[]): Promise<{ outcome: string; reads: number }> {
  const w = await makeFakeWorld({ pod: { annotations: { "cni.projectcalico.org/ipv4pools": JSON.stringify(ipv4pools) } } });
  const datastore = w.datastoreOf(undefined);
  let reads = 0;
  const { get, list } = datastore.resources;
  const count = (kind: string) => kind === "IPPool" && reads++;
  const resources: typeof datastore.resources = {
    ...datastore.resources,
    get: (ref) => (count(ref.kind), get(ref)),
    list: (kind, ...rest) => (count(kind), list(kind, ...rest)),
  };
  w.datastoreOf = () => ({ ...datastore, resources });
  const { exit, json } = await callPlugin(w);
  return { outcome: exit === 0 ? "given" : `${json.code} ${json.msg}`, reads };
}

test.for([
  { name: "a name", pools: ["p"], want: { outcome: "given", reads: 1 } },
  { name: "many names", pools: ["p", "p", "p"], want: { outcome: "given", reads: 1 } },
  { name: "a CIDR", pools: ["192.200.0.0/16"], want: { outcome: "given", reads: 0 } },
  { name: "no pool's name", pools: ["q"], want: { outcome: '7 error parsing pool "q": invalid CIDR address: q', reads: 1 } },
  { name: "another family", pools: ["fd00::/64"], want: { outcome: `7 "fd00::" isn't a IPv4 address`, reads: 0 } },
  {
    name: "more than anybody means",
    pools: Array.from({ length: 20_000 }, (_, i) => `p${i}`),
    want: { outcome: "7 20000 pools are named, more than 100", reads: 0 },
  },
])("pools by annotation: $name", async ({ pools, want }) => {
  expect(await add(pools)).toEqual(want);
});
