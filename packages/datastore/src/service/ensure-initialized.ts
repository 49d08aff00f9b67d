import type { ClusterInformation } from "@calico/model";
import { DEFAULT_TIERS, defaultTier } from "../domain/built-in.ts";
import { StoreUnavailable } from "../ports.ts";
import type { ResourceClient } from "./resource-client.ts";

export interface InitOptions {
  /** Appended to ClusterInformation's comma list, for example `k8s`. */
  readonly clusterType?: string;
  readonly calicoVersion?: string;
}

const ATTEMPTS = 5;

/** Who may not write them leaves them to others. Source: facts §1.1.4; calico libcalico-go/lib/clientv3 (client.go, EnsureInitialized). */
export async function ensureInitialized(client: ResourceClient, options: InitOptions = {}): Promise<void> {
  try {
    await writeAll(client, options);
  } catch (error) {
    if (!(error instanceof StoreUnavailable && error.denied)) throw error;
  }
}

async function writeAll(client: ResourceClient, options: InitOptions): Promise<void> {
  await ensureClusterInformation(client, options);
  for (const { name } of DEFAULT_TIERS) {
    const tier = defaultTier(name);
    const made = tier && (await client.create(tier));
    if (made && !made.ok && made.error.kind !== "alreadyExists") throw new Error(`Cannot write tier ${name}: ${made.error.message}`);
  }
}

async function ensureClusterInformation(client: ResourceClient, { clusterType = "", calicoVersion }: InitOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const there = await client.get({ kind: "ClusterInformation", name: "default" });
    const done = there.ok
      ? await refresh(client, there.value, clusterType, calicoVersion)
      : await client.create({
          kind: "ClusterInformation",
          metadata: { name: "default" },
          spec: {
            clusterGUID: crypto.randomUUID().replaceAll("-", ""),
            datastoreReady: true,
            ...(clusterType === "" ? {} : { clusterType }),
            ...(calicoVersion === undefined ? {} : { calicoVersion }),
          },
        });
    if (done.ok) return;
    const raced = done.error.kind === "alreadyExists" || done.error.kind === "updateConflict";
    if (!raced || attempt >= ATTEMPTS) throw new Error(`Cannot write ClusterInformation: ${done.error.message}`);
  }
}

async function refresh(client: ResourceClient, info: ClusterInformation, clusterType: string, calicoVersion: string | undefined) {
  const types = (info.spec.clusterType ?? "").split(",").filter((t) => t !== "");
  const wanted = [...new Set([...types, ...clusterType.split(",").filter((t) => t !== "")])];
  const version = calicoVersion ?? info.spec.calicoVersion;
  if (wanted.length === types.length && version === info.spec.calicoVersion) return { ok: true, value: info } as const;
  const spec = { ...info.spec, clusterType: wanted.join(","), ...(version === undefined ? {} : { calicoVersion: version }) };
  return client.update({ ...info, spec });
}
