import type { ObjectKind } from "@calico/model";

/** An object to write: not yet parsed, so spec may lack what has defaults. */
export interface ResourceInput<K extends ObjectKind = ObjectKind> {
  readonly kind: K;
  readonly apiVersion?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
    readonly uid?: string | undefined;
    readonly creationTimestamp?: string | undefined;
    readonly resourceVersion?: string | undefined;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}

export interface ResourceRef<K extends ObjectKind = ObjectKind> {
  readonly kind: K;
  readonly namespace?: string | undefined;
  readonly name: string;
}
