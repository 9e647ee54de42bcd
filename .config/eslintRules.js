/**
 * Three lint rules of the house, as a local ESLint plugin: lines of at most 100 columns, a head
 * comment in every source file, and no focused tests. Nothing here looks at types.
 */

const maxColumns = 100;
const minHeadCharacters = 40;
const focusable = new Set(["describe", "it", "test", "suite", "bench"]);

/** @type {import("eslint").Rule.RuleModule} */
const lineLength = {
  meta: { type: "layout", messages: { long: "{{columns}} columns; at most 100." }, schema: [] },
  create(context) {
    return {
      Program() {
        context.sourceCode.lines.forEach((line, index) => {
          // A column is a character that a person sees, so code points are counted.
          const columns = [...line].length;
          if (columns <= maxColumns) return;
          const loc = { line: index + 1, column: maxColumns };
          context.report({ loc, messageId: "long", data: { columns: String(columns) } });
        });
      },
    };
  },
};

/** @type {import("eslint").Rule.RuleModule} */
const headComment = {
  meta: {
    type: "suggestion",
    messages: { missing: "Say what this file is, and what it is not, in a comment at its top." },
    schema: [],
  },
  create(context) {
    return {
      Program(program) {
        const start = program.body[0]?.range?.[0] ?? Infinity;
        const head = context.sourceCode
          .getAllComments()
          .filter(({ range }) => (range?.[0] ?? 0) < start)
          .filter(({ type }) => type === "Block" || type === "Line")
          .map(({ value }) => value)
          .join(" ");
        if (head.trim().length < minHeadCharacters) {
          context.report({ loc: { line: 1, column: 0 }, messageId: "missing" });
        }
      },
    };
  },
};

/** @type {import("eslint").Rule.RuleModule} */
const noFocusedTests = {
  meta: { type: "problem", messages: { focused: "A focused test hides the others." }, schema: [] },
  create(context) {
    return {
      MemberExpression(node) {
        if (node.property.type !== "Identifier" || node.property.name !== "only") return;
        let object = node.object;
        while (object.type === "MemberExpression") object = object.object;
        if (object.type === "Identifier" && focusable.has(object.name)) {
          context.report({ node, messageId: "focused" });
        }
      },
    };
  },
};

/** @type {import("eslint").ESLint.Plugin} */
export const house = {
  rules: {
    "line-length": lineLength,
    "head-comment": headComment,
    "no-focused-tests": noFocusedTests,
  },
};
