/** Create, read, update, patch and delete, with Kubernetes' rules of concurrency: who says a resourceVersion is refused when it is old, who does not is retried. */
import type { KeyValue } from "@calico/datastore";
import { alreadyExists, ApiError, conflict, forbidden, invalid, notFound, type Status, success } from "../domain/api-error.ts";
import { type ApiObject, sameJson, textAt } from "../domain/api-object.ts";
import { isReleased, planDelete } from "../domain/deletion.ts";
import { type ApiKind, kindNamed, storageKey } from "../domain/kinds.ts";
import { parseObject, prepareCreate, prepareUpdate, updateProblems, withGeneration } from "../domain/prepare.ts";
import { problemsOf } from "../domain/validate.ts";
import type { ServerPorts } from "../ports.ts";
import { makeAddresses } from "./addresses.ts";
import { decodeObject, makeStorage, type Storage } from "./storage.ts";

export interface Place {
  readonly kind: ApiKind;
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface DeleteRequest {
  readonly graceSec: number | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
}

export interface Registry {
  readonly storage: Storage;
  get(place: Place): Promise<ApiObject>;
  create(kind: ApiKind, namespace: string | undefined, body: unknown): Promise<ApiObject>;
  /** `change` gives the wanted body from the current object; it may be called again after a conflict. */
  update(place: Place, sub: "status" | undefined, change: (current: ApiObject) => unknown): Promise<ApiObject>;
  /** Like update, for the server's own changes: no defaults, no checks. */
  amend(place: Place, change: (current: ApiObject) => ApiObject): Promise<ApiObject>;
  /** The object, when it waits for somebody; a Status when it is gone. */
  remove(place: Place, request: DeleteRequest): Promise<ApiObject | Status>;
}

const ATTEMPTS = 20;
const KEPT_NAMESPACES = ["default", "kube-system"];

export function makeRegistry(ports: ServerPorts): Registry {
  const storage = makeStorage(ports);
  const addresses = makeAddresses(ports);

  async function create(kind: ApiKind, namespace: string | undefined, body: unknown): Promise<ApiObject> {
    const sent = parseObject(kind, body, namespace);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const home = kind.namespaced ? await openNamespace(storage, kind, sent, namespace ?? "") : undefined;
      const facts = { namespace, now: timestamp(ports.clock()), uid: ports.uid(), suffix: ports.suffix(5) };
      const plain = prepareCreate(kind, sent, facts);
      reject(kind, plain);
      const next = kind.kind === "Service" ? await addresses.complete(plain, undefined) : plain;
      const compares = home === undefined ? [] : [{ key: home.key, target: "modRevision", is: "==", revision: home.modRevision } as const];
      const done = await storage.write({ kind, old: undefined, next, compares });
      if (done.kind === "written") return done.object;
      if (done.kind === "changed" && sent.metadata.name !== "") throw alreadyExists(kind, next.metadata.name);
      if (done.kind === "taken") addresses.refuseIfAsked(sent, done.what);
    }
    throw conflict(kind, sent.metadata.name, `it could not be created in ${ATTEMPTS} attempts; try again`);
  }

  async function change(place: Place, derive: (old: ApiObject) => Promise<ApiObject>): Promise<ApiObject> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const old = await mustRead(storage, place);
      const current = decodeObject(old);
      const next = await derive(current);
      if (isReleased(next)) {
        const gone = await storage.write({ kind: place.kind, old, next: undefined });
        if (gone.kind === "removed") return next;
        continue;
      }
      const { resourceVersion: _version, ...metadata } = next.metadata;
      if (sameJson({ ...next, metadata }, JSON.parse(old.value))) return current;
      const done = await storage.write({ kind: place.kind, old, next });
      if (done.kind === "written") return done.object;
      if (done.kind === "taken") addresses.refuseIfAsked(next, done.what);
    }
    throw conflict(place.kind, place.name);
  }

  return {
    storage,
    create,
    get: async (place) => decodeObject(await mustRead(storage, place)),
    amend: (place, derive) => change(place, async (current) => derive(current)),
    update: (place, sub, derive) =>
      change(place, async (current) => {
        const wanted = parseObject(place.kind, derive(current), place.namespace);
        checkIdentity(place, current, wanted);
        const merged = prepareUpdate(place.kind, current, wanted, sub);
        const next = place.kind.kind === "Service" && sub === undefined ? await addresses.complete(merged, current) : merged;
        reject(place.kind, next);
        if (sub === undefined) refuse(place.kind, next, updateProblems(current, next));
        return withGeneration(current, next);
      }),
    remove: (place, request) => remove(storage, place, request, () => ports.clock().getTime()),
  };
}

async function remove(storage: Storage, place: Place, request: DeleteRequest, nowMs: () => number): Promise<ApiObject | Status> {
  const { kind, name } = place;
  if (kind.kind === "Namespace" && KEPT_NAMESPACES.includes(name)) throw forbidden(kind, name, "this namespace may not be deleted");
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const old = await mustRead(storage, place);
    const object = decodeObject(old);
    const { uid, resourceVersion } = object.metadata;
    if (request.uid !== undefined && request.uid !== uid)
      throw conflict(kind, name, `the UID in the precondition (${request.uid}) does not match the UID in record (${uid})`);
    if (request.resourceVersion !== undefined && request.resourceVersion !== resourceVersion)
      throw conflict(
        kind,
        name,
        `the ResourceVersion in the precondition (${request.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion})`,
      );
    const plan = planDelete(object, { graceSec: request.graceSec, nowMs: nowMs() });
    if (plan.do === "nothing") return object;
    const done = await storage.write({ kind, old, next: plan.next });
    if (done.kind === "written") return done.object;
    if (done.kind === "removed")
      return success({
        name,
        ...(kind.group === "" ? {} : { group: kind.group }),
        kind: kind.plural,
        ...(uid === undefined ? {} : { uid }),
      });
  }
  throw conflict(kind, name);
}

async function mustRead(storage: Storage, place: Place): Promise<KeyValue> {
  const found = await storage.read(place.kind, place);
  if (found === undefined) throw notFound(place.kind, place.name);
  return found;
}

/** The namespace that a new object goes to. */
async function openNamespace(storage: Storage, kind: ApiKind, sent: ApiObject, name: string): Promise<KeyValue> {
  const namespaces = kindNamed("Namespace");
  const home = await storage.read(namespaces, { namespace: undefined, name });
  if (home === undefined) throw notFound(namespaces, name);
  if (textAt(decodeObject(home), "status.phase") === "Terminating")
    throw forbidden(kind, sent.metadata.name, `unable to create new content in namespace ${name} because it is being terminated`);
  return home;
}

function checkIdentity(place: Place, current: ApiObject, wanted: ApiObject): void {
  const { name, uid, resourceVersion } = wanted.metadata;
  if (name !== place.name)
    throw new ApiError(400, "BadRequest", `the name of the object (${name}) does not match the name on the URL (${place.name})`);
  if (uid !== undefined && uid !== "" && uid !== current.metadata.uid)
    throw conflict(place.kind, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`);
  if (resourceVersion !== undefined && resourceVersion !== "" && resourceVersion !== current.metadata.resourceVersion)
    throw conflict(place.kind, name);
}

function reject(kind: ApiKind, object: ApiObject): void {
  refuse(kind, object, problemsOf(kind, object));
}

function refuse(kind: ApiKind, object: ApiObject, problems: ReturnType<typeof problemsOf>): void {
  if (problems.length > 0) throw invalid(kind, object.metadata.name, problems);
}

export function timestamp(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, "Z");
}

/** The key prefix below which the objects of a request are. */
export function prefixOf(kind: ApiKind, namespace: string | undefined): string {
  return storageKey(kind, { namespace });
}
