/**
 * The selector language: text to tree, by recursive descent over the text. Never throws; an error says where and what.
 *
 *   sel := "" | or     or := and ("||" and)*     and := op ("&&" op)*
 *   op  := "!"* ( "has(" label ")" | "all()" | "global()" | "(" or ")" | label binop )
 *
 * Source: calico libcalico-go/lib/selector (parser.go, tokenizer.go).
 * Deviation: `!(!x)` becomes `x`, so that the canonical text is a fixed point; and nesting is bounded.
 */
import { err, ok } from "../result.ts";
import { andOf, notOf } from "./ast.ts";
import type { ComparisonOp, SelectorNode } from "./ast.ts";
import type { Result } from "../result.ts";

/** `at` is an offset into the text, in UTF-16 units. */
export type SelectorError = { readonly at: number; readonly reason: string };

const MAX_LABEL = 512;
const MAX_DEPTH = 200;
const IDENTIFIER = /[A-Za-z0-9_./-]+/y;
const BLANKS = /[ \t]*/y;

/** Operators that are words. The longer one first where one begins another. */
const WORD_OPERATORS: readonly { readonly word: RegExp; readonly op: ComparisonOp | "in" | "notIn" }[] = [
  { word: /contains(?![A-Za-z0-9_./-])/y, op: "contains" },
  { word: /starts[ \t]*with(?![A-Za-z0-9_./-])/y, op: "startsWith" },
  { word: /ends[ \t]*with(?![A-Za-z0-9_./-])/y, op: "endsWith" },
  { word: /not[ \t]*in(?![A-Za-z0-9_./-])/y, op: "notIn" },
  { word: /in(?![A-Za-z0-9_./-])/y, op: "in" },
];

/** What is missing where one character of a two-character operator stands alone, or where an operand's operator should. */
const HALF_OPERATORS: Readonly<Record<string, string>> = { "=": "expected ==", "&": "expected &&", "|": "expected ||" };

type Parsed<T> = Result<T, SelectorError>;

/** The tree of a selector text. Empty text is `all()`. */
export function parseSelectorNode(text: string): Parsed<SelectorNode> {
  return new Parser(text).whole();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Parsed<SelectorNode> {
    this.#blanks();
    if (this.#at === this.#text.length) return ok({ op: "all" });
    const node = this.#or();
    if (!node.ok) return node;
    if (this.#at < this.#text.length) return this.#trailing();
    return node;
  }

  #trailing(): Parsed<never> {
    const symbol = HALF_OPERATORS[this.#text[this.#at] ?? ""];
    if (symbol !== undefined) return this.#fail(symbol);
    return this.#fail(`unexpected content at end of selector ${JSON.stringify(this.#text.slice(this.#at, this.#at + 20))}`);
  }

  #or(): Parsed<SelectorNode> {
    return this.#chain("||", "or", () => this.#and());
  }

  #and(): Parsed<SelectorNode> {
    return this.#chain("&&", "and", () => this.#operation());
  }

  #chain(word: "||" | "&&", op: "or" | "and", part: () => Parsed<SelectorNode>): Parsed<SelectorNode> {
    const parts: SelectorNode[] = [];
    do {
      const next = part();
      if (!next.ok) return next;
      parts.push(next.value);
    } while (this.#take(word));
    return ok(op === "and" || parts.length === 1 ? andOf(parts) : { op, of: parts });
  }

  #operation(): Parsed<SelectorNode> {
    let negated = false;
    while (this.#take("!")) negated = !negated;
    const node = this.#primary();
    return node.ok && negated ? ok(notOf(node.value)) : node;
  }

  #primary(): Parsed<SelectorNode> {
    if (this.#take("has(")) return this.#has();
    for (const op of ["all", "global"] as const) {
      if (this.#take(`${op}(`)) return this.#take(")") ? ok({ op }) : this.#fail(`no closing ')' after ${op}(`);
    }
    if (this.#take("(")) return this.#group();
    const label = this.#label();
    return label.ok ? this.#binary(label.value) : label;
  }

  #group(): Parsed<SelectorNode> {
    if (++this.#depth > MAX_DEPTH) return this.#fail(`more than ${MAX_DEPTH} nested parentheses`);
    const node = this.#or();
    this.#depth--;
    if (!node.ok) return node;
    if (this.#take(")")) return node;
    return this.#fail(HALF_OPERATORS[this.#text[this.#at] ?? ""] ?? "expected )");
  }

  #has(): Parsed<SelectorNode> {
    const label = this.#label();
    if (!label.ok) return label;
    return this.#take(")") ? ok({ op: "has", label: label.value }) : this.#fail("no closing ')' after has(");
  }

  #label(): Parsed<string> {
    const label = this.#match(IDENTIFIER);
    if (label === undefined) return this.#fail("expected identifier");
    if (label.length > MAX_LABEL) return err({ at: this.#at - label.length, reason: `label too long (${label.length} > ${MAX_LABEL})` });
    this.#blanks();
    return ok(label);
  }

  #binary(label: string): Parsed<SelectorNode> {
    if (this.#take("==")) return this.#comparison(label, "eq");
    if (this.#take("!=")) return this.#comparison(label, "ne");
    const symbol = HALF_OPERATORS[this.#text[this.#at] ?? ""];
    if (symbol !== undefined) return this.#fail(symbol);
    for (const { word, op } of WORD_OPERATORS) {
      if (this.#match(word) === undefined) continue;
      this.#blanks();
      return op === "in" || op === "notIn" ? this.#set(label, op) : this.#comparison(label, op);
    }
    return this.#fail(`expected operator after label ${JSON.stringify(label)}`);
  }

  #comparison(label: string, op: ComparisonOp): Parsed<SelectorNode> {
    const value = this.#string();
    return value.ok ? ok({ op, label, value: value.value }) : value;
  }

  #set(label: string, op: "in" | "notIn"): Parsed<SelectorNode> {
    if (!this.#take("{")) return this.#fail("expected set literal");
    const values = new Set<string>();
    while (!this.#take("}")) {
      const value = this.#string();
      if (!value.ok) return value;
      values.add(value.value);
      if (this.#take(",")) continue;
      if (this.#take("}")) break;
      return this.#fail("expected }");
    }
    return ok({ op, label, values: [...values].sort() });
  }

  #string(): Parsed<string> {
    const quote = this.#text[this.#at];
    if (quote !== "'" && quote !== '"') return this.#fail("expected string");
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) return this.#fail("unterminated string");
    const value = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    this.#blanks();
    return ok(value);
  }

  /** Consumes a token and the blanks after it. */
  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    this.#blanks();
    return true;
  }

  #blanks(): void {
    this.#match(BLANKS);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #fail(reason: string): Parsed<never> {
    return err({ at: this.#at, reason });
  }
}
