/**
 * HiGHS (compiled to WebAssembly) as the compiler's mixed-integer solver. Loaded on first use: only
 * capacities, several targets and constrained fronts need it, a plain compile does not.
 */
import loadHighs from "highs";
import type { MilpSolution, MilpSolver } from "../../compiler/partition/milp.ts";

const STATUS: Readonly<Record<string, MilpSolution["status"]>> = {
  Optimal: "optimal",
  Infeasible: "infeasible",
  "Primal infeasible or unbounded": "infeasible",
};

/** A solver that proves optimality to a gap of zero. */
export async function highsSolver(): Promise<MilpSolver> {
  const highs = await loadHighs();
  return (lp) => {
    const solution = highs.solve(lp, {
      output_flag: false,
      mip_rel_gap: 0,
      mip_abs_gap: 0,
      mip_feasibility_tolerance: 1e-9,
      primal_feasibility_tolerance: 1e-9,
      dual_feasibility_tolerance: 1e-9,
    });
    const status = STATUS[solution.Status] ?? "stopped";
    if (status !== "optimal") return { status, values: {} };
    const values: Record<string, number> = {};
    for (const [name, column] of Object.entries(solution.Columns)) {
      values[name] = "Primal" in column ? (column.Primal ?? 0) : 0;
    }
    return { status, values };
  };
}
