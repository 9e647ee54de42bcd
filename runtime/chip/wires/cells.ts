/**
 * The currents and slopes of all cells of an array at given voltages. The laws themselves are
 * data of the circuit; this file only applies them to grids.
 */

import type { CellLaw } from "../../../compiler/emit/spice/arrayCircuit.ts";
import type { FilledCircuit } from "../../../compiler/emit/spice/arrayCircuit.ts";

export interface CellGrid {
  /** `[row][col]`, ampere, from `[row][col]` volt across the cells. */
  current(volt: Float64Array, out: Float64Array): void;
  /** `[row][col]`, siemens: dI/dV. */
  slope(volt: Float64Array, out: Float64Array): void;
  readonly linear: boolean;
}

type Maker<K extends CellLaw["kind"]> =
  (law: Extract<CellLaw, { kind: K }>, conductance: Float64Array) => CellGrid;

const makers: { readonly [K in CellLaw["kind"]]: Maker<K> } = {
  linear: (_law, g) => ({
    linear: true,
    current(volt, out) {
      for (let c = 0; c < g.length; c++) out[c] = g[c]! * volt[c]!;
    },
    slope(_volt, out) {
      out.set(g);
    },
  }),
  polynomial: (law, g) => {
    const second = fill(law.quadratic, g.length);
    const third = fill(law.cubic, g.length);
    return {
      linear: false,
      current(volt, out) {
        for (let c = 0; c < g.length; c++) {
          const v = volt[c]!;
          out[c] = v * (g[c]! + v * (second[c]! + v * third[c]!));
        }
      },
      slope(volt, out) {
        for (let c = 0; c < g.length; c++) {
          const v = volt[c]!;
          out[c] = g[c]! + v * (2 * second[c]! + v * 3 * third[c]!);
        }
      },
    };
  },
  curve: (law, g) => ({
    linear: false,
    current(volt, out) {
      for (let c = 0; c < g.length; c++) out[c] = law.current(volt[c]!, g[c]!);
    },
    slope(volt, out) {
      for (let c = 0; c < g.length; c++) out[c] = law.slope(volt[c]!, g[c]!);
    },
  }),
};

/** The cells of a circuit; rows outside `active` (select transistor open) carry no current. */
export function cellGridOf(circuit: FilledCircuit, active?: readonly boolean[]): CellGrid {
  const maker = makers[circuit.cell.kind] as Maker<CellLaw["kind"]>;
  const grid = maker(circuit.cell, circuit.conductance);
  if (active === undefined) return grid;
  const { cols } = circuit;
  const silence = (out: Float64Array): void => {
    active.forEach((on, i) => {
      if (!on) out.fill(0, i * cols, (i + 1) * cols);
    });
  };
  return {
    linear: grid.linear,
    current(volt, out) {
      grid.current(volt, out);
      silence(out);
    },
    slope(volt, out) {
      grid.slope(volt, out);
      silence(out);
    },
  };
}

function fill(value: number | Float64Array, length: number): Float64Array {
  return typeof value === "number" ? new Float64Array(length).fill(value) : value;
}
