/**
 * What a current-voltage law adds to a product. A law I = g V + sum_n c_n(g) V^n is a sum of
 * products: of the conductances with the voltages, and of every c_n(g) with the voltages' n-th
 * powers. So a column of such cells without wires costs a contraction per term, and is exact.
 *
 * Only where inputs come as amplitudes. Pulses all have the read voltage, at which cells were
 * verified when they were written: what the law adds is in the conductances, whatever it is.
 *
 * Behind wires the voltage at a cell depends on all other cells: there is no fixed effective
 * matrix, and `wires/` has Newton's method for single arrays.
 */
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Device } from "../../targets/device.ts";
import { currentTerms, type CurrentTerm } from "../../targets/deviceModel.ts";
import type { Imperfections } from "./imperfections.ts";

/** What decides whether a chip's cells show their law. */
export interface Driven {
  readonly input: Pick<CrossbarConfig["input"], "coding" | "sliceBits" | "readVolt">;
  readonly cells: Device;
  readonly imperfections: Imperfections;
}

/** Whether the voltage on a row says how large its input is. */
const hasAmplitudes = ({ coding, sliceBits }: Driven["input"]): boolean =>
  coding === "amplitude" || (coding === "bit-serial" && sliceBits > 1);

/**
 * The terms beyond the linear one that a chip's products have.
 * @throws UserError behind wires, or beyond the voltages that the law was measured at
 */
export function lawTerms({ input, cells, imperfections }: Driven): readonly CurrentTerm[] {
  if (!imperfections.nonlinearity || !hasAmplitudes(input)) return [];
  const law = cells.currentVoltage;
  if (law.kind === "linear") return [];
  if (imperfections.wires) {
    throw new UserError("driven by amplitudes, cells with a nonlinear law have no fixed " +
      "effective conductances behind wires", {
      place: `device ${cells.name}: currentVoltage`,
      remedy: "Leave out wires or nonlinearity (--without, --only), or solve single arrays with " +
        "crosstie solve-array.",
    });
  }
  const { readVolt } = input;
  if (Math.abs(readVolt) > law.maxVoltage.value) {
    const most = law.maxVoltage.value;
    throw new UserError(`its law is known up to ${most} V, rows get ${readVolt} V`, {
      place: `device ${cells.name}: currentVoltage.maxVoltage`,
      remedy: "Lower input.readVoltage of the target, or leave out nonlinearity.",
    });
  }
  return currentTerms(cells);
}

/**
 * The law of a chip whose terms all have the shape of its linear one, as the share s of the cube:
 * I = g (v + s v^3) with v in read voltages. 0 where cells are linear.
 * @throws UserError where no such number says what the law is, and as `lawTerms`
 */
export function cubicShare(driven: Driven): number {
  const terms = lawTerms(driven);
  const law = driven.cells.currentVoltage;
  if (terms.length === 0) return 0;
  if (law.kind === "cubic") return law.k3.value * driven.input.readVolt ** 2;
  throw new UserError("its law differs in shape from conductance to conductance, which no one " +
    "weight matrix has", {
    place: `device ${driven.cells.name}: currentVoltage`,
    remedy: "Leave out nonlinearity with --only; simulate has it.",
  });
}
