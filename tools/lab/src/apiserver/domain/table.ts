/** The answer to `Accept: application/json;as=Table`: what `kubectl get` prints. Source: Kubernetes API concepts, "Receiving resources as Tables". */
import { type ApiObject, at, isMap, type JsonMap, mapsAt, textAt } from "./api-object.ts";

interface Column {
  readonly name: string;
  readonly wide?: true;
  readonly of: (object: ApiObject, nowMs: number) => string | number;
}

export type IncludeObject = "None" | "Metadata" | "Object";

const NONE = "<none>";
const name: Column = { name: "Name", of: (o) => o.metadata.name };
const age: Column = { name: "Age", of: (o, now) => printAge(o.metadata.creationTimestamp, now) };
const field = (title: string, path: string, wide?: true): Column => ({
  name: title,
  of: (o) => textAt(o, path) || NONE,
  ...(wide ? { wide } : {}),
});
const size = (title: string, path: string): Column => ({ name: title, of: (o) => countOf(at(o, path)) });

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  Namespace: [name, field("Status", "status.phase"), age],
  Node: [
    name,
    { name: "Status", of: nodeStatus },
    { name: "Roles", of: nodeRoles },
    age,
    { name: "Version", of: (o) => textAt(o, "status.nodeInfo.kubeletVersion") },
    { name: "Internal-IP", wide: true, of: (o) => nodeAddress(o, "InternalIP") },
    { name: "External-IP", wide: true, of: (o) => nodeAddress(o, "ExternalIP") },
    { name: "OS-Image", wide: true, of: (o) => textAt(o, "status.nodeInfo.osImage") || "<unknown>" },
    { name: "Kernel-Version", wide: true, of: (o) => textAt(o, "status.nodeInfo.kernelVersion") || "<unknown>" },
    { name: "Container-Runtime", wide: true, of: (o) => textAt(o, "status.nodeInfo.containerRuntimeVersion") || "<unknown>" },
  ],
  Pod: [
    name,
    {
      name: "Ready",
      of: (o) =>
        `${mapsAt(o, "status.containerStatuses").filter((c) => c["ready"] === true).length}/${mapsAt(o, "spec.containers").length}`,
    },
    { name: "Status", of: podStatus },
    { name: "Restarts", of: (o) => mapsAt(o, "status.containerStatuses").reduce((n, c) => n + Number(c["restartCount"] ?? 0), 0) },
    age,
    field("IP", "status.podIP", true),
    field("Node", "spec.nodeName", true),
    field("Nominated Node", "status.nominatedNodeName", true),
    { name: "Readiness Gates", wide: true, of: () => NONE },
  ],
  Service: [
    name,
    field("Type", "spec.type"),
    field("Cluster-IP", "spec.clusterIP"),
    { name: "External-IP", of: externalIp },
    { name: "Port(s)", of: servicePorts },
    age,
    { name: "Selector", wide: true, of: (o) => printLabels(at(o, "spec.selector")) },
  ],
  ServiceAccount: [name, size("Secrets", "secrets"), age],
  Endpoints: [name, { name: "Endpoints", of: endpointList }, age],
  ConfigMap: [name, size("Data", "data"), age],
  Secret: [name, field("Type", "type"), size("Data", "data"), age],
  Event: [
    {
      name: "Last Seen",
      of: (o, now) => printAge(textAt(o, "lastTimestamp") || textAt(o, "eventTime") || o.metadata.creationTimestamp, now),
    },
    field("Type", "type"),
    field("Reason", "reason"),
    { name: "Object", of: (o) => `${textAt(o, "involvedObject.kind").toLowerCase()}/${textAt(o, "involvedObject.name")}` },
    { name: "Message", of: (o) => textAt(o, "message").trim() },
  ],
  EndpointSlice: [
    name,
    field("AddressType", "addressType"),
    { name: "Ports", of: (o) => joined(mapsAt(o, "ports").map((p) => textAt(p, "port"))) },
    {
      name: "Endpoints",
      of: (o) => joined(mapsAt(o, "endpoints").flatMap((e) => (Array.isArray(e["addresses"]) ? e["addresses"].map(String) : []))),
    },
    age,
  ],
  NetworkPolicy: [name, { name: "Pod-Selector", of: (o) => printLabels(at(o, "spec.podSelector.matchLabels")) }, age],
};

export interface TableOptions {
  readonly nowMs: number;
  readonly include: IncludeObject;
  readonly version: string;
  readonly listMetadata: JsonMap;
  /** False for the second and later events of a watch. */
  readonly header: boolean;
}

export function renderTable(kind: string, objects: readonly ApiObject[], options: TableOptions): JsonMap {
  const columns = COLUMNS[kind] ?? [name, age];
  const definitions = columns.map((c) => ({
    name: c.name,
    type: c.name === "Restarts" ? "integer" : "string",
    format: c.name === "Name" ? "name" : "",
    description: c.name,
    priority: c.wide === true ? 1 : 0,
  }));
  return {
    kind: "Table",
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata: options.listMetadata,
    columnDefinitions: options.header ? definitions : null,
    rows: objects.map((o) => ({ cells: columns.map((c) => c.of(o, options.nowMs)), ...rowObject(o, options) })),
  } as JsonMap;
}

function rowObject(o: ApiObject, { include, version }: TableOptions): { object?: unknown } {
  if (include === "None") return {};
  return {
    object: include === "Object" ? o : { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata: o.metadata },
  };
}

/** `5s`, `3m12s`, `4h`, `2d`. Source: apimachinery duration.HumanDuration. */
export function printAge(since: string | undefined, nowMs: number): string {
  const from = Date.parse(since ?? "");
  if (Number.isNaN(from)) return "<unknown>";
  const sec = Math.max(0, Math.floor((nowMs - from) / 1000));
  const [min, hours, days] = [Math.floor(sec / 60), Math.floor(sec / 3600), Math.floor(sec / 86400)];
  if (sec < 120) return `${sec}s`;
  if (min < 10) return sec % 60 === 0 ? `${min}m` : `${min}m${sec % 60}s`;
  if (hours < 3) return `${min}m`;
  if (hours < 8) return min % 60 === 0 ? `${hours}h` : `${hours}h${min % 60}m`;
  if (hours < 48) return `${hours}h`;
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  return `${days}d`;
}

function podStatus(o: ApiObject): string {
  if (o.metadata.deletionTimestamp !== undefined) return "Terminating";
  for (const c of mapsAt(o, "status.containerStatuses")) {
    const reason = textAt(c, "state.waiting.reason") || textAt(c, "state.terminated.reason");
    if (reason !== "") return reason;
  }
  return textAt(o, "status.reason") || textAt(o, "status.phase");
}

function nodeStatus(o: ApiObject): string {
  const ready = mapsAt(o, "status.conditions").find((c) => c["type"] === "Ready");
  const word = ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  return at(o, "spec.unschedulable") === true ? `${word},SchedulingDisabled` : word;
}

function nodeRoles(o: ApiObject): string {
  const prefix = "node-role.kubernetes.io/";
  const roles = Object.keys(o.metadata.labels ?? {}).filter((k) => k.startsWith(prefix));
  return (
    roles
      .map((k) => k.slice(prefix.length))
      .toSorted()
      .join(",") || NONE
  );
}

function nodeAddress(o: ApiObject, type: string): string {
  return (
    textAt(
      mapsAt(o, "status.addresses").find((a) => a["type"] === type),
      "address",
    ) || NONE
  );
}

function externalIp(o: ApiObject): string {
  if (textAt(o, "spec.type") === "ExternalName") return textAt(o, "spec.externalName");
  const list = at(o, "spec.externalIPs");
  const ips = [
    ...mapsAt(o, "status.loadBalancer.ingress").map((i) => textAt(i, "ip") || textAt(i, "hostname")),
    ...(Array.isArray(list) ? list.map(String) : []),
  ];
  if (ips.length > 0) return ips.join(",");
  return textAt(o, "spec.type") === "LoadBalancer" ? "<pending>" : NONE;
}

function servicePorts(o: ApiObject): string {
  const one = (p: JsonMap) =>
    `${textAt(p, "port")}${p["nodePort"] === undefined ? "" : `:${textAt(p, "nodePort")}`}/${textAt(p, "protocol")}`;
  return mapsAt(o, "spec.ports").map(one).join(",") || NONE;
}

function endpointList(o: ApiObject): string {
  const all = mapsAt(o, "subsets").flatMap((s) =>
    mapsAt(s, "addresses").flatMap((a) => {
      const ports = mapsAt(s, "ports");
      return ports.length === 0 ? [textAt(a, "ip")] : ports.map((p) => `${textAt(a, "ip")}:${textAt(p, "port")}`);
    }),
  );
  return joined(all);
}

function joined(all: readonly string[]): string {
  if (all.length === 0) return NONE;
  return all.length <= 3 ? all.join(",") : `${all.slice(0, 3).join(",")} + ${all.length - 3} more...`;
}

function printLabels(labels: unknown): string {
  if (!isMap(labels) || Object.keys(labels).length === 0) return NONE;
  return Object.entries(labels)
    .map(([k, v]) => `${k}=${String(v)}`)
    .toSorted()
    .join(",");
}

function countOf(value: unknown): number {
  return Array.isArray(value) ? value.length : isMap(value) ? Object.keys(value).length : 0;
}
