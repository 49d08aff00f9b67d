import type { ApiObject, JsonMap } from "../domain/api-object.ts";
import { type ApiKind, groupVersion } from "../domain/kinds.ts";
import type { Shape } from "../domain/request.ts";
import { renderTable } from "../domain/table.ts";
import type { ListPage } from "./lists.ts";
import type { ApiEvent } from "./watch.ts";

interface Form {
  readonly kind: ApiKind;
  readonly version: string;
  readonly shape: Shape;
}

/** An object or a page in the version and shape that was asked for. */
export function render({ kind, version, shape, nowMs }: Form & { readonly nowMs: number }, what: ApiObject | ListPage): unknown {
  const apiVersion = groupVersion(kind.group, version);
  if (!("items" in what)) return renderOne({ kind, version, shape }, what as ApiObject, { nowMs, header: true });
  const page = what as ListPage;
  const items = page.items.map((o) => ({ ...o, apiVersion }));
  const metadata = { resourceVersion: String(page.revision), ...(page.next === undefined ? {} : { continue: page.next }) };
  if (shape.as === "table")
    return renderTable(kind.kind, items, { nowMs, include: shape.include, version: shape.version, listMetadata: metadata, header: true });
  if (shape.as === "metadata")
    return {
      kind: "PartialObjectMetadataList",
      apiVersion: `meta.k8s.io/${shape.version}`,
      metadata,
      items: items.map((o) => partial(o, shape.version)),
    };
  return { kind: `${kind.kind}List`, apiVersion, metadata, items };
}

function renderOne({ kind, version, shape }: Form, object: ApiObject, o: { readonly nowMs: number; readonly header: boolean }): unknown {
  const served = { ...object, apiVersion: groupVersion(kind.group, version) };
  if (shape.as === "metadata") return partial(served, shape.version);
  if (shape.as === "object") return served;
  const listMetadata: JsonMap = { resourceVersion: object.metadata.resourceVersion ?? "" };
  return renderTable(kind.kind, [served], {
    nowMs: o.nowMs,
    include: shape.include,
    version: shape.version,
    listMetadata,
    header: o.header,
  });
}

function partial(o: ApiObject, version: string): object {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata: o.metadata };
}

/** Watch events in the shape that was asked for. A table's columns come with its first event only. */
export async function* renderEvent(
  form: Form & { readonly nowMs: () => number },
  events: AsyncIterable<ApiEvent>,
): AsyncGenerator<unknown> {
  let header = true;
  for await (const event of events) {
    if (event.type === "ERROR") yield { type: event.type, object: event.status };
    else if (event.type === "BOOKMARK") {
      const object = {
        kind: form.kind.kind,
        apiVersion: groupVersion(form.kind.group, form.version),
        metadata: { resourceVersion: event.resourceVersion, creationTimestamp: null },
      };
      yield { type: event.type, object };
    } else {
      yield { type: event.type, object: renderOne(form, event.object, { nowMs: form.nowMs(), header }) };
      header = false;
    }
  }
}
