/** `crosstie compile MODEL --target T`: partition, emit, and write the artifact. */
import { basename } from "node:path";
import { UserError } from "../../../compiler/errors.ts";
import type { Compiled } from "../../../compiler/compile.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { printKernel } from "../../../compiler/kernels/print.ts";
import { trainingCost, type TrainingCost } from "../../../compiler/partition/cost/training.ts";
import { factsOf } from "../../../compiler/partition/facts.ts";
import type { Unit } from "../../../compiler/partition/units.ts";
import { OBJECTIVES, type Objective } from "../../../compiler/partition/place.ts";
import type { AnalogChoice, Replicas } from "../../../compiler/partition/price.ts";
import { crossings, HOST, type UnitGraph } from "../../../compiler/partition/unitGraph.ts";
import type { HybridTarget } from "../../../targets/schema.ts";
import type { Plan, PlanEnergy } from "../../../compiler/artifact/plan.ts";
import { compileModel, type CompileResult } from "../../api/compileModel.ts";
import { parseFigures } from "../../files/targetFigures.ts";
import type { Capacity } from "../../partition/capacity.ts";
import { parseBindings } from "../bindings.ts";
import type { CommandSpec, Options } from "../command.ts";
import { explainPlacement, partitionTable, trainingLines } from "../partitionTable.ts";
import { si } from "../table.ts";

/** What `compile --json` prints. */
export interface CompileReport {
  readonly artifact: string | null;
  readonly target: string;
  readonly segments: readonly {
    readonly id: string;
    readonly kind: "digital" | "analog";
    readonly nodes: readonly string[];
    readonly macs: number;
  }[];
  readonly tiles: number;
  /** Blocks that relax, and whether they were only merged so far; null when there are none. */
  readonly energy: PlanEnergy | null;
  readonly cost: Plan["cost"];
  readonly objective: string;
  readonly optimal: boolean;
  readonly bound: number;
  /** With `--explain`: every term of every unit on both sides. */
  readonly explain?: readonly object[];
  /** With `--print`: the level as text. */
  readonly print?: string;
  /** For a person; not part of the JSON. */
  readonly table: string;
  readonly explainText?: string;
}

export const levels: Record<string, (result: CompileResult) => string> = {
  graph: ({ compiled }) => printGraph(compiled.graph).text,
  units: ({ compiled }) => explainText(compiled),
  hybrid: ({ compiled }) => hybridText(compiled),
  kernels: ({ compiled }) => compiled.program.kernels.map(printKernel).join("\n\n"),
  plan: ({ plan }) => JSON.stringify(plan, null, 1),
};

function unitText({ id, cluster }: Unit): string {
  return `  ${id} ${cluster.root.name} <- ${cluster.nodes.map((n) => n.op).join(", ")}`;
}

function hybridText({ hybrid }: Compiled): string {
  return hybrid.segments
    .map((segment) =>
      segment.kind === "analog"
        ? `analog block ${segment.id}\n${printGraph(segment.graph).text}`
        : [`digital segment ${segment.id}`, ...segment.units.map(unitText)].join("\n"),
    )
    .join("\n\n");
}

function explanation(graph: UnitGraph, compiled: Compiled): object[] {
  const units = graph.units.map((u) => ({
    unit: u.id,
    name: u.name,
    placement: compiled.cut.assignment.get(u.id),
    reason: u.reason,
    digital: u.digital,
    analog: u.analog,
  }));
  const values = [...crossings(graph, compiled.cut.assignment)].flatMap(([v, costs]) =>
    costs.map((cost) => (
      { value: v.name, from: v.from === HOST ? "host" : v.from, to: v.to, cost })));
  return [...units, ...values, { trainingStep: trainingOf(compiled) }];
}

/** What one training step on one sample would cost with this placement. */
function trainingOf({ graph, units, cut, priced, options }: Compiled): TrainingCost {
  const { target, others = [] } = options;
  const hybrids = [target, ...others].filter((t): t is HybridTarget => t.kind === "hybrid");
  const homes = new Map(hybrids.map((t) => [t.name, t]));
  const analog = priced.units.flatMap(({ id, home = target.name }) => {
    const on = cut.assignment.get(id) === "analog" ? homes.get(home) : undefined;
    return on === undefined ? [] : [[id, on] as const];
  });
  return trainingCost(factsOf(graph, units), target, new Map(analog));
}

function explainText(compiled: Compiled): string {
  const { priced, cut, options } = compiled;
  return [
    explainPlacement(priced, cut, options.objective), ...trainingLines(trainingOf(compiled)),
  ].join("\n");
}

export function compileReport(result: CompileResult, explain: boolean): CompileReport {
  const { plan, compiled } = result;
  return {
    artifact: result.artifact ?? null,
    target: [result.loaded, ...result.others].map(({ target }) => target.name).join(","),
    segments: plan.segments.map(({ id, kind, nodes, macs }) => ({ id, kind, nodes, macs })),
    tiles: plan.tiles,
    energy: plan.energy ?? null,
    cost: plan.cost,
    objective: plan.options.objective,
    optimal: plan.partition.optimal,
    bound: plan.partition.bound,
    ...(explain
      ? {
          explain: explanation(compiled.priced, compiled),
          explainText: explainText(compiled),
        }
      : {}),
    table: partitionTable(compiled.priced, compiled.cut, compiled.options.objective),
  };
}

/** `--analog` or `--analog-nodes`. */
function analogChoice(options: Options): AnalogChoice {
  const names = options.list("analogNodes").flatMap((text) => text.split(","));
  const choice = options.choice<"auto" | "all" | "none">("analog") ?? "auto";
  if (names.length === 0) return choice;
  if (choice === "auto") return names.map((name) => name.trim()).filter((name) => name !== "");
  throw new UserError(`contradicts --analog ${choice}`, {
    place: "--analog-nodes",
    remedy: "Give one of the two.",
  });
}

/** `--replicas N` and `--replicate NAME=N`; undefined where neither is given. */
function replicasOption(options: Options): Replicas | undefined {
  const most = options.integer("replicas", "--replicas", { min: 1, max: 4096 }) ?? 1;
  const exactly = Object.fromEntries(
    options.list("replicate").flatMap((text) => text.split(",")).map((text) => {
      const [, name, count] = /^\s*(\S+)=(\d{1,4})\s*$/.exec(text) ?? [];
      if (name !== undefined && Number(count) >= 1) return [name, Number(count)];
      throw new UserError(`"${text}" gives no node a number of copies`, {
        place: "--replicate", remedy: "Write --replicate NODE=4; separate several with commas.",
      });
    }));
  const limit = most === 1 ? {} : { most };
  if (Object.keys(exactly).length > 0) return { ...limit, exactly };
  return most === 1 ? undefined : limit;
}

/** `--capacity chip`, a number of arrays, or a number for each target. */
export function capacityOption(options: Options): Capacity | undefined {
  const text = options.text("capacity");
  if (text === "chip") return text;
  if (text?.includes("=") === true) {
    return Object.fromEntries(text.split(",").map((part) => {
      const [, target, count] = /^\s*(\S+)=(\d+)\s*$/.exec(part) ?? [];
      if (target !== undefined) return [target, Number(count)];
      throw new UserError(`"${part}" gives no target a number of arrays`, {
        place: "--capacity", remedy: "Write --capacity isaac-rram=96,hermes-pcm=64.",
      });
    }));
  }
  return options.integer("capacity", "--capacity", { min: 0 });
}

function energyText({ blocks, sweeps, needsTraining }: PlanEnergy): string {
  const several = blocks.filter(({ layers }) => layers.length > 1);
  const what = `${several.length} energy blocks of several layers, ${sweeps} sweeps`;
  return needsTraining
    ? `${what}: merged layers are another model than the file's, and need training first`
    : what;
}

export const compileCommand: CommandSpec = {
  name: "compile",
  summary: "Partition a model, emit its kernels and crossbars, and write the artifact.",
  arguments: [{ name: "<model>", description: "ONNX file" }],
  options: [
    {
      flags: "--target <targets>",
      description: "preset name or target file (JSON); with commas, several that share the work",
    },
    { flags: "-o, --out <dir>", description: "artifact folder (default: MODEL.crosstie)" },
    {
      flags: "--objective <what>",
      description: "what to minimise",
      default: "energy",
      choices: OBJECTIVES,
    },
    {
      flags: "--analog <which>",
      description: "units that may be analog",
      default: "auto",
      choices: ["auto", "all", "none"],
    },
    {
      flags: "--analog-nodes <names>",
      description: "exactly these are analog (ONNX nodes or unit ids, separated by commas)",
      repeatable: true,
    },
    {
      flags: "--capacity <arrays>",
      description: "arrays there are, or chip: those of one chip (default: as many as it takes)",
    },
    {
      flags: "--replicas <n>",
      description: "copies of a busy layer's arrays that may share its products, at most",
      default: "1",
    },
    {
      flags: "--replicate <node=n>",
      description: "exactly n copies of a node's arrays; repeat, or separate with commas",
      repeatable: true,
    },
    {
      flags: "--set <name=value>",
      description: "replace a figure of the target: adc=6, array=128, wire.rowSegment=2; repeat",
      repeatable: true,
    },
    {
      flags: "--block-size <n>",
      description: "consecutive layers per energy block; above 1 the model needs training",
      default: "1",
    },
    { flags: "--bind <sizes>", description: "numbers for symbolic sizes, such as H=224,W=224" },
    { flags: "--explain", description: "print every term of every unit's cost" },
    {
      flags: "--print <level>",
      description: "print a level and write nothing",
      choices: Object.keys(levels),
    },
  ],
  example: "crosstie compile models/mnist-lenet.onnx --target neurram-rram -o lenet.crosstie",
  async run({ args: [model], options, io }): Promise<CompileReport> {
    const path = model as string;
    const level = options.text("print");
    const bind = parseBindings(options.text("bind"));
    const capacity = capacityOption(options);
    const replicas = replicasOption(options);
    const result = await compileModel({
      model: path,
      blockSize: options.integer("blockSize", "--block-size", { min: 1 }),
      target: options.required(
        "target",
        "--target",
        "Name a preset (crosstie targets lists them) or a target file.",
      ),
      objective: options.choice<Objective>("objective") ?? "energy",
      analog: analogChoice(options),
      figures: parseFigures(options.list("set"), "--set"),
      ...(capacity === undefined ? {} : { capacity }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(bind ? { bind } : {}),
      ...(level === undefined
        ? { out: options.text("out") ?? basename(path).replace(/\.onnx$/i, "") + ".crosstie" }
        : {}),
    });
    const report = compileReport(result, options.flag("explain"));
    const { table: _table, explainText: _text, ...json } = report;
    const print =
      level === undefined ? {} : { print: (levels[level] as (typeof levels)[string])(result) };
    return (io.json ? { ...json, ...print } : { ...report, ...print }) as CompileReport;
  },
  render(report: CompileReport) {
    if (report.print !== undefined) return report.print;
    const { energyJ, latencyS, areaM2 } = report.cost;
    const proof = report.optimal
      ? "proved optimal"
      : `best known; no split is below ${report.bound}`;
    // The bottleneck is what this objective is about; the latency is of one inference alone.
    const pace = report.objective === "throughput" ? `, one every ${si(report.bound, "s")}` : "";
    const lines = [
      report.table,
      "",
      `${report.tiles} tiles, ${si(energyJ, "J")} and ${si(latencyS, "s")} per inference${pace}, ` +
        `${(areaM2 * 1e6).toPrecision(3)} mm2; ${proof} for ${report.objective}`,
      ...report.energy === null ? [] : [energyText(report.energy)],
      `artifact: ${report.artifact}`,
    ];
    return [...(report.explainText === undefined ? [] : [report.explainText, ""]), ...lines].join(
      "\n",
    );
  },
};
