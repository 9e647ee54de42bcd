/**
 * What the linter asks of the sources: typescript-eslint's recommended rules, the few typed rules
 * that catch real faults in asynchronous code, the house's own rules, and the purity of targets/
 * and compiler/ as far as it shows in names. Formatting beyond line length is nobody's business.
 */
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";
import { house } from "./eslintRules.js";

const impureGlobals = [
  "process", "Buffer", "console", "performance", "Date", "crypto", "navigator", "window",
  "document", "fetch", "setTimeout", "setInterval", "setImmediate", "queueMicrotask",
  "localStorage",
];
const reason = "targets/ and compiler/ are pure: no clock, no device, no process, no chance.";

export default defineConfig(
  { ignores: ["**/node_modules/", "dist/", "coverage/", "test/bench/peers/", "test/fixtures/**"] },
  {
    files: ["**/*.ts", ".config/**/*.js"],
    extends: [tseslint.configs.recommended],
    plugins: { house },
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: `${import.meta.dirname}/..` },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "house/line-length": "error",
      "house/no-focused-tests": "error",
      eqeqeq: "error",
      "prefer-const": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" },
      ],
    },
  },
  {
    files: ["**/*.ts", ".config/**/*.js"],
    ignores: ["test/**/*.test.ts"],
    rules: { "house/head-comment": "error" },
  },
  {
    files: ["targets/**/*.ts", "compiler/**/*.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        ...impureGlobals.map((name) => ({ name, message: reason })),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: reason },
        { object: "globalThis", property: "process", message: reason },
      ],
    },
  },
);
