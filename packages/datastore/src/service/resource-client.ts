import {
  type AnyObject,
  API_VERSION,
  checkWritten,
  err,
  type IPPool,
  kindInfo,
  type ObjectKind,
  ok,
  parseResource,
  prefixOf,
  type Resource,
  type Result,
  type WorkloadEndpoint,
} from "@calico/model";
import { type DatastoreError, datastoreErrors, type Identifier } from "../domain/errors.ts";
import { printStored, sameStored, storeKey } from "../domain/stored-form.ts";
import type { ResourceInput, ResourceRef } from "../domain/resource-input.ts";
import { workloadFaults, workloadLabels } from "../domain/workload-rules.ts";
import { writeFaults } from "../domain/write-rules.ts";
import type { Store } from "../ports.ts";
import { decode, decodeAll, isDefaultAllow, parsedDefaultAllow } from "./decode.ts";
import { ensureInitialized, type InitOptions } from "./ensure-initialized.ts";
import { deleteRefused, requireTier } from "./guards.ts";
import { emptyNode, type IpamForDeletes } from "./node-guards.ts";
import { emptyPool, poolRefused } from "./pool-guards.ts";
import { type ResourceEvent, type WatchOptions, watchResources } from "./resource-watch.ts";

export interface ResourceList<K extends ObjectKind> {
  readonly items: Resource<K>[];
  /** The store's revision that the list shows, decimal: watch from the next one. */
  readonly resourceVersion: string;
  /** What is stored at keys of this kind and cannot be read as it. */
  readonly unparsable: readonly DatastoreError[];
}

type Outcome<K extends ObjectKind> = Promise<Result<Resource<K>, DatastoreError>>;

/** Typed objects over the store, with the rules of Calico's v3 client. Faults of the store are thrown, all else is a result. */
export interface ResourceClient {
  get<K extends ObjectKind>(ref: ResourceRef<K>): Outcome<K>;
  list<K extends ObjectKind>(kind: K, namespace?: string): Promise<ResourceList<K>>;
  /** Refuses an object that exists. Fills in uid and creationTimestamp. `unsafe`: a pool may overlap others, as the parts of one that is split do. */
  create<K extends ObjectKind>(object: ResourceInput<K>, options?: { readonly unsafe?: boolean }): Outcome<K>;
  /** Refuses an object that changed since `metadata.resourceVersion`. */
  update<K extends ObjectKind>(object: ResourceInput<K>): Outcome<K>;
  /** Create, or update whatever is there; checks resourceVersion only if given. Writes nothing if nothing would change. */
  apply<K extends ObjectKind>(object: ResourceInput<K>): Outcome<K>;
  /** The value is the object as it was. A pool is disabled and its blocks are given back first; of a node, its endpoints and addresses. */
  delete<K extends ObjectKind>(ref: ResourceRef<K>, resourceVersion?: string): Outcome<K>;
  /** Ends on the signal, and after `terminated`. */
  watch<K extends ObjectKind>(kind: K, options: WatchOptions): AsyncIterable<ResourceEvent<K>>;
  /** Write the objects that every cluster has. Safe to call by many, at any time. Source: facts §1.1.4. */
  ensureInitialized(options?: InitOptions): Promise<void>;
}

export interface ResourceClientOptions {
  /** Needed to delete pools, and nodes with all that is theirs: `makeIpam({ store })` of @calico/ipam. Opened when it is first needed. */
  readonly ipam?: () => Promise<IpamForDeletes>;
  /** Between a pool's disabling and the release of its blocks. */
  readonly settleMs?: number;
}

const APPLY_ATTEMPTS = 5;

export function resourceClient(store: Store, options: ResourceClientOptions = {}): ResourceClient {
  const client: ResourceClient = {
    async get(ref) {
      if (isDefaultAllow(ref)) return parsedDefaultAllow();
      const key = keyFor(ref);
      if (!key.ok) return key;
      const kv = await store.get(key.value);
      return kv === undefined ? err(missing(ref)) : decode(ref.kind, kv);
    },
    async list(kind, namespace) {
      const { items, revision } = await store.list(prefixOf(kind, kindInfo(kind).namespaced ? namespace : undefined));
      return { ...decodeAll(kind, items), resourceVersion: String(revision) };
    },
    async create(object, { unsafe = false } = {}) {
      if (isDefaultAllow(identify(object))) return err(datastoreErrors.alreadyExists(identify(object), "the profile is built in"));
      const ready = prepare("create", object);
      if (!ready.ok) return ready;
      const tier = await requireTier(client, object);
      if (!tier.ok) return tier;
      const refused = isPool(ready.value.object) && !unsafe && (await poolRefused({ client, store }, "create", ready.value.object));
      if (refused) return err(refused);
      const made = await store.create(ready.value.key, ready.value.text);
      if (made.ok) return decode(object.kind, made.value);
      return err(datastoreErrors.alreadyExists(identify(object), `${made.error.key} was found in the datastore`));
    },
    async update(object) {
      const ready = prepare("update", object);
      if (!ready.ok) return ready;
      const revision = parseRevision(object.metadata.resourceVersion);
      if (revision === undefined) return err(badRevision(identify(object), object.metadata.resourceVersion ?? ""));
      const refused = isPool(ready.value.object) && (await poolRefused({ client, store }, "update", ready.value.object));
      if (refused) return err(refused);
      const done = await store.update(ready.value.key, ready.value.text, revision);
      if (done.ok) return decode(object.kind, done.value);
      return err(done.error.kind === "notFound" ? missing(identify(object)) : datastoreErrors.updateConflict(identify(object)));
    },
    apply: (object) => apply(store, client, object),
    async delete(ref, resourceVersion) {
      const refused = await deleteRefused(client, ref);
      if (refused !== undefined) return err(refused);
      const key = keyFor(ref);
      if (!key.ok) return key;
      let revision = resourceVersion === undefined ? undefined : parseRevision(resourceVersion);
      if (resourceVersion !== undefined && revision === undefined) return err(badRevision(ref, resourceVersion));
      const empties = ref.kind === "IPPool" || (ref.kind === "Node" && options.ipam !== undefined);
      if (empties && revision !== undefined && (await store.get(key.value))?.modRevision !== revision)
        return err(datastoreErrors.updateConflict(ref));
      const left = ref.kind === "Node" && options.ipam && (await emptyNode(client, { kind: "Node", name: ref.name }, options.ipam));
      if (left) return err(left);
      if (ref.kind === "IPPool") {
        const emptied = await emptyPool(client, { kind: "IPPool", name: ref.name }, options);
        if (!emptied.ok) return emptied;
        revision &&= parseRevision(emptied.value);
      }
      const gone = await store.delete(key.value, revision);
      if (gone.ok) return decode(ref.kind, gone.value);
      return err(gone.error.kind === "notFound" ? missing(ref) : datastoreErrors.updateConflict(ref));
    },
    watch: (kind, options) => watchResources(store, kind, options),
    ensureInitialized: (options) => ensureInitialized(client, options),
  };
  return client;
}

async function apply<K extends ObjectKind>(store: Store, client: ResourceClient, object: ResourceInput<K>): Outcome<K> {
  const ref = identify(object) as ResourceRef<K>;
  for (let attempt = 1; ; attempt++) {
    const there = await client.get(ref);
    const { resourceVersion: wanted, ...metadata } = object.metadata;
    if (!there.ok && there.error.kind === "doesNotExist") {
      const made = await client.create({ ...object, metadata });
      if (made.ok || made.error.kind !== "alreadyExists" || attempt >= APPLY_ATTEMPTS) return made;
      continue;
    }
    if (!there.ok) return there;
    const old = there.value as unknown as ResourceInput<K>;
    const { uid, creationTimestamp, resourceVersion } = old.metadata;
    const identity = {
      uid: uid ?? crypto.randomUUID(),
      creationTimestamp: creationTimestamp ?? nowSec(),
      resourceVersion: wanted ?? resourceVersion,
    };
    const status = object.status ?? old.status;
    const next = { ...object, metadata: { ...metadata, ...identity }, ...(status === undefined ? {} : { status }) };
    if (wanted === undefined && (await isStored(store, next))) return there;
    const done = await client.update(next);
    if (done.ok || done.error.kind !== "updateConflict" || wanted !== undefined || attempt >= APPLY_ATTEMPTS) return done;
  }
}

async function isStored(store: Store, object: ResourceInput): Promise<boolean> {
  const ready = prepare("update", object);
  if (!ready.ok) return false;
  const there = await store.get(ready.value.key);
  return there !== undefined && sameStored(there.value, ready.value.text);
}

/** Checks, defaults, identity and text of an object to be written. */
type Prepared = { readonly key: string; readonly text: string; readonly object: AnyObject };

function prepare(operation: "create" | "update", object: ResourceInput): Result<Prepared, DatastoreError> {
  const ref = identify(object);
  const faults = writeFaults(operation, object, kindInfo(object.kind).namespaced);
  if (faults.length > 0) return err(datastoreErrors.invalid(ref, faults));
  const { uid = crypto.randomUUID(), creationTimestamp = nowSec(), ...rest } = object.metadata;
  const parsed = parseResource(object.kind, { apiVersion: API_VERSION, ...object, metadata: { ...rest, uid, creationTimestamp } });
  if (!parsed.ok) return err(datastoreErrors.invalid(ref, parsed.error));
  const bad = [...checkWritten(object.kind, parsed.value), ...(isWorkload(parsed.value) ? workloadFaults(parsed.value) : [])];
  if (bad.length > 0) return err(datastoreErrors.invalid(ref, bad));
  const key = keyFor(ref);
  return key.ok ? ok({ key: key.value, text: printStored(withLabels(parsed.value)), object: parsed.value }) : key;
}

function isPool(object: AnyObject): object is IPPool {
  return object.kind === "IPPool";
}

function isWorkload(object: AnyObject): object is WorkloadEndpoint {
  return object.kind === "WorkloadEndpoint";
}

function withLabels(object: AnyObject): AnyObject {
  return isWorkload(object) ? { ...object, metadata: { ...object.metadata, labels: workloadLabels(object) } } : object;
}

function identify<K extends ObjectKind>({ kind, metadata: { name, namespace } }: ResourceInput<K>): ResourceRef<K> {
  return { kind, name, ...(namespace === undefined || namespace === "" ? {} : { namespace }) };
}

function keyFor(ref: ResourceRef): Result<string, DatastoreError> {
  const key = ref.name === "" ? undefined : storeKey(ref, kindInfo(ref.kind).namespaced);
  if (key !== undefined) return ok(key);
  const [field, reason] =
    ref.name === "" ? ["Metadata.Name", "field is required"] : ["Metadata.Namespace", "namespace is not specified on namespaced resource"];
  return err(datastoreErrors.invalid(ref, [{ field, value: "", reason }]));
}

/** Kubernetes times carry whole seconds. */
function nowSec(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}

function parseRevision(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;
}

function badRevision(ref: Identifier, value: string): DatastoreError {
  return datastoreErrors.invalid(ref, [{ field: "Metadata.ResourceVersion", value, reason: "expected a decimal revision" }]);
}

function missing(ref: Identifier): DatastoreError {
  return datastoreErrors.doesNotExist(ref, "it was not found in the datastore");
}
