/**
 * Makes the kernel's routes of our protocol what they should be. Knows its own by the protocol number, touches no other.
 *
 * Only what changed is written. At start, and then once in a while, the whole is compared with what is there. Routes that
 * are there from a former life and not wanted (yet) stay until releaseInherited: see domain/restart.ts.
 */
import type { Logger } from "@calico/daemon";
import { deepEqual } from "../domain/deep-equal.ts";
import type { KernelRoute } from "../domain/kernel/desire.ts";
import type { RouteKernel, RouteOp, RouteOutcome } from "../ports.ts";

export type ApplyReport = { readonly changed: readonly string[]; readonly failed: ReadonlyMap<string, string> };

export interface RouteTable {
  /** What a destination should have; undefined: nothing. */
  want(dst: string, route: KernelRoute | undefined): void;
  /** Write what changed. Never rejects for a single route: that one stays to be tried again. */
  apply(): Promise<ApplyReport>;
  /** Take what the kernel has now; the destinations that someone else had altered. */
  compare(own: readonly KernelRoute[]): readonly string[];
  /** Routes from before our start that nobody told us of again may go now. */
  releaseInherited(): void;
  wanted(dst: string): KernelRoute | undefined;
  /** Whether we believe it to be in the kernel. */
  isPresent(dst: string): boolean;
  counts(): { readonly wanted: number; readonly present: number; readonly inherited: number; readonly failed: number };
  failures(): ReadonlyMap<string, string>;
  readonly dirty: boolean;
}

export function makeRouteTable(kernel: RouteKernel, log: Logger): RouteTable {
  const wanted = new Map<string, KernelRoute>();
  const present = new Map<string, KernelRoute>();
  const inherited = new Set<string>();
  const dirty = new Set<string>();
  const failed = new Map<string, string>();
  let first = true;
  let released = false;

  function opFor(dst: string): RouteOp | undefined {
    const [want, have] = [wanted.get(dst), present.get(dst)];
    if (want === undefined) return have === undefined || inherited.has(dst) ? undefined : { do: "delete", route: have };
    if (have === undefined) return { do: "add", route: want };
    return deepEqual(want, have) ? undefined : { do: "replace", route: want };
  }

  function settle(op: RouteOp, outcome: RouteOutcome): boolean {
    const { dst } = op.route;
    if (outcome.kind === "done") {
      if (op.do === "delete") present.delete(dst);
      else present.set(dst, op.route);
      failed.delete(dst);
      if (opFor(dst) === undefined) dirty.delete(dst);
      return true;
    }
    const why = outcome.kind === "exists" ? "another program's route has this place in the main table" : outcome.why;
    if (failed.get(dst) !== why) log.warn("route was not applied", { dst, op: op.do, why });
    failed.set(dst, why);
    return false;
  }

  return {
    want(dst, route) {
      inherited.delete(dst);
      if (route === undefined) wanted.delete(dst);
      else wanted.set(dst, route);
      failed.delete(dst);
      dirty.add(dst);
    },
    async apply() {
      const ops: RouteOp[] = [];
      for (const dst of [...dirty]) {
        const op = opFor(dst);
        if (op === undefined) dirty.delete(dst);
        else ops.push(op);
      }
      const outcomes = ops.length === 0 ? [] : await kernel.apply(ops);
      const changed = ops.filter((op, i) => settle(op, outcomes[i] ?? { kind: "failed", why: "the kernel did not answer" }));
      return { changed: changed.map((op) => `${op.do} ${op.route.dst}`), failed };
    },
    compare(own) {
      const found = new Map(own.map((route) => [route.dst, route]));
      const altered = first
        ? []
        : [...new Set([...present.keys(), ...found.keys()])].filter((dst) => !deepEqual(present.get(dst), found.get(dst)));
      present.clear();
      for (const [dst, route] of found) present.set(dst, route);
      if (first && !released) for (const dst of found.keys()) if (!wanted.has(dst)) inherited.add(dst);
      for (const dst of inherited) if (!found.has(dst)) inherited.delete(dst);
      first = false;
      for (const dst of new Set([...found.keys(), ...wanted.keys()])) if (opFor(dst) !== undefined) dirty.add(dst);
      return altered;
    },
    releaseInherited() {
      released = true;
      for (const dst of inherited) dirty.add(dst);
      inherited.clear();
    },
    wanted: (dst) => wanted.get(dst),
    isPresent: (dst) => present.has(dst),
    counts: () => ({ wanted: wanted.size, present: present.size, inherited: inherited.size, failed: failed.size }),
    failures: () => failed,
    get dirty() {
      return dirty.size > 0;
    },
  };
}
