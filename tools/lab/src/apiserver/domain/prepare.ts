/** What happens to an object between the request and the store, and what an update may change. Pure. */
import { badRequest, type FieldProblem } from "./api-error.ts";
import { type ApiObject, at, isMap, mapsAt, type Metadata, sameJson, textAt } from "./api-object.ts";
import { fillDefaults } from "./defaults.ts";
import { type ApiKind, groupVersion } from "./kinds.ts";

/** What the outside world adds to a new object. */
export interface CreateFacts {
  readonly namespace: string | undefined;
  readonly now: string;
  readonly uid: string;
  /** Five characters for generateName. */
  readonly suffix: string;
}

/** A request's body as an object of this kind; the stored version's apiVersion whatever was sent. */
export function parseObject(kind: ApiKind, body: unknown, namespace: string | undefined): ApiObject {
  if (!isMap(body)) throw badRequest("the body is not an object");
  const served = kind.versions.map((v) => groupVersion(kind.group, v));
  if (body["kind"] !== undefined && body["kind"] !== kind.kind)
    throw badRequest(`the object's kind is ${JSON.stringify(body["kind"])}, this path takes ${kind.kind}`);
  if (body["apiVersion"] !== undefined && !served.includes(String(body["apiVersion"])))
    throw badRequest(`the object's apiVersion is ${JSON.stringify(body["apiVersion"])}, this path takes ${served.join(" or ")}`);
  const metadata = body["metadata"] ?? {};
  if (!isMap(metadata)) throw badRequest("metadata is not an object");
  const { namespace: own, managedFields: _fields, selfLink: _link, ...rest } = metadata;
  if (kind.namespaced && own !== undefined && own !== "" && own !== namespace)
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  return {
    ...body,
    kind: kind.kind,
    apiVersion: groupVersion(kind.group, kind.versions[0] ?? "v1"),
    metadata: {
      ...rest,
      name: typeof rest["name"] === "string" ? rest["name"] : "",
      ...(kind.namespaced ? { namespace } : {}),
    } as Metadata,
  };
}

/** A new object: named, dated, with defaults. Status of pods and services begins empty, whatever was sent. */
export function prepareCreate(kind: ApiKind, object: ApiObject, facts: CreateFacts): ApiObject {
  const { name, generateName, resourceVersion, ...rest } = object.metadata;
  if (resourceVersion !== undefined && resourceVersion !== "")
    throw badRequest("resourceVersion should not be set on objects to be created");
  if (name === "" && !generateName) throw badRequest("name or generateName is required");
  const metadata: Metadata = {
    ...rest,
    name: name === "" ? `${(generateName ?? "").slice(0, 58)}${facts.suffix}` : name,
    ...(generateName ? { generateName } : {}),
    uid: facts.uid,
    creationTimestamp: facts.now,
    ...(isMap(object["spec"]) && kind.kind !== "Node" ? { generation: 1 } : {}),
  };
  const { deletionTimestamp: _at, deletionGracePeriodSeconds: _grace, ...fresh } = metadata;
  const { status, ...body } = object;
  const keepsStatus = kind.kind !== "Pod" && kind.kind !== "Service" && kind.kind !== "Namespace";
  return fillDefaults({
    ...body,
    ...(keepsStatus && status !== undefined ? { status } : {}),
    metadata: fresh,
    kind: object.kind,
    apiVersion: object.apiVersion,
  });
}

/** The object that replaces `old`: identity stays, and status or the rest stays, according to which of them is being written. */
export function prepareUpdate(kind: ApiKind, old: ApiObject, next: ApiObject, sub: "status" | undefined): ApiObject {
  const metadata: Metadata = { ...next.metadata, ...identity(old.metadata) };
  const { resourceVersion: _version, ...kept } = metadata;
  const hasStatus = kind.subresources.includes("status");
  if (sub === "status") return { ...old, metadata: { ...kept, generation: old.metadata.generation }, status: next["status"] ?? {} };
  const { status: _status, ...body } = next;
  const merged = hasStatus ? { ...body, ...(old["status"] === undefined ? {} : { status: old["status"] }) } : next;
  return fillDefaults({ ...merged, kind: old.kind, apiVersion: old.apiVersion, metadata: kept });
}

/** The generation counts changes of the spec. */
export function withGeneration(old: ApiObject, next: ApiObject): ApiObject {
  if (old.metadata.generation === undefined || sameJson(old["spec"], next["spec"])) return next;
  return { ...next, metadata: { ...next.metadata, generation: old.metadata.generation + 1 } };
}

function identity(old: Metadata): Partial<Metadata> {
  const { name, namespace, uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation, generateName } = old;
  return Object.fromEntries(
    Object.entries({ name, namespace, uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation, generateName }),
  );
}

/** What an update may not change. Source: Kubernetes pkg/apis/core/validation (ValidatePodUpdate, ValidateServiceUpdate). */
export function updateProblems(old: ApiObject, next: ApiObject): readonly FieldProblem[] {
  if (old.kind === "Pod" && !sameJson(frozenPodSpec(old), frozenPodSpec(next)))
    return [
      {
        field: "spec",
        message:
          "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` or `spec.terminationGracePeriodSeconds`",
        reason: "FieldValueForbidden",
      },
    ];
  if (old.kind === "EndpointSlice" && textAt(old, "addressType") !== textAt(next, "addressType"))
    return [{ field: "addressType", message: `Invalid value: "${textAt(next, "addressType")}": field is immutable` }];
  if (old.kind === "ConfigMap" && at(old, "immutable") === true && !sameJson(at(old, "data"), at(next, "data")))
    return [{ field: "data", message: "Forbidden: field is immutable when `immutable` is set", reason: "FieldValueForbidden" }];
  return [];
}

function frozenPodSpec(pod: ApiObject): unknown {
  const spec = pod["spec"];
  if (!isMap(spec)) return {};
  const { activeDeadlineSeconds: _a, tolerations: _b, terminationGracePeriodSeconds: _c, ...rest } = spec;
  const imageless = (field: string) => mapsAt(spec, field).map(({ image: _i, imagePullPolicy: _p, ...c }) => c);
  return { ...rest, containers: imageless("containers"), initContainers: imageless("initContainers") };
}
