/**
 * Secrets out of an object, before it leaves the cluster in an archive.
 *
 * A field whose name ends in password, token, key and the like loses its value. References to Secrets (`secretKeyRef`) are
 * names and stay; label maps stay, since selectors are matched against them and a render would differ.
 */
export const REDACTED = "REDACTED";

const SECRET_WORD = /^(password|passwd|passphrase|pass|token|secret|key|psk|apikey|credential|credentials|authorization|cookie)s?$/;
/** Maps whose names are a user's own and whose values selectors are matched against; and references. */
const KEPT: ReadonlySet<string> = new Set(["labels", "labelsToApply", "secretKeyRef", "matchLabels", "matchExpressions"]);

export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redactField(name, inner)]));
}

function redactField(name: string, value: unknown): unknown {
  if (KEPT.has(name)) return value;
  if (!isSecretName(name) || isReference(value) || value === null) return redact(value);
  return REDACTED;
}

/** `bgpPassword`, `api-key`, `kubernetes.io/auth_token`: the last word decides. */
export function isSecretName(name: string): boolean {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);
  return SECRET_WORD.test((words.at(-1) ?? "").toLowerCase());
}

function isReference(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 1 && Object.hasOwn(value, "secretKeyRef");
}

/** Annotations may carry whole objects as text. */
function redactText(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text.replace(/(\w:\/\/)[^/@\s]*:[^/@\s]*@/g, `$1${REDACTED}@`);
  try {
    return JSON.stringify(redact(JSON.parse(text)));
  } catch {
    return text; // not JSON: only looks like it
  }
}
