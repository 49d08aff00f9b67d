/** Who may do what in a secure lab's etcd: users are the names in the clients' certificates. */
import { ETCD_ROLES, renderEtcdRoles } from "@calico/datastore";
import { principals } from "./secure.ts";
import type { Topology } from "./topology.ts";

const ROLES = { ...ETCD_ROLES, apiserver: [{ may: "readwrite", prefix: "/registry/" }] } as const;

function roleOf(user: string): keyof typeof ROLES {
  if (user === "tools") return "calicoctl";
  return user === "syncer" || user === "kube-controllers" || user === "apiserver" ? user : "node";
}

/** The arguments of each etcdctl call, in order. After the last one etcd knows nobody else. */
export function etcdUserCalls(t: Topology): readonly (readonly string[])[] {
  const users = [{ name: "root", role: "root" }, ...principals(t).map(({ user }) => ({ name: user, role: roleOf(user) }))];
  return [
    ...renderEtcdRoles(ROLES),
    ...users.flatMap(({ name, role }) => [
      ["user", "add", name, "--no-password"],
      ["user", "grant-role", name, role],
    ]),
    ["auth", "enable"],
  ];
}
