/**
 * Lint rules. The layers are those of the nx tags in each package.json; tools/boundaries guards the same borders by reading import
 * statements, since the nx rule passes silently when no project graph is cached (setup/ok.sh makes one first, and looks for the warning).
 */
import nx from "@nx/eslint-plugin";
import tseslint from "typescript-eslint";

const LAYERS = [
  { sourceTag: "layer:base", onlyDependOnLibsWithTags: ["layer:base"] },
  { sourceTag: "layer:adapter", onlyDependOnLibsWithTags: ["layer:base", "layer:adapter"] },
  // lib:ipam is ipam's library client; that only cni uses it is checked by tools/boundaries.
  { sourceTag: "layer:service", onlyDependOnLibsWithTags: ["layer:base", "layer:adapter", "lib:ipam"] },
  { sourceTag: "layer:tool", onlyDependOnLibsWithTags: ["*"] },
];

export default tseslint.config(
  { ignores: ["**/node_modules/", "**/dist/", ".nx/", ".cache/", "**/*.d.ts"] },
  {
    files: ["packages/**/*.ts", "tools/**/*.ts", "e2e/**/*.ts", "*.config.ts"],
    extends: [...tseslint.configs.recommended],
    plugins: { "@nx": nx },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@nx/enforce-module-boundaries": ["error", { allow: [], depConstraints: LAYERS }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "all" }],
      "max-lines": ["error", { max: 500 }],
      "max-lines-per-function": ["error", { max: 80, skipBlankLines: true, skipComments: true }],
      "no-restricted-exports": [
        "error",
        { restrictDefaultExports: { direct: true, named: true, defaultFrom: true, namedFrom: true, namespaceFrom: true } },
      ],
      eqeqeq: ["error", "always", { null: "ignore" }],
    },
  },
  // A test's body is a list of cases, and a fake is one closure that holds a world.
  {
    files: ["**/*.test.ts", "**/*.contract.ts", "**/test/**/*.ts", "**/testing/**/*.ts", "**/fake-*.ts"],
    rules: { "max-lines-per-function": "off" },
  },
  { files: ["*.config.ts", "*.config.js"], rules: { "no-restricted-exports": "off" } },
);
