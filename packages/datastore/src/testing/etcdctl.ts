import { execFileSync } from "node:child_process";
import process from "node:process";
import { ETCD_ROLES, renderEtcdRoles } from "../domain/etcd-roles.ts";

/** Calls of the etcdctl of Debian. Returns what it printed; throws what it said. */
export function makeEtcdctl(endpoint: string, access: readonly string[] = []): (...args: string[]) => string {
  return (...args) =>
    execFileSync("etcdctl", ["--endpoints", endpoint, ...access, ...args], {
      encoding: "utf8",
      env: { ...process.env, ETCDCTL_API: "3" },
      stdio: ["ignore", "pipe", "pipe"],
    });
}

/**
 * Our roles, a user of each role's name with `password` (or none: known by certificate), and root; then etcd asks everybody who he is.
 */
export function enableRoles(etcdctl: (...args: string[]) => string, password?: string): void {
  const addUser = (name: string) =>
    password === undefined ? etcdctl("user", "add", name, "--no-password") : etcdctl("user", "add", `${name}:${password}`);
  for (const args of renderEtcdRoles()) etcdctl(...args);
  for (const name of ["root", ...Object.keys(ETCD_ROLES)]) {
    addUser(name);
    etcdctl("user", "grant-role", name, name);
  }
  etcdctl("auth", "enable");
}
