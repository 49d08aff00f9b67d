import { openHttpTransport } from "./adapter/http-transport.ts";
import type { KubeConfig } from "./adapter/load-config.ts";
import { type KubeClient, makeClient } from "./service/client.ts";

/** A client for the API server that `config` names. Nothing is connected before the first call. */
export function openKubeClient(config: KubeConfig, options: { readonly timeoutMs?: number } = {}): KubeClient {
  return makeClient(openHttpTransport(config, options));
}
