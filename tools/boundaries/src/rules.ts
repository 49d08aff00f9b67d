import { posix } from "node:path";
import type { Facts } from "./facts.ts";

export interface SourceFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** One rule: where it holds, what it finds there, and why it is. */
export interface Rule {
  readonly name: string;
  readonly why: string;
  readonly in: RegExp;
  readonly notIn?: RegExp;
  /** What breaks the rule, in words; empty if nothing does. */
  readonly finds: (facts: Facts, file: SourceFile) => readonly string[];
}

export interface Violation {
  readonly path: string;
  readonly rule: string;
  readonly found: string;
  readonly why: string;
}

/** Tests, fakes and the folders that hold only them. */
const TEST = /\.test\.ts$|\/test\/|\/src\/testing(\.ts$|\/)|\.contract\.ts$/;
const PACKAGE = /^packages\/[^/]+\/(src|bin)\/.*\.ts$/;
/** A program's own file composes and so knows the runtime: main.ts, and cni's plugin.ts, the executable without an agent. */
const RUNTIME = /\/src\/(.*\/)?adapter\/|\/src\/(.*\/)?(main|testing)\.ts$|^packages\/cni\/src\/plugin\.ts$|\/bin\//;

/** Services; what two of them share is a package below. The nx tags say the same: the test compares. */
export const SERVICES = ["bgp", "cni", "felix", "ipam", "kube-controllers", "proxy-nat"];

const packageOf = (path: string) => /^(?:packages|tools)\/[^/]+/.exec(path)?.[0] ?? "";
const ownName = (path: string) => packageOf(path).split("/")[1] ?? "";
const importsLike = (facts: Facts, not: RegExp) => facts.imports.map((i) => i.from).filter((from) => not.test(from));
const usesLike = (facts: Facts, not: RegExp) => [...facts.uses].filter((use) => not.test(use));

export const RULES: readonly Rule[] = [
  {
    name: "runtime-in-adapters",
    why: "adapter/ acts, the rest decides and drives: only adapter/, main.ts and tests touch the runtime",
    in: PACKAGE,
    notIn: new RegExp(`${TEST.source}|${RUNTIME.source}`),
    finds: (facts) => importsLike(facts, /^node:/),
  },
  {
    name: "domain-imports",
    why: "domain/ decides: it knows neither who drives it nor what acts",
    in: /^packages\/[^/]+\/src\/domain\//,
    notIn: TEST,
    finds: (facts) =>
      facts.imports.filter((i) => /^node:/.test(i.from) || (!i.typeOnly && /\/(service|adapter)\//.test(i.from))).map((i) => i.from),
  },
  {
    name: "domain-pure",
    why: "same input, same output, today and in a replay: no clock, no dice, no process, no waiting in domain/",
    in: /^packages\/[^/]+\/src\/domain\//,
    notIn: TEST,
    finds: (facts) => [
      ...usesLike(
        facts,
        /^(Date\.now|new Date\(\)|Math\.random|process\.|console\.|Deno\.|performance\.|crypto\.|set(Timeout|Interval|Immediate)|queueMicrotask|fetch)/,
      ),
      ...(facts.isAsync ? ["async"] : []),
    ],
  },
  {
    name: "service-not-adapter",
    why: "service/ drives ports; main.ts chooses what stands behind them",
    in: /^packages\/[^/]+\/src\/service\//,
    notIn: TEST,
    finds: (facts) => facts.imports.filter((i) => !i.typeOnly && /(^|\/)adapter\//.test(i.from)).map((i) => i.from),
  },
  {
    name: "services-apart",
    why: "services meet on the bus and in etcd; what two share becomes a package below them (cni and kube-controllers may use ipam's library)",
    in: /^packages\//,
    finds: (facts, file) =>
      facts.imports
        .map((i) => i.from)
        .filter((from) => {
          const to = /^@calico\/([^/]+)/.exec(from)?.[1] ?? "";
          const isAllowed = to === ownName(file.path) || (["cni", "kube-controllers"].includes(ownName(file.path)) && to === "ipam");
          return SERVICES.includes(to) && !isAllowed;
        }),
  },
  {
    name: "model-is-the-base",
    why: "model imports nothing of ours",
    in: /^packages\/model\//,
    finds: (facts) => importsLike(facts, /^@calico\//),
  },
  {
    name: "nothing-imports-tools",
    why: "tools stand on packages, never the reverse",
    in: /^packages\//,
    finds: (facts) => importsLike(facts, /^@calico\/(bench|boundaries|calicoctl|lab|replay|testrun)(\/|$)/),
  },
  {
    name: "package-roots",
    why: "a package's mod.ts is its public surface; testing.ts the only other door",
    in: /./,
    finds: (facts, file) =>
      facts.imports
        .map((i) => i.from)
        .filter((from) => /^@calico\/[^/]+\/(?!testing$)/.test(from) || (from.startsWith(".") && leavesPackage(file.path, from))),
  },
  {
    name: "fakes-are-for-tests",
    why: "a fake in a running program would be believed",
    in: PACKAGE,
    notIn: TEST,
    finds: (facts) => importsLike(facts, /^@calico\/[^/]+\/testing$|\/testing(\.ts$|\/)/),
  },
  {
    name: "kernel-in-linux",
    why: "packages/linux is the only code that changes a kernel: one place to look, one to fake",
    in: PACKAGE,
    notIn: new RegExp(`^packages/linux/|${TEST.source}`),
    finds: (facts) => [...importsLike(facts, /^koffi$/), ...usesLike(facts, /^Deno\.(dlopen|Command)/)],
  },
  {
    name: "kernel-tools-in-linux",
    why: "ip, iptables, ipset, nft and conntrack are run by packages/linux, so that its strict fakes cover every change",
    in: PACKAGE,
    notIn: new RegExp(`^packages/linux/|${TEST.source}`),
    finds: (facts, file) =>
      startsPrograms(facts) ? (file.text.match(/["'`](ip|ip6?tables(-[a-z]+)*|ipset|nft|conntrack)["'` ]/g) ?? []) : [],
  },
  {
    name: "ts-extensions",
    why: "Node, Deno and TypeScript then agree",
    in: /./,
    finds: (facts) => importsLike(facts, /^\.(?!.*\.(ts|json|mjs)$)/),
  },
  {
    name: "no-default-export",
    why: "one name per thing, everywhere",
    in: /./,
    notIn: /\.config\.(ts|js)$/,
    finds: (facts) => (facts.hasDefaultExport ? ["export default"] : []),
  },
  {
    name: "names-say-what",
    why: "a type lives with the function that gives it meaning",
    in: /\/(utils?|common|helpers?|types|misc)\.ts$/,
    finds: (_facts, file) => [posix.basename(file.path)],
  },
];

function startsPrograms(facts: Facts): boolean {
  return facts.imports.some(
    (i) => i.from === "node:child_process" || (i.from === "@calico/linux" && i.names.some((name) => /^run(OrThrow)?$/.test(name))),
  );
}

function leavesPackage(path: string, from: string): boolean {
  return packageOf(posix.join(posix.dirname(path), from)) !== packageOf(path);
}

/** Which rules a file breaks. */
export function check(file: SourceFile, facts: Facts): readonly Violation[] {
  return RULES.filter((rule) => rule.in.test(file.path) && !(rule.notIn?.test(file.path) ?? false)).flatMap((rule) =>
    rule.finds(facts, file).map((found) => ({ path: file.path, rule: rule.name, found, why: rule.why })),
  );
}
