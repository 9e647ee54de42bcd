/**
 * Writes one crossbar array as a SPICE netlist that ngspice solves in batch mode: wires and linear
 * cells as resistors, other cells as behavioural current sources, one ideal source per driver and
 * one zero-volt source per column as its ammeter. Text only; running it is the reader's business.
 *
 * Node names: `sI` driver, `wI_J` and `bP_J` row and bit side of the cells, `tJ` sense terminal.
 * Ideal lines have one name for all their nodes, because SPICE knows no resistor of zero ohm.
 */

import { UserError } from "../../errors.ts";
import type { ArrayCircuit, CellLaw, FilledCircuit } from "./arrayCircuit.ts";
import { fillCircuit, topologies } from "./arrayCircuit.ts";

/** The name of the source whose current is the output of column j. */
export const ammeterName = (col: number): string => `vsense${col}`;

/**
 * The netlist of a circuit under one input; it prints `i(vsense0) = ...` and so on, in ampere.
 * @param volt one value per row
 * @throws UserError if the cells' law has no SPICE expression
 */
export function arrayNetlist(given: ArrayCircuit, volt: ArrayLike<number>, title: string): string {
  const circuit = fillCircuit(given);
  const { rows, cols, topology } = circuit;
  const { supply, rowsPerNode } = topologies[topology];
  const lines = [`* ${title.replace(/\s+/g, " ")}`, `* ${rows} x ${cols}, ${topology}`];
  const supplies = supply === "row" ? rowLines(circuit) : sourceLines(circuit);
  const bits = bitLines(circuit);
  lines.push(...drivers(circuit, volt).map(({ name, level }) => `V${name} ${name} 0 DC ${level}`));
  for (const line of [...supplies, ...bits]) lines.push(...wires(line));
  const write = cellWriter(circuit.cell);
  for (let i = 0; i < rows; i++) {
    // An input of 0 opens the select transistors of its row where source lines supply the current.
    if (supply === "source-line" && volt[i] === 0) continue;
    for (let j = 0; j < cols; j++) {
      const line = supply === "row" ? supplies[i]! : supplies[j * rowsPerNode + i % rowsPerNode]!;
      const position = Math.floor(i / rowsPerNode);
      const from = line.node(supply === "row" ? j : position);
      const to = bits[j]!.node(position);
      const cell = i * cols + j;
      const text = write(cell, circuit.conductance[cell]!, `${i}_${j}`, from, to);
      if (text !== undefined) lines.push(text);
    }
  }
  for (let j = 0; j < cols; j++) lines.push(`${ammeterName(j)} t${j} 0 DC 0`);
  lines.push(
    ".options reltol=1e-12 abstol=1e-20 vntol=1e-15 itl1=500",
    ".control",
    "set numdgt=16",
    "op",
    ...bits.map((_, j) => `print i(${ammeterName(j)})`),
    "quit",
    ".endc",
    ".end",
  );
  return `${lines.join("\n")}\n`;
}

/** A chain of nodes between terminals; all of one name where there is nothing between them. */
interface NamedLine {
  readonly id: string;
  readonly length: number;
  readonly segmentOhm: number;
  readonly endOhm: number;
  readonly terminal: string;
  readonly ends: string;
  node(position: number): string;
}

function namedLine(
  id: string, terminal: string, chain: (position: number) => string,
  line: Pick<NamedLine, "length" | "segmentOhm" | "endOhm" | "ends">,
): NamedLine {
  const { segmentOhm, endOhm } = line;
  const node = segmentOhm > 0 ? chain : endOhm > 0 ? () => chain(0) : () => terminal;
  return { id, terminal, ...line, node };
}

function rowLines(circuit: FilledCircuit): NamedLine[] {
  const { rows, cols, rowSegmentOhm, sourceOhm, driveEnd } = circuit;
  return Array.from({ length: rows }, (_, i) =>
    namedLine(`r${i}`, `s${i}`, (j) => `w${i}_${j}`, {
      length: cols, segmentOhm: rowSegmentOhm, endOhm: sourceOhm, ends: driveEnd,
    }));
}

/** Source lines of column 0 first; where there are two per column, even rows before odd ones. */
function sourceLines(circuit: FilledCircuit): NamedLine[] {
  const { rows, cols, rowSegmentOhm, sourceOhm, driveEnd, topology } = circuit;
  const { rowsPerNode } = topologies[topology];
  return Array.from({ length: cols * rowsPerNode }, (_, k) => {
    const j = Math.floor(k / rowsPerNode);
    const parity = k % rowsPerNode;
    return namedLine(
      `r${j}_${parity}`, `s${parity}`, (p) => `w${p * rowsPerNode + parity}_${j}`,
      { length: rows / rowsPerNode, segmentOhm: rowSegmentOhm, endOhm: sourceOhm, ends: driveEnd },
    );
  });
}

function bitLines(circuit: FilledCircuit): NamedLine[] {
  const { rows, cols, colSegmentOhm, senseOhm, senseEnd, topology } = circuit;
  const length = rows / topologies[topology].rowsPerNode;
  return Array.from({ length: cols }, (_, j) =>
    namedLine(`c${j}`, `t${j}`, (p) => `b${p}_${j}`, {
      length, segmentOhm: colSegmentOhm, endOhm: senseOhm, ends: senseEnd,
    }));
}

function wires(line: NamedLine): string[] {
  const { id, length, segmentOhm, endOhm, terminal, ends, node } = line;
  const out: string[] = [];
  const first = ends === "left" || ends === "top" || ends === "both";
  const last = ends === "right" || ends === "bottom" || ends === "both";
  const end = segmentOhm + endOhm;
  if (end > 0 && first) out.push(`R${id}_first ${terminal} ${node(0)} ${end}`);
  if (end > 0 && last) out.push(`R${id}_last ${node(length - 1)} ${terminal} ${end}`);
  if (segmentOhm === 0) return out;
  for (let p = 1; p < length; p++) out.push(`R${id}_${p} ${node(p - 1)} ${node(p)} ${segmentOhm}`);
  return out;
}

function drivers(
  circuit: FilledCircuit, volt: ArrayLike<number>,
): { name: string; level: number }[] {
  const { supply, rowsPerNode } = topologies[circuit.topology];
  if (supply === "row") return Array.from(volt, (level, i) => ({ name: `s${i}`, level }));
  return Array.from({ length: rowsPerNode }, (_, parity) => ({
    name: `s${parity}`,
    level: Array.from(volt).find((v, i) => v !== 0 && i % rowsPerNode === parity) ?? 0,
  }));
}

type CellWriter = (
  cell: number, conductance: number, id: string, from: string, to: string,
) => string | undefined;

const writers: { [K in CellLaw["kind"]]: (law: Extract<CellLaw, { kind: K }>) => CellWriter } = {
  linear: () => (_cell, g, id, from, to) => {
    if (g === 0) return undefined;
    return g === Infinity ? `Vx${id} ${from} ${to} DC 0` : `Rx${id} ${from} ${to} ${1 / g}`;
  },
  polynomial: ({ quadratic, cubic }) => (cell, g, id, from, to) => {
    const at = (a: number | Float64Array): number => (typeof a === "number" ? a : a[cell]!);
    const v = `V(${from},${to})`;
    return `Bx${id} ${from} ${to} I=${v}*(${g}+${v}*((${at(quadratic)})+${v}*(${at(cubic)})))`;
  },
  curve: ({ spice }) => {
    if (spice === undefined) {
      throw new UserError("The cells' law has no SPICE expression", {
        place: "cell", remedy: "Give the law a `spice` function beside `current` and `slope`",
      });
    }
    return (_cell, g, id, from, to) => `Bx${id} ${from} ${to} I=${spice(`V(${from},${to})`, g)}`;
  },
};

function cellWriter(law: CellLaw): CellWriter {
  return (writers[law.kind] as (law: CellLaw) => CellWriter)(law);
}
