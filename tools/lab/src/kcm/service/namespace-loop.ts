import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  KubeError,
  type KubeList,
  type KubeObject,
  makeKeyQueue,
  RESOURCES,
  type ResourceType,
} from "@calico/kube-client";
import { aborted } from "./scheduler-loop.ts";
import type { Informer, LoopPorts } from "./informer.ts";

const CONTENTS = Object.values(RESOURCES).filter((r) => r.namespaced);

/** Each namespace has its service account `default`; one that is being deleted is emptied, then let go. */
export function makeNamespaceLoop(
  ports: LoopPorts,
  { namespaces, accounts }: { readonly namespaces: Informer; readonly accounts: Informer },
): { run(): Promise<void> } {
  const ready = () => namespaces.inSync && accounts.inSync;
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: settle,
    onFailure(namespace, error, retry) {
      if (error instanceof NotEmpty) ports.log.debug("namespace not empty yet", { namespace, ...error.left });
      else ports.log.warn("namespace not settled, retrying", { namespace, ...retry, error });
    },
  });
  namespaces.listen((key) => {
    if (ready()) queue.add(key);
  });
  accounts.listen((key, now) => {
    if (now === undefined && ready()) queue.add(key.slice(0, key.indexOf("/")));
  });

  async function settle(name: string): Promise<void> {
    const namespace = namespaces.objects.get(name);
    if (namespace === undefined) return;
    if (namespace.metadata.deletionTimestamp !== undefined) return empty(name, namespace);
    if (accounts.objects.has(`${name}/default`)) return;
    await ports.kube.create(RESOURCES.serviceAccounts, { metadata: { name: "default", namespace: name } }).catch((error: unknown) => {
      const going = error instanceof KubeError && (error.status === 403 || error.status === 404);
      if (!isAlreadyExists(error) && !going) throw error;
    });
  }

  /** Of a kind that the API server does not serve there is nothing. */
  async function emptied(type: ResourceType, namespace: string): Promise<Pick<KubeList, "items">> {
    try {
      await ports.kube.deleteAll(type, namespace);
      return await ports.kube.list(type, { namespace });
    } catch (error) {
      if (isNotFound(error)) return { items: [] };
      throw error;
    }
  }

  async function empty(name: string, namespace: KubeObject): Promise<void> {
    const left: Record<string, number> = {};
    for (const type of CONTENTS) {
      const { items } = await emptied(type, name);
      if (items.length > 0) left[type.plural] = items.length;
    }
    if (Object.keys(left).length > 0) throw new NotEmpty(left); // pods wait for their kubelet: looked at again, with growing pauses
    const spec = { ...(namespace["spec"] as object), finalizers: [] };
    await ports.kube.update(RESOURCES.namespaces, { ...namespace, spec }, { subresource: "finalize" }).catch((error: unknown) => {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    });
    ports.log.info("namespace removed", { namespace: name });
  }

  return {
    async run() {
      await Promise.race([Promise.all([namespaces.ready, accounts.ready]), aborted(ports.signal)]);
      for (const key of namespaces.objects.keys()) queue.add(key);
      await queue.run();
    },
  };
}

class NotEmpty extends Error {
  readonly left: Readonly<Record<string, number>>;
  constructor(left: Readonly<Record<string, number>>) {
    super("the namespace still has objects");
    this.left = left;
  }
}
