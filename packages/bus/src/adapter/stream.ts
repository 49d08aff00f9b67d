import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";

export interface StreamOptions {
  /** Members of the NATS cluster that hold the log. */
  readonly replicas?: number;
}

/** Never ages out: the last message per subject is the state, the ones before are history. */
function logConfig({ replicas = 1 }: StreamOptions): Partial<StreamConfig> & { name: string } {
  return {
    name: STREAM,
    description: "Calico's objects by etcd revision; the last message per subject is the state",
    subjects: [`${SUBJECT_ROOT}.>`],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    max_msgs_per_subject: 64,
    max_age: 0,
    num_replicas: replicas,
    allow_rollup_hdrs: false,
    deny_delete: false,
    deny_purge: false,
    allow_direct: true,
  };
}

/** What the agents say, kept for who comes a little later. */
export const NODE_STREAM = "CALICO_NODE";
export const NODE_SUBJECTS = ["calico.status.>", "calico.applied.>", "calico.cni.>", "calico.event.>"];

const nodeConfig: Partial<StreamConfig> & { name: string } = {
  name: NODE_STREAM,
  description: "Status, applied revisions and CNI calls of the nodes",
  subjects: NODE_SUBJECTS,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  storage: StorageType.File,
  max_msgs_per_subject: 64,
  max_age: nanos(3600_000),
  max_bytes: 256 * 1024 * 1024,
};

/** What happened to addresses, and why: kept, since a person asks weeks later. */
export const IPAM_STREAM = "CALICO_IPAM";

const ipamConfig: Partial<StreamConfig> & { name: string } = {
  name: IPAM_STREAM,
  description: "Releases of addresses, blocks and hosts, with their evidence",
  subjects: ["calico.ipam.>"],
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  storage: StorageType.File,
  max_msgs_per_subject: 32,
  max_bytes: 256 * 1024 * 1024,
};

export function ensureLogStream(jsm: JetStreamManager, options: StreamOptions): Promise<{ readonly created: string }> {
  return ensure(jsm, logConfig(options));
}

/** Without `replicas` a stream that is there stays as it is: only the syncer knows how many there should be. */
export function ensureIpamStream(jsm: JetStreamManager, { replicas }: StreamOptions = {}): Promise<{ readonly created: string }> {
  return ensure(jsm, { ...ipamConfig, ...(replicas && { num_replicas: replicas }) });
}

export function ensureNodeStream(jsm: JetStreamManager, { replicas }: StreamOptions = {}): Promise<{ readonly created: string }> {
  return ensure(jsm, { ...nodeConfig, ...(replicas && { num_replicas: replicas }) });
}

async function ensure(jsm: JetStreamManager, config: Partial<StreamConfig> & { name: string }): Promise<{ readonly created: string }> {
  try {
    const { created, config: have } = await jsm.streams.info(config.name);
    const { max_msgs_per_subject = have.max_msgs_per_subject, num_replicas = have.num_replicas } = config;
    const { allow_direct = have.allow_direct } = config;
    const wanted = { max_msgs_per_subject, num_replicas, allow_direct };
    const same = Object.entries(wanted).every(([name, value]) => have[name as keyof typeof wanted] === value);
    if (!same) await jsm.streams.update(config.name, { ...have, ...wanted });
    return { created };
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== JetStreamApiCodes.StreamNotFound) throw error;
    const { created } = await jsm.streams.add(config);
    return { created };
  }
}
