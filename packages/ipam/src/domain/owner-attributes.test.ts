import { expect, test } from "vitest";
import { isOwnedBy, withoutOwner, withOwner } from "./owner-attributes.ts";
import type { Owners } from "./owner-attributes.ts";

/** `a/1@L`: pod a, container 1, of the machine's life L. */
function attrs(text: string): Record<string, string> {
  const [, pod = "", container = "", life = ""] = /^(\w+)\/(\w+)@(\w+)$/.exec(text) ?? [];
  return { namespace: "d", pod, container, "vmi-uid": life };
}
function ownersOf(text: string): Owners {
  const [active = "-", alternate = "-"] = text.split(" ");
  return { active: active === "-" ? undefined : attrs(active), alternate: alternate === "-" ? undefined : attrs(alternate) };
}
const print = ({ active, alternate }: Owners) =>
  [active, alternate].map((a) => (a === undefined ? "-" : `${a["pod"]}/${a["container"]}@${a["vmi-uid"]}`)).join(" ");

test.for([
  { name: "the first pod", before: "- -", role: "active", who: "a/1@L", want: "a/1@L -" },
  { name: "a pod made anew takes it over", before: "a/1@L -", role: "active", who: "b/2@L", want: "b/2@L -" },
  {
    name: "the machine was started again: targets of its earlier life are none",
    before: "a/1@L t/5@L",
    role: "active",
    who: "b/2@M",
    want: "b/2@M -",
  },
  { name: "the source is set up again while it is left", before: "a/1@L t/5@L", role: "active", who: "a/2@L", want: "a/2@L t/5@L" },
  { name: "a target", before: "a/1@L -", role: "alternate", who: "t/5@L", want: "a/1@L t/5@L" },
  { name: "another target after one that failed", before: "a/1@L t/5@L", role: "alternate", who: "u/6@L", want: "a/1@L u/6@L" },
  { name: "a target that has become the one is set up again", before: "t/5@L -", role: "alternate", who: "t/7@L", want: "t/7@L -" },
  { name: "a target whose source has left already", before: "- -", role: "alternate", who: "t/5@L", want: "- t/5@L" },
  { name: "a pod that was a target is none any more", before: "a/1@L t/5@L", role: "active", who: "t/7@L", want: "t/7@L -" },
] as const)("withOwner: $name", ({ before, role, who, want }) => {
  expect(print(withOwner(ownersOf(before), role, attrs(who)))).toBe(want);
});

test.for([
  { name: "the only one", before: "a/1@L -", who: "a/1@L", want: "- -" },
  { name: "the source: the target follows", before: "a/1@L t/5@L", who: "a/1@L", want: "t/5@L -" },
  { name: "the source, at the end of the machine: nobody follows", before: "a/1@L t/5@L", who: "a/1@L", isEnding: true, want: "- t/5@L" },
  { name: "the source: a target of another life does not follow", before: "a/1@M t/5@L", who: "a/1@M", want: "- t/5@L" },
  { name: "a target that failed", before: "a/1@L t/5@L", who: "t/5@L", want: "a/1@L -" },
  { name: "the source, after felix of Calico swapped them", before: "t/5@L a/1@L", who: "a/1@L", want: "t/5@L -" },
  { name: "a container of the pod that is the pod's no more", before: "a/2@L t/5@L", who: "a/1@L", want: "a/2@L t/5@L" },
  { name: "said again", before: "t/5@L -", who: "a/1@L", want: "t/5@L -" },
  { name: "a pod that never was one", before: "a/1@L -", who: "x/1@L", want: "a/1@L -" },
])("withoutOwner: $name", ({ before, who, isEnding = false, want }) => {
  const { namespace = "", pod = "", container = "" } = attrs(who);
  expect(print(withoutOwner(ownersOf(before), { namespace, pod, container }, { isEnding }))).toBe(want);
});

test("isOwnedBy: an owner that Calico wrote has no container, and is known by its pod", () => {
  const who = { namespace: "d", pod: "a", container: "1" };
  expect(isOwnedBy({ namespace: "d", pod: "a" }, who)).toBe(true);
  expect(isOwnedBy({ namespace: "e", pod: "a" }, who)).toBe(false);
  expect(isOwnedBy({}, who)).toBe(false);
});
