import { CniFault } from "./fault.ts";

/** Deviation: Calico stops at 1.0.0. Source: CNI SPEC 1.1.0; facts of calico cni-plugin about a missing version. */
export const SUPPORTED_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/** Of the executables, as `-v` prints it. */
export const PLUGIN_VERSION = "0.1.0";

export const DEFAULT_VERSION: CniVersion = "0.2.0";

/** What VERSION, and errors before the configuration is known, speak. */
export const OWN_VERSION: CniVersion = "1.1.0";

export function parseVersion(text: unknown): CniVersion {
  if (text === undefined || text === "") return DEFAULT_VERSION;
  const version = SUPPORTED_VERSIONS.find((v) => v === text);
  if (version === undefined) {
    throw new CniFault(
      "incompatibleVersion",
      `unsupported CNI version ${JSON.stringify(text)}`,
      `supported: ${SUPPORTED_VERSIONS.join(", ")}`,
    );
  }
  return version;
}

export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(least);
}

export function versionReply(cniVersion: string): object {
  return { cniVersion, supportedVersions: SUPPORTED_VERSIONS };
}
