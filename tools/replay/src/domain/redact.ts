/**
 * Secrets out of an object, before it leaves the cluster in an archive.
 *
 * A field whose name ends in password, token, key and the like loses its value. References to Secrets (`secretKeyRef`) are
 * names and stay; label maps stay, since selectors are matched against them and a render would differ.
 */
export const REDACTED = "REDACTED";

const SECRET_WORD = /^(password|passwd|passphrase|pass|token|secret|key|psk|apikey|credential|credentials|authorization|cookie)s?$/;
/** Maps whose names are a user's own and whose values selectors are matched against. */
const KEPT: ReadonlySet<string> = new Set(["labels", "labelsToApply", "matchLabels", "matchExpressions"]);

export function redact(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((inner, i) => (isSecretFlag(value[i - 1]) && typeof inner === "string" ? REDACTED : redact(inner)));
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  // { "name": "API_TOKEN", "value": "…" }, as lists of environment variables and headers are written
  const { name: title } = value as { readonly name?: unknown };
  const isPair = typeof title === "string" && isSecretName(title);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, isPair && name === "value" ? REDACTED : redactField(name, inner)]),
  );
}

function redactField(name: string, value: unknown): unknown {
  if (KEPT.has(name)) return value;
  if (name === "secretKeyRef") return redactReference(value);
  if (!isSecretName(name) || value === null) return redact(value);
  return hasReference(value) ? redactAround(value) : REDACTED;
}

/** The name of a Secret and of a field in it, and nothing else. */
function redactReference(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return REDACTED;
  const isName = (name: string, inner: unknown) =>
    name === "name" || name === "key" ? typeof inner === "string" : typeof inner === "boolean";
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, isName(name, inner) ? inner : REDACTED]));
}

/** Names come again and again; how many are remembered is bounded. */
const known = new Map<string, boolean>();
const MAX_KNOWN = 10_000;

/** `bgpPassword`, `api-key`, `kubernetes.io/auth_token`: the last word decides. */
export function isSecretName(name: string): boolean {
  const before = known.get(name);
  if (before !== undefined) return before;
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);
  const isPublic = words.at(-2)?.toLowerCase() === "public";
  const isSecret = !isPublic && SECRET_WORD.test((words.at(-1) ?? "").toLowerCase());
  if (known.size < MAX_KNOWN) known.set(name, isSecret);
  return isSecret;
}

function hasReference(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "secretKeyRef");
}

/** A secret that is referred to: what stands beside the reference is the secret itself. */
function redactAround(value: object): unknown {
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, name === "secretKeyRef" ? redactReference(inner) : REDACTED]),
  );
}

/** `--token`, the value of which is the next word. */
function isSecretFlag(word: unknown): boolean {
  return typeof word === "string" && /^--?[\w-]+$/.test(word) && isSecretName(word);
}

const IN_TEXT: readonly (readonly [RegExp, string])[] = [
  [/(\w:\/\/)[^/@\s]*:[^/@\s]*@/g, `$1${REDACTED}@`],
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g, REDACTED],
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, REDACTED],
  [/\b(Bearer|Basic) +[\w.~+/=-]{8,}/gi, `$1 ${REDACTED}`],
  // `--token=x`, `PASSWORD=x`; never `token == 'x'`, which is a selector
  [/([\w-]*(?:password|passwd|passphrase|token|secret|api[-_]?key))=(?!=)[^\s,;&]+/gi, `$1=${REDACTED}`],
];

const LOOKS_LIKE_JSON = /^\s*[[{]/;

/** Annotations may carry whole objects as text. */
function redactText(text: string): unknown {
  if (text.length < MIN_SECRET_TEXT) return text;
  if (!LOOKS_LIKE_JSON.test(text)) return redactPlain(text);
  try {
    return JSON.stringify(redact(JSON.parse(text)));
  } catch {
    return redactPlain(text); // not JSON: only looks like it
  }
}

/** What every pattern needs; most texts have none of it. */
const MAYBE_IN_TEXT = /=|:\/\/|PRIVATE KEY|eyJ|Bearer |Basic /i;

function redactPlain(text: string): string {
  if (!MAYBE_IN_TEXT.test(text)) return text;
  return IN_TEXT.reduce((clean, [pattern, by]) => clean.replace(pattern, by), text);
}

/** No shorter text holds a name and a secret. */
const MIN_SECRET_TEXT = 7;
