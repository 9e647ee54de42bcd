/** `crosstie netlist DIR TILE`: a programmed tile as a SPICE circuit. */
import { netlistOf, type NetlistResult } from "../../api/netlist.ts";
import type { CommandSpec } from "../command.ts";

export const netlist: CommandSpec = {
  name: "netlist",
  summary: "Print one tile of an artifact as a SPICE netlist.",
  arguments: [
    { name: "<dir>", description: "artifact folder" },
    { name: "<tile>", description: "tile id, as crossbars.json names it" },
  ],
  options: [
    { flags: "--volt <file>", description: "row voltages (.npy); the read voltage without it" },
    { flags: "--linear", description: "resistors for cells that have a nonlinear law" },
    { flags: "-o, --out <file>", description: "write it instead of printing it" },
  ],
  example:
    "crosstie compile models/mnist-lenet.onnx --target neurram-rram -o lenet.crosstie\n" +
    "$ crosstie netlist lenet.crosstie a0.tile0 -o tile.cir && ngspice -b tile.cir",
  run({ args: [directory, tile], options }): Promise<NetlistResult> {
    const [volt, out] = [options.text("volt"), options.text("out")];
    return netlistOf({
      directory: directory as string,
      tile: tile as string,
      linear: options.flag("linear"),
      ...(volt === undefined ? {} : { volt }),
      ...(out === undefined ? {} : { out }),
    });
  },
  render: ({ netlist: text, file, rows, columns }: NetlistResult) =>
    file === null ? text : `${file}: ${rows} rows, ${columns} columns`,
};
