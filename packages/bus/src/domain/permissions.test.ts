import fc from "fast-check";
import { expect, test } from "vitest";
import { permissionsFor, renderAuthorization, type Role } from "./permissions.ts";
import { escapeToken } from "./subject.ts";

/** Whether a subject is within an allowed one, as nats-server decides it. */
function covers(allowed: string, subject: string): boolean {
  const [a, s] = [allowed.split("."), subject.split(".")];
  for (const [i, token] of a.entries()) {
    if (token === ">") return s.length > i;
    if (s[i] === undefined || (token !== "*" && token !== s[i])) return false;
  }
  return a.length === s.length;
}

const may = (role: Role, node: string, subject: string) => permissionsFor({ role, node }).publish.allow.some((a) => covers(a, subject));
const hears = (role: Role, node: string, subject: string) => permissionsFor({ role, node }).subscribe.allow.some((a) => covers(a, subject));

test.for<{ role: Role; subject: string; want: boolean }>([
  { role: "node", subject: "calico.status.felix.node1", want: true },
  { role: "node", subject: "calico.applied.proxy-nat.node1", want: true },
  { role: "node", subject: "calico.cni.node1.add", want: true },
  { role: "node", subject: "$JS.API.CONSUMER.MSG.NEXT.CALICO.abc", want: true },
  { role: "node", subject: "$JS.API.STREAM.CREATE.CALICO_NODE", want: false },
  { role: "node", subject: "$JS.API.STREAM.PURGE.CALICO", want: false },
  { role: "node", subject: "calico.v3.nodes._.node1", want: false },
  { role: "node", subject: "calico.status.felix.node2", want: false },
  { role: "controller", subject: "calico.status.kube-controllers.node1", want: true },
  { role: "controller", subject: "$JS.API.CONSUMER.CREATE.CALICO", want: false },
  { role: "reader", subject: "$JS.API.CONSUMER.CREATE.CALICO_NODE", want: true },
  { role: "reader", subject: "calico.status.felix.node1", want: false },
  { role: "syncer", subject: "calico.v3.nodes._.node1", want: true },
  { role: "syncer", subject: "$JS.API.STREAM.CREATE.CALICO", want: true },
  { role: "syncer", subject: "$JS.API.STREAM.CREATE.OTHER", want: false },
])("permissionsFor: $role $subject $want", ({ role, subject, want }) => {
  expect(may(role, "node1", subject)).toBe(want);
});

test("permissionsFor: no node speaks for another or hears its answers, whatever their names", () => {
  const name = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom("a", "a.b", "*", ">", "_", "felix", "node 1"));
  fc.assert(
    fc.property(name, name, fc.constantFrom("status.felix", "applied.bgp", "cni"), (a, b, what) => {
      fc.pre(a !== b);
      const subject = `calico.${what}.${escapeToken(b)}${what === "cni" ? ".add" : ""}`;
      expect(may("node", b, subject)).toBe(true);
      expect(may("node", a, subject)).toBe(false);
      expect(hears("node", a, `_INBOX_${escapeToken(b)}.x.y`)).toBe(false);
    }),
  );
});

test("renderAuthorization: names and passwords are quoted; control characters are refused", () => {
  const user = { user: 'a"b', node: "n", role: "node" as const, password: "p\\q$2a$" };
  expect(renderAuthorization([user])).toContain('{ user: "a\\"b", password: "p\\\\q$2a$",');
  expect(() => renderAuthorization([{ ...user, password: "a\nb" }])).toThrow(/control characters/);
});
