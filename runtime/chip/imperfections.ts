/** What can go wrong on a simulated chip, by name: each may be switched on alone. */
export const imperfectionNames = [
  /** Cells hold a few levels instead of any conductance. */
  "levels",
  /** Programming misses its target. */
  "programming",
  /** Relaxation and drift since programming. */
  "drift",
  /** Cells that cannot be programmed. */
  "stuck",
  /** Every read of a cell differs; thermal noise of the columns. */
  "readNoise",
  /** Inputs and outputs are quantised, ranges clip, converters differ. */
  "converters",
  /** Currents of cells are not in proportion to voltages; where inputs come as amplitudes. */
  "nonlinearity",
  /** Voltage drops along rows and columns. */
  "wires",
] as const;

export type Imperfection = (typeof imperfectionNames)[number];
export type Imperfections = Readonly<Record<Imperfection, boolean>>;

/** All imperfections on, or only the named ones. */
export const imperfections = (only: readonly Imperfection[] = imperfectionNames): Imperfections =>
  Object.fromEntries(imperfectionNames.map((name) => [name, only.includes(name)])) as
    Record<Imperfection, boolean>;
