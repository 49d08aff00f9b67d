/** The name of a selector's IP set. Source: calico libcalico-go/lib/hash (MakeUniqueID). */
import { sha224Base64Url } from "../adapter/hash.ts";

/** `<prefix>:` and the hash of `<prefix>:<content>`; for a selector the prefix is `s` and the content its canonical text. */
export function makeUniqueId(prefix: string, content: string): string {
  return `${prefix}:${sha224Base64Url(`${prefix}:${content}`)}`;
}
