/**
 * What a model asks for that is not supported, collected over the whole model and reported at
 * once: operator, opset, nodes, operand types, and the outputs that could be dropped to leave it
 * out.
 */
import { UnsupportedError } from "./refusal.ts";

export interface Unsupported {
  /** "GridSample", or what else is refused: `input "x"`. */
  readonly operator: string;
  readonly domain: string;
  readonly opset: number;
  /** Why, where it is not that the operator is unknown. */
  readonly reason: string | undefined;
  /** Names of the nodes, in order. */
  readonly nodes: readonly string[];
  /** Types of the first node's operands; "?" where they depend on something unsupported. */
  readonly types: readonly string[];
  /** Requested outputs that are computed from it. */
  readonly outputs: readonly string[];
}

/** One kind of refusal while it is being collected. */
export interface Finding {
  readonly operator: string;
  readonly domain: string;
  readonly opset: number;
  readonly reason: string | undefined;
  readonly nodes: string[];
  readonly types: readonly string[];
  readonly outputs: Set<string>;
}

export class Findings {
  readonly #byKey = new Map<string, Finding>();

  add(
    operator: string, domain: string, opset: number, reason: string | undefined, node: string,
    types: readonly string[],
  ): Finding {
    const key = JSON.stringify([domain, operator, reason]);
    const known = this.#byKey.get(key);
    if (known) {
      if (!known.nodes.includes(node)) known.nodes.push(node);
      return known;
    }
    const finding: Finding = {
      operator, domain, opset, reason, nodes: [node], types, outputs: new Set(),
    };
    this.#byKey.set(key, finding);
    return finding;
  }

  get all(): readonly Unsupported[] {
    return [...this.#byKey.values()].map((f) => ({ ...f, outputs: [...f.outputs] }));
  }
}

/** Everything that an import refused. `operators` is the same as data. */
export class UnsupportedOperators extends UnsupportedError {
  readonly operators: readonly Unsupported[];

  constructor(place: string, operators: readonly Unsupported[], outputs: readonly string[]) {
    super(describe(operators, outputs), place, remedyFor(operators, outputs));
    this.name = "UnsupportedOperators";
    this.operators = operators;
  }
}

const label = ({ domain, operator }: Unsupported): string =>
  domain === "" ? operator : `${domain}.${operator}`;

function describe(operators: readonly Unsupported[], outputs: readonly string[]): string {
  const count = operators.length === 1 ? "1 operator is" : `${operators.length} operators are`;
  const opset = operators.find((o) => o.domain === "")?.opset;
  const head = `${count} not supported${opset === undefined ? "" : ` (opset ${opset})`}:`;
  const width = Math.max(...operators.map((o) => label(o).length));
  const lines = operators.flatMap((o) => {
    const inputs = o.types.length === 0 ? "" : `, inputs ${o.types.join(", ")}`;
    const only = onlyFor(o, outputs);
    return [
      `  ${label(o).padEnd(width)}  x${o.nodes.length}  first at node "${o.nodes[0]}"${inputs}`,
      ...(o.reason === undefined ? [] : [`    ${o.reason}`]),
      ...(only === undefined ? []
        : [`    note: used only for ${only.map((name) => `"${name}"`).join(", ")}`]),
    ];
  });
  return [head, ...lines, ""].join("\n");
}

/** The outputs that need it, where others do not. */
function onlyFor(o: Unsupported, outputs: readonly string[]): readonly string[] | undefined {
  return o.outputs.length > 0 && o.outputs.length < outputs.length ? o.outputs : undefined;
}

function remedyFor(
  operators: readonly Unsupported[], outputs: readonly string[],
): string | undefined {
  const spoiled = new Set(operators.flatMap((o) => o.outputs));
  const left = outputs.filter((name) => !spoiled.has(name));
  return left.length === 0 || left.length === outputs.length ? undefined
    : `ask only for ${left.map((name) => `"${name}"`).join(", ")} to leave ` +
      `${operators.length === 1 ? "it" : "them"} out`;
}
