import { expect, test } from "vitest";
import { readFacts } from "./facts.ts";
import { findPlaces } from "./places.ts";
import { repositoryFiles } from "./repository.ts";
import { check, RULES, SERVICES, type Violation } from "./rules.ts";

const lines = (violations: readonly Violation[]) => violations.map((v) => `${v.path}: ${v.rule}: ${v.found} (${v.why})`);

test("every source file keeps the rules", () => {
  const sources = repositoryFiles(/^(packages|tools|e2e)\/.*\.ts$/);
  expect(sources.length).toBeGreaterThan(50);
  expect(lines(sources.flatMap((file) => check(file, readFacts(file.path, file.text))))).toEqual([]);
});

test("no text file names a place of one machine", () => {
  const texts = repositoryFiles(/\.(ts|js|mjs|json|md|sh|ya?ml|c|h|txt|iptables|conf)$|^\.ci\//).filter(
    (f) => !f.path.startsWith("tools/boundaries/src/"),
  );
  expect(lines(texts.flatMap(findPlaces))).toEqual([]);
});

test("SERVICES are exactly the packages that nx knows as layer:service", () => {
  const tagged = repositoryFiles(/^packages\/[^/]+\/package\.json$/).filter((f) =>
    (JSON.parse(f.text) as { nx: { tags: string[] } }).nx.tags.includes("layer:service"),
  );
  expect(tagged.map((f) => f.path.split("/")[1]).toSorted()).toEqual(SERVICES.toSorted());
});

/** Each rule must bite on its canary, and let the good line beside it pass. */
const CANARIES: readonly { readonly rule: string; readonly path: string; readonly bad: string; readonly good: string }[] = [
  {
    rule: "runtime-in-adapters",
    path: "packages/felix/src/service/a.ts",
    bad: `import { readFile } from "node:fs";`,
    good: `import type { Files } from "../ports.ts";`,
  },
  {
    rule: "runtime-in-adapters",
    path: "packages/felix/src/ports.ts",
    bad: `import type { Socket } from "node:net";`,
    good: `// import "node:net"`,
  },
  {
    rule: "runtime-in-adapters",
    path: "packages/felix/src/service/lazy.ts",
    bad: `const m = import("node:fs");`,
    good: `const m = 'import("node:fs")';`,
  },
  {
    rule: "domain-imports",
    path: "packages/felix/src/domain/a.ts",
    bad: `import { x } from "../service/x.ts";`,
    good: `import type { X } from "../service/x.ts";`,
  },
  {
    rule: "domain-imports",
    path: "packages/felix/src/domain/b.ts",
    bad: `export { x } from "../adapter/x.ts";`,
    good: `export { x } from "./x.ts";`,
  },
  {
    rule: "domain-imports",
    path: "packages/model/src/domain/a.ts",
    bad: `import { createHash } from "node:crypto";`,
    good: `import { hash } from "./hash.ts";`,
  },
  {
    rule: "domain-pure",
    path: "packages/felix/src/domain/a.ts",
    bad: `const now = Date.now();`,
    good: `const at = Date.parse("2024-01-01");`,
  },
  { rule: "domain-pure", path: "packages/felix/src/domain/b.ts", bad: `const now = new Date();`, good: `const at = new Date(0);` },
  { rule: "domain-pure", path: "packages/felix/src/domain/c.ts", bad: `const r = Math.random();`, good: `const r = Math.max(1, 2);` },
  { rule: "domain-pure", path: "packages/felix/src/domain/d.ts", bad: `console.log("x");`, good: `const text = "console.log";` },
  { rule: "domain-pure", path: "packages/felix/src/domain/e.ts", bad: `const v = process.env.X;`, good: `const v = { process: 1 };` },
  { rule: "domain-pure", path: "packages/felix/src/domain/f.ts", bad: `export async function f() {}`, good: `export function f() {}` },
  { rule: "domain-pure", path: "packages/felix/src/domain/g.ts", bad: `setTimeout(() => {}, 1);`, good: `const setTimeoutMs = 1;` },
  {
    rule: "service-not-adapter",
    path: "packages/felix/src/service/a.ts",
    bad: `import { x } from "../adapter/x.ts";`,
    good: `import { x } from "../domain/x.ts";`,
  },
  {
    rule: "services-apart",
    path: "packages/felix/src/main.ts",
    bad: `import { x } from "@calico/bgp";`,
    good: `import { x } from "@calico/bus";`,
  },
  {
    rule: "services-apart",
    path: "packages/ipam/src/main.ts",
    bad: `import { x } from "@calico/cni";`,
    good: `import { x } from "@calico/linux";`,
  },
  {
    rule: "services-apart",
    path: "packages/bus/src/mod.ts",
    bad: `import { x } from "@calico/felix";`,
    good: `import { x } from "@calico/model";`,
  },
  {
    rule: "services-apart",
    path: "packages/cni/src/main.ts",
    bad: `import { x } from "@calico/felix";`,
    good: `import { x } from "@calico/ipam";`,
  },
  {
    rule: "model-is-the-base",
    path: "packages/model/src/a.ts",
    bad: `import { x } from "@calico/daemon";`,
    good: `import { z } from "zod";`,
  },
  {
    rule: "nothing-imports-tools",
    path: "packages/bus/src/a.ts",
    bad: `import { x } from "@calico/lab";`,
    good: `import { x } from "@calico/daemon";`,
  },
  {
    rule: "package-roots",
    path: "packages/felix/src/a.ts",
    bad: `import { x } from "@calico/model/src/ip.ts";`,
    good: `import { x } from "@calico/model";`,
  },
  {
    rule: "package-roots",
    path: "tools/lab/src/a.ts",
    bad: `import { x } from "../../../packages/bus/src/mod.ts";`,
    good: `import { x } from "./b.ts";`,
  },
  {
    rule: "fakes-are-for-tests",
    path: "packages/felix/src/main.ts",
    bad: `import { fake } from "@calico/linux/testing";`,
    good: `import { real } from "@calico/linux";`,
  },
  {
    rule: "kernel-in-linux",
    path: "packages/felix/src/adapter/a.ts",
    bad: `import koffi from "koffi";`,
    good: `import { openIptables } from "@calico/linux";`,
  },
  {
    rule: "kernel-in-linux",
    path: "packages/felix/src/adapter/b.ts",
    bad: `Deno.dlopen("libc.so.6", {});`,
    good: `const s = "Deno.dlopen";`,
  },
  {
    rule: "kernel-in-linux",
    path: "packages/felix/src/adapter/c.ts",
    bad: `new Deno.Command("ls");`,
    good: `import { openIpset } from "@calico/linux";`,
  },
  {
    rule: "kernel-tools-in-linux",
    path: "packages/cni/src/adapter/b.ts",
    bad: `import { run } from "@calico/linux"; run(["ip", "link"], {});`,
    good: `import { run } from "@calico/linux"; run(["portmap"], {});`,
  },
  {
    rule: "kernel-tools-in-linux",
    path: "packages/cni/src/adapter/a.ts",
    bad: `import { execFile } from "node:child_process"; execFile("iptables", []);`,
    good: `import { execFile } from "node:child_process"; execFile("portmap", []);`,
  },
  { rule: "ts-extensions", path: "packages/felix/src/a.ts", bad: `import { x } from "./b";`, good: `import { x } from "./b.ts";` },
  { rule: "no-default-export", path: "packages/felix/src/a.ts", bad: `export default function f() {}`, good: `export function f() {}` },
  { rule: "names-say-what", path: "packages/felix/src/utils.ts", bad: ``, good: `` },
];

test.for(CANARIES)("canary: $rule bites in $path", ({ rule, path, bad, good }) => {
  const broken = (text: string) => check({ path, text }, readFacts(path, text)).map((v) => v.rule);
  expect(broken(bad)).toContain(rule);
  if (good !== bad) expect(broken(good)).toEqual([]);
});

test("canary: every rule has one", () => {
  expect(new Set(CANARIES.map((c) => c.rule))).toEqual(new Set(RULES.map((r) => r.name)));
});

test.for([
  { name: "a work folder", text: `cd /${"work"}/main`, want: ["machine-path"] },
  { name: "a home folder", text: `open("/home/jo/x")`, want: ["machine-path"] },
  { name: "a registry", text: `https://registry.${"npmjs"}.org/zod`, want: ["registry-host"] },
  { name: "a path of every Linux", text: "/run/netns/x /etc/cni/net.d packages/root/x /var/run/calico", want: [] },
])("canary: places: $name", ({ text, want }) => {
  expect(findPlaces({ path: "README.md", text }).map((v) => v.rule)).toEqual(want);
});
