/** Kubernetes label selectors in their URL form, equality- and set-based. Source: Kubernetes documentation, "Labels and Selectors". */
import { badRequest } from "./api-error.ts";

export type Requirement = {
  readonly key: string;
  readonly op: "in" | "notin" | "exists" | "absent" | "gt" | "lt";
  readonly values: readonly string[];
};

const WORD = "[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?";
const FORMS: readonly { readonly form: RegExp; readonly op: Requirement["op"] }[] = [
  { form: new RegExp(`^(${WORD})\\s+in\\s+\\(([^()]*)\\)$`), op: "in" },
  { form: new RegExp(`^(${WORD})\\s+notin\\s+\\(([^()]*)\\)$`), op: "notin" },
  { form: new RegExp(`^(${WORD})\\s*!=\\s*([^=!<>()]*)$`), op: "notin" },
  { form: new RegExp(`^(${WORD})\\s*==?\\s*([^=!<>()]*)$`), op: "in" },
  { form: new RegExp(`^(${WORD})\\s*>\\s*(-?\\d+)$`), op: "gt" },
  { form: new RegExp(`^(${WORD})\\s*<\\s*(-?\\d+)$`), op: "lt" },
  { form: new RegExp(`^!\\s*(${WORD})$`), op: "absent" },
  { form: new RegExp(`^(${WORD})$`), op: "exists" },
];

/** All requirements must hold. Throws 400 on text that is not a selector. */
export function parseLabelSelector(text: string): readonly Requirement[] {
  if (text.trim() === "") return [];
  return splitTop(text).map((part) => {
    for (const { form, op } of FORMS) {
      const m = form.exec(part.trim());
      if (m === null) continue;
      const values = op === "exists" || op === "absent" ? [] : (m[3] ?? "").split(",").map((v) => v.trim());
      return { key: m[1] ?? "", op, values };
    }
    throw badRequest(`unable to parse requirement: "${part.trim()}" in label selector "${text}"`);
  });
}

export function matchesLabels(requirements: readonly Requirement[], labels: Readonly<Record<string, string>> = {}): boolean {
  return requirements.every(({ key, op, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (op) {
      case "exists":
        return value !== undefined;
      case "absent":
        return value === undefined;
      case "in":
        return value !== undefined && values.includes(value);
      case "notin":
        return value === undefined || !values.includes(value);
      case "gt":
        return /^-?\d+$/.test(value ?? "") && Number(value) > Number(values[0]);
      case "lt":
        return /^-?\d+$/.test(value ?? "") && Number(value) < Number(values[0]);
    }
  });
}

/** Split at commas that are outside of parentheses. */
function splitTop(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")") depth--;
    else if (text[i] === "," && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, text.slice(start)];
}
