import type { SourceFile, Violation } from "./rules.ts";

/** Text that names one machine or one network, with the reason that it must not be in the repository. */
const PLACES: readonly { readonly name: string; readonly pattern: RegExp; readonly why: string }[] = [
  {
    name: "machine-path",
    pattern: /(?<![\w.~-])\/(work|home\/[\w.-]+|root|Users)\/[\w.-]+/g,
    why: "a path of one machine; make it relative, or a flag",
  },
  {
    name: "registry-host",
    pattern: /https?:\/\/[\w.-]*(registry|npm|nexus|artifactory|mirror|pypi)[\w.-]*(:\d+)?\//g,
    why: "which registry is used is a matter of the machine's npm configuration",
  },
];

/** Every mention of a place of one machine, in any text file. */
export function findPlaces(file: SourceFile): readonly Violation[] {
  return PLACES.flatMap(({ name, pattern, why }) =>
    (file.text.match(pattern) ?? []).map((found) => ({ path: file.path, rule: name, found, why })),
  );
}
