/**
 * Tiny modules that an engine accepts only if it knows a feature. Asking it is the device's part.
 */
import { FunctionWriter, ModuleWriter } from "./assembler.ts";

/** Valid where relaxed SIMD is: one fused multiply-add. */
export function relaxedSimdProbe(): Uint8Array {
  const module = new ModuleWriter("probe");
  const parameters = ["v128", "v128", "v128"] as const;
  const ref = module.declare("madd", { parameters, results: ["v128"] });
  const writer = new FunctionWriter(parameters.length);
  parameters.forEach((_, i) => writer.get(i));
  writer.op("f32x4.relaxed_madd");
  module.define(ref, writer);
  return module.finish();
}
