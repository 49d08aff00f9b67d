/** What the load balancer controller knows of a Service, and whether it is his to serve. Source: facts §7.8.1, §7.8.2. */
import type { KubeObject } from "@calico/kube-client";
import type { Family } from "@calico/model";
import { isMap, mapOf } from "./facts.ts";

/** One entry of `status.loadBalancer.ingress`, as it came: others write some, too. */
export type Ingress = Readonly<Record<string, unknown>>;

export interface LoadBalancerService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly type: string;
  readonly className: string | undefined;
  readonly families: readonly Family[];
  /** One family of two is enough. */
  readonly isOneEnough: boolean;
  /** The annotations as written; an empty one is none. */
  readonly asked: { readonly ips: string | undefined; readonly pools4: string | undefined; readonly pools6: string | undefined };
  /** `spec.loadBalancerIP`. */
  readonly specIp: string | undefined;
  readonly ingress: readonly Ingress[];
}

export const ANNOTATIONS = {
  pools4: "projectcalico.org/ipv4pools",
  pools6: "projectcalico.org/ipv6pools",
  ips: "projectcalico.org/loadBalancerIPs",
} as const;

export const CALICO_CLASS = "calico";

/** Which Services get an address without asking for it; `off`: the configuration has no section for this controller, all stays as it is. */
export type AssignMode = "AllServices" | "RequestedServicesOnly" | "off";

export function loadBalancerService(object: KubeObject): LoadBalancerService {
  const { name, namespace = "", uid = "", resourceVersion = "", annotations = {} } = object.metadata;
  const spec = mapOf(object["spec"]);
  const ingress = mapOf(mapOf(object["status"])["loadBalancer"])["ingress"];
  return {
    ...{ name, namespace, uid, resourceVersion },
    type: textOf(spec["type"]) ?? "ClusterIP",
    className: textOf(spec["loadBalancerClass"]),
    families: familiesOf(spec),
    isOneEnough: spec["ipFamilyPolicy"] === "PreferDualStack",
    asked: {
      ips: textOf(annotations[ANNOTATIONS.ips]),
      pools4: textOf(annotations[ANNOTATIONS.pools4]),
      pools6: textOf(annotations[ANNOTATIONS.pools6]),
    },
    specIp: textOf(spec["loadBalancerIP"]),
    ingress: Array.isArray(ingress) ? ingress.filter(isMap) : [],
  };
}

/** The API server fills in the families; where it did not, the policy says how many. */
function familiesOf(spec: Readonly<Record<string, unknown>>): readonly Family[] {
  const given = Array.isArray(spec["ipFamilies"]) ? spec["ipFamilies"] : [];
  const named = [...new Set(given)].flatMap((f): Family[] => (f === "IPv4" ? [4] : f === "IPv6" ? [6] : []));
  const policy = spec["ipFamilyPolicy"];
  if (policy === "SingleStack") return [named[0] ?? 4];
  if (named.length > 0) return named;
  return policy === "RequireDualStack" || policy === "PreferDualStack" ? [4, 6] : [4];
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Another class is another controller's, whatever the annotations say. */
export function isManaged(service: LoadBalancerService, mode: AssignMode): boolean {
  if (service.type !== "LoadBalancer" || mode === "off") return false;
  if (service.className !== undefined) return service.className === CALICO_CLASS;
  return mode === "AllServices" || asksForAddress(service);
}

/** It names Calico, or something that only Calico gives. */
export function asksForAddress({ className, asked, specIp }: LoadBalancerService): boolean {
  return className === CALICO_CLASS || [asked.ips, asked.pools4, asked.pools6, specIp].some((text) => text !== undefined);
}
