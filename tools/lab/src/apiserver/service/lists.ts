import type { Store } from "@calico/datastore";
import { expired } from "../domain/api-error.ts";
import type { ApiObject } from "../domain/api-object.ts";
import { matchesFields, parseFieldSelector } from "../domain/field-selector.ts";
import type { ApiKind } from "../domain/kinds.ts";
import { matchesLabels, parseLabelSelector } from "../domain/label-selector.ts";
import { decodeContinue, encodeContinue } from "../domain/paging.ts";
import { prefixOf } from "./registry.ts";
import { decodeObject } from "./storage.ts";

export interface ListRequest {
  readonly kind: ApiKind;
  readonly namespace: string | undefined;
  readonly matches: (object: ApiObject) => boolean;
  readonly limit: number | undefined;
  readonly token: string | undefined;
}

export interface ListPage {
  readonly items: readonly ApiObject[];
  readonly revision: number;
  readonly next: string | undefined;
}

/** Label and field selectors of a query as one predicate. Throws 400. */
export function parseSelection(
  kind: ApiKind,
  query: URLSearchParams,
): { readonly matches: (o: ApiObject) => boolean; readonly all: boolean } {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const fields = parseFieldSelector(kind, query.get("fieldSelector") ?? "");
  return {
    all: labels.length === 0 && fields.length === 0,
    matches: (o) => matchesLabels(labels, o.metadata.labels) && matchesFields(fields, o),
  };
}

/** One page, as of the revision of the first one. Throws 410 when that revision is compacted. */
export async function listPage(store: Store, { kind, namespace, matches, limit, token }: ListRequest): Promise<ListPage> {
  const from = token === undefined ? undefined : decodeContinue(token);
  const { items, revision } = await readAt(store, prefixOf(kind, namespace), from?.revision);
  const found: ApiObject[] = [];
  let last = "";
  for (const kv of items) {
    if (from !== undefined && kv.key <= from.after) continue;
    const object = decodeObject(kv);
    if (!matches(object)) continue;
    if (limit !== undefined && limit > 0 && found.length === limit)
      return { items: found, revision, next: encodeContinue({ revision, after: last }) };
    found.push(object);
    last = kv.key;
  }
  return { items: found, revision, next: undefined };
}

async function readAt(store: Store, prefix: string, revision: number | undefined): ReturnType<Store["list"]> {
  if (revision === undefined) return store.list(prefix);
  try {
    return { items: (await store.list(prefix, { revision })).items, revision };
  } catch (error) {
    if (isCompacted(error)) throw expired(String(revision), "the list's first page is compacted; list again");
    throw error;
  }
}

/** etcd says so only in words. Source: etcd api/v3rpc/rpctypes (ErrGRPCCompacted, ErrGRPCFutureRev). */
export function isCompacted(error: unknown): boolean {
  return error instanceof Error && /required revision (has been compacted|is a future revision)/.test(error.message);
}
