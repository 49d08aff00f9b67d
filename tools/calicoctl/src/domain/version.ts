/** The version that this command line reports and that nodes write into ClusterInformation. */
export const VERSION = "v0.1.0";

/** Why the two must not work together, or undefined if they may: the numbers differ. Source: calico calicoctl/commands/common (CheckVersionMismatch). */
export function versionMismatch(client: string, cluster: string | undefined): string | undefined {
  if (cluster === undefined || cluster === "" || numbers(cluster) === numbers(client)) return undefined;
  return `version mismatch.\nClient Version:   ${client}\nCluster Version:  ${cluster}\nUse --allow-version-mismatch to override`;
}

function numbers(version: string): string {
  return version.replace(/^v/, "").replace(/-.*$/, "");
}
