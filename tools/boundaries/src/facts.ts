import ts from "typescript";

/** What the rules ask about one source file. */
export interface Facts {
  readonly imports: readonly Import[];
  /** Calls, `new` and property chains that matter to a rule, as written: `Date.now`, `new Date()`, `console.log`, `setTimeout`. */
  readonly uses: ReadonlySet<string>;
  readonly isAsync: boolean;
  readonly hasDefaultExport: boolean;
}

export interface Import {
  readonly from: string;
  /** Erased before it runs. */
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

/** Parse one file, no type checker. Comments and strings are not looked at, so prose cannot break a rule. */
export function readFacts(path: string, text: string): Facts {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false, ts.ScriptKind.TS);
  const imports: Import[] = [];
  const uses = new Set<string>();
  let isAsync = false;
  let hasDefaultExport = false;
  const visit = (node: ts.Node): void => {
    const found = importOf(node);
    if (found !== undefined) imports.push(found);
    const use = useOf(node, source);
    if (use !== undefined) uses.add(use);
    isAsync ||= ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AsyncKeyword;
    hasDefaultExport ||= ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword;
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { imports, uses, isAsync, hasDefaultExport };
}

function importOf(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.importClause;
    const bindings = clause?.namedBindings;
    const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : [];
    const typeOnly =
      clause?.phaseModifier === ts.SyntaxKind.TypeKeyword ||
      (named.length > 0 && clause?.name === undefined && named.every((e) => e.isTypeOnly));
    return { from: node.moduleSpecifier.text, typeOnly, names: named.map((e) => (e.propertyName ?? e.name).text) };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier))
    return { from: node.moduleSpecifier.text, typeOnly: node.isTypeOnly, names: [] };
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments;
    if (argument !== undefined && ts.isStringLiteralLike(argument)) return { from: argument.text, typeOnly: false, names: [] };
  }
  return undefined;
}

const GLOBALS = new Set(["process", "console", "Deno", "performance", "crypto"]);
const CALLS = new Set(["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "fetch"]);

function useOf(node: ts.Node, source: ts.SourceFile): string | undefined {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const object = node.expression.text;
    if (GLOBALS.has(object) || object === "Date" || object === "Math") return `${object}.${node.name.text}`;
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && CALLS.has(node.expression.text)) return node.expression.text;
  if (ts.isNewExpression(node) && node.expression.getText(source) === "Date" && (node.arguments?.length ?? 0) === 0) return "new Date()";
  return undefined;
}
