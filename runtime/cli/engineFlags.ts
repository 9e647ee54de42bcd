/**
 * V8 told that this process is short: machine code comes early from the baseline compiler, and the
 * optimising compiler waits for four times the usual work. Compiling a model runs a thousand
 * functions a little each; optimising all of them costs a third of the time on two cores
 * (DenseNet-121: 3.5 s without these flags, 2.6 s with them). Hot loops are optimised all the same.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--sparkplug");
setFlagsFromString("--interrupt-budget=500000");
