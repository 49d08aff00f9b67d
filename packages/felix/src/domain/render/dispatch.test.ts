import { expect, test } from "vitest";
import { renderRoot, renderSubChain } from "./dispatch.ts";

const buckets = (...ifaces: string[]): Map<string, Set<string>> => {
  const out = new Map<string, Set<string>>();
  for (const iface of ifaces) out.set(iface[4]!, (out.get(iface[4]!) ?? new Set()).add(iface));
  return out;
};

test.for([
  { name: "no workload: everything is unknown", ifaces: [], want: ["--jump DROP"] },
  { name: "one workload stands in the root", ifaces: ["cali1a"], want: ["-i cali1a --goto cali-fw-cali1a", "--jump DROP"] },
  {
    name: "two that share a character share a sub-chain; the third stands alone",
    ifaces: ["cali1a", "cali2b", "cali1c"],
    want: ["-i cali1+ --goto cali-from-wl-dispatch-1", "-i cali2b --goto cali-fw-cali2b", "--jump DROP"],
  },
])("renderRoot: $name", ({ ifaces, want }) => {
  const got = renderRoot("from", buckets(...ifaces)).rules.map((rule) => rule.replace(/-m comment --comment "[^"]*" /, ""));
  expect(got).toEqual(want);
});

test("renderSubChain: ends in a drop, for its prefix catches interfaces that nobody knows", () => {
  const chain = renderSubChain("to", "1", ["cali1c", "cali1a"]);
  expect(chain?.name).toBe("cali-to-wl-dispatch-1");
  expect(chain?.rules.map((r) => r.split(" ")[1])).toEqual(["cali1a", "cali1c", "comment"]);
  expect(chain?.rules.at(-1)).toBe('-m comment --comment "Unknown interface" --jump DROP');
});
