/**
 * What the HTML reports share: escaping, tables, charts as SVG and the style. Pages are
 * self-contained, without script and without network; charts are drawn by Observable Plot on a DOM
 * that exists only here.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

const escapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => escapes[c] as string);

/** Rows of already escaped cells. */
export function htmlTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((c) => `<${tag}>${c}</${tag}>`).join("")}</tr>`;
  return (
    `<table>\n<thead>${line(head, "th")}</thead>\n<tbody>\n` +
    `${rows.map((r) => line(r, "td")).join("\n")}\n</tbody>\n</table>`
  );
}

/** Draws a chart to an SVG string. */
export function chart(options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const figure = Plot.plot({ ...options, document: document as unknown as Document });
  figure.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return figure.outerHTML;
}

const style = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; } th, td { text-align: left;
  padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
code { background: #f3f3f3; padding: .1rem .3rem; }
.digital { color: #3b6ea8; } .analog { color: #c8702a; }
figure { margin: 0; overflow-x: auto; }
`;

/** A whole page around a body. */
export const page = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(title)}</title>
<style>${style}</style></head>
<body>
${body}
</body>
</html>
`;
