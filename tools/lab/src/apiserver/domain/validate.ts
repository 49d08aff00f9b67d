/**
 * The checks that keep nonsense out: names, labels, and what the cluster's other parts rely on.
 * What a NetworkPolicy says is not judged here: its readers must cope with what any API server lets through.
 */
import type { FieldProblem } from "./api-error.ts";
import { type ApiObject, at, isMap, mapsAt, textAt } from "./api-object.ts";
import type { ApiKind } from "./kinds.ts";

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const SERVICE_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const PROTOCOLS = ["TCP", "UDP", "SCTP"];

const NAME_RULES: Readonly<Record<string, { readonly form: RegExp; readonly max: number; readonly say: string }>> = {
  Namespace: { form: LABEL, max: 63, say: "a lowercase RFC 1123 label" },
  Service: { form: SERVICE_NAME, max: 63, say: "a DNS-1035 label" },
};
const ANY_NAME = { form: SUBDOMAIN, max: 253, say: "a lowercase RFC 1123 subdomain" };

/** Everything wrong with an object, empty when it may be stored. */
export function problemsOf(kind: ApiKind, object: ApiObject): readonly FieldProblem[] {
  return [...metadataProblems(kind, object), ...(SPEC_RULES[kind.kind]?.(object) ?? [])];
}

function metadataProblems(kind: ApiKind, { metadata }: ApiObject): readonly FieldProblem[] {
  const { form, max, say } = NAME_RULES[kind.kind] ?? ANY_NAME;
  const problems: FieldProblem[] = [];
  if (metadata.name.length > max) problems.push({ field: "metadata.name", message: `Too long: must have at most ${max} bytes` });
  else if (!form.test(metadata.name))
    problems.push({ field: "metadata.name", message: `Invalid value: "${metadata.name}": must be ${say}` });
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!isQualifiedName(key)) problems.push({ field: "metadata.labels", message: `Invalid value: "${key}": must be a qualified name` });
    if (typeof value !== "string" || value.length > 63 || (value !== "" && !QUALIFIED.test(value)))
      problems.push({ field: "metadata.labels", message: `Invalid value: ${JSON.stringify(value)}: must be a valid label value` });
  }
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (!isQualifiedName(key.toLowerCase()))
      problems.push({ field: "metadata.annotations", message: `Invalid value: "${key}": must be a qualified name` });
    if (typeof value !== "string") problems.push({ field: `metadata.annotations[${key}]`, message: "Invalid value: must be a string" });
  }
  return problems;
}

function isQualifiedName(key: string): boolean {
  const parts = key.split("/");
  const name = parts.at(-1) ?? "";
  const prefix = parts.length === 2 ? (parts[0] ?? "") : undefined;
  return (
    parts.length <= 2 &&
    name.length <= 63 &&
    QUALIFIED.test(name) &&
    (prefix === undefined || (prefix.length <= 253 && SUBDOMAIN.test(prefix)))
  );
}

const required = (field: string): FieldProblem => ({ field, message: "Required value", reason: "FieldValueRequired" });

const SPEC_RULES: Readonly<Record<string, (o: ApiObject) => readonly FieldProblem[]>> = {
  Pod: podProblems,
  Service: serviceProblems,
  EndpointSlice: (o) => (["IPv4", "IPv6", "FQDN"].includes(textAt(o, "addressType")) ? [] : [required("addressType")]),
};

function podProblems(o: ApiObject): readonly FieldProblem[] {
  const containers = mapsAt(o, "spec.containers");
  if (containers.length === 0) return [required("spec.containers")];
  const problems: FieldProblem[] = [];
  const names = new Set<string>();
  for (const [i, c] of containers.entries()) {
    const field = `spec.containers[${i}]`;
    const name = textAt(c, "name");
    if (name === "") problems.push(required(`${field}.name`));
    else if (!LABEL.test(name))
      problems.push({ field: `${field}.name`, message: `Invalid value: "${name}": must be a lowercase RFC 1123 label` });
    else if (names.has(name))
      problems.push({ field: `${field}.name`, message: `Duplicate value: "${name}"`, reason: "FieldValueDuplicate" });
    names.add(name);
    if (textAt(c, "image") === "") problems.push(required(`${field}.image`));
    for (const [j, p] of mapsAt(c, "ports").entries())
      problems.push(
        ...portProblems(`${field}.ports[${j}].containerPort`, p["containerPort"]),
        ...protocolProblems(`${field}.ports[${j}]`, p),
      );
  }
  return problems;
}

function serviceProblems(o: ApiObject): readonly FieldProblem[] {
  const ports = mapsAt(o, "spec.ports");
  const headless = textAt(o, "spec.clusterIP") === "None";
  if (textAt(o, "spec.type") === "ExternalName") return textAt(o, "spec.externalName") === "" ? [required("spec.externalName")] : [];
  if (ports.length === 0) return headless ? [] : [required("spec.ports")];
  const problems: FieldProblem[] = [];
  const names = new Set<string>();
  for (const [i, p] of ports.entries()) {
    const field = `spec.ports[${i}]`;
    problems.push(...portProblems(`${field}.port`, p["port"]), ...protocolProblems(field, p));
    const name = textAt(p, "name");
    if (name === "" && ports.length > 1) problems.push(required(`${field}.name`));
    if (names.has(name)) problems.push({ field: `${field}.name`, message: `Duplicate value: "${name}"`, reason: "FieldValueDuplicate" });
    names.add(name);
  }
  if (at(o, "spec.selector") !== undefined && !isMap(at(o, "spec.selector")) && at(o, "spec.selector") !== null)
    problems.push({ field: "spec.selector", message: "Invalid value: must be a map of labels" });
  return problems;
}

function portProblems(field: string, value: unknown): readonly FieldProblem[] {
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535) return [];
  return [{ field, message: `Invalid value: ${JSON.stringify(value)}: must be between 1 and 65535, inclusive` }];
}

function protocolProblems(field: string, port: unknown): readonly FieldProblem[] {
  const protocol = textAt(port, "protocol");
  if (PROTOCOLS.includes(protocol)) return [];
  return [{ field: `${field}.protocol`, message: `Unsupported value: "${protocol}": supported values: "SCTP", "TCP", "UDP"` }];
}
