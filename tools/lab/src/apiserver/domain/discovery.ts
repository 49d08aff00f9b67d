/** Discovery documents, as a stock kubectl reads them. Source: Kubernetes API concepts, "API discovery". */
import { type ApiKind, groupVersion, KINDS, VERBS } from "./kinds.ts";

export const VERSION = {
  major: "1",
  minor: "30",
  gitVersion: "v1.30.0+lab",
  gitCommit: "",
  gitTreeState: "",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: "linux/amd64",
} as const;

const GROUPS = [...new Set(KINDS.map((k) => k.group))].filter((g) => g !== "");

export function apiVersions(address: string): object {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }] };
}

export function groupList(): object {
  return { kind: "APIGroupList", apiVersion: "v1", groups: GROUPS.map(group) };
}

export function groupDocument(name: string): object | undefined {
  return GROUPS.includes(name) ? { kind: "APIGroup", apiVersion: "v1", ...group(name) } : undefined;
}

function group(name: string): object {
  const versions = [...new Set(KINDS.filter((k) => k.group === name).flatMap((k) => k.versions))];
  const listed = versions.map((version) => ({ groupVersion: groupVersion(name, version), version }));
  return { name, versions: listed, preferredVersion: listed[0] };
}

export function resourceList(groupName: string, version: string): object | undefined {
  const kinds = KINDS.filter((k) => k.group === groupName && k.versions.includes(version));
  if (kinds.length === 0) return undefined;
  const resources = kinds.flatMap((k) => [resource(k), ...k.subresources.map((s) => subresource(k, s))]);
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: groupVersion(groupName, version), resources };
}

function resource(k: ApiKind): object {
  return {
    name: k.plural,
    singularName: k.singular,
    namespaced: k.namespaced,
    kind: k.kind,
    verbs: VERBS,
    ...(k.shortNames.length === 0 ? {} : { shortNames: k.shortNames }),
    ...(k.categories.length === 0 ? {} : { categories: k.categories }),
  };
}

function subresource(k: ApiKind, sub: string): object {
  const verbs = sub === "binding" ? ["create"] : sub === "finalize" ? ["update"] : ["get", "patch", "update"];
  return { name: `${k.plural}/${sub}`, singularName: "", namespaced: k.namespaced, kind: sub === "binding" ? "Binding" : k.kind, verbs };
}
