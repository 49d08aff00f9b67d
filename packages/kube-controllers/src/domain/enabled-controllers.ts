/** ENABLED_CONTROLLERS: which of Calico's controllers run. Source: facts §7.1.2. */
import { err, ok, type Result } from "@calico/model";

/** Calico's name → the names of ours that do its work. */
const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  workloadendpoint: ["workloadendpoint"],
  profile: ["namespace"],
  namespace: ["namespace"],
  policy: ["policy"],
  node: ["node", "ipam-audit", "ipam-gc"],
  serviceaccount: ["serviceaccount"],
  loadbalancer: ["loadbalancer"],
};

/** Whether a controller of ours is to run. Those that Calico has no name for, such as what feeds the service NAT, always are. */
export type IsEnabled = (name: string) => boolean;

export function enabledControllers(text: string): Result<IsEnabled, string> {
  const names = text.split(",").flatMap((name) => name.trim().toLowerCase() || []);
  if (names.includes("flannelmigration")) return err("error: the controller flannelmigration is not supported");
  const unknown = names.find((name) => !Object.hasOwn(CONTROLLERS, name));
  if (unknown !== undefined) return err(`error: Invalid controller '${unknown}' provided.`);
  const all = new Set(Object.values(CONTROLLERS).flat());
  const chosen = new Set(names.flatMap((name) => CONTROLLERS[name] ?? []));
  return ok((name) => names.length === 0 || chosen.has(name) || !all.has(name));
}
