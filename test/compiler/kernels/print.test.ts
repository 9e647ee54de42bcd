/** Kernels as text for people: each kind of body once, and names where something is shared. */
import { expect, it } from "vitest";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { collect } from "../../../compiler/kernels/expr.ts";
import { rootsOf } from "../../../compiler/kernels/kernel.ts";
import { printKernel } from "../../../compiler/kernels/print.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { randomGraph } from "../../support/randomGraph.ts";

const printed = (graph: Graph): string => buildProgram(graph).kernels.map(printKernel).join("\n");
const weights = new Map([["w", tensor("float32", [2, 1, 3, 3], new Array<number>(18).fill(0.5))]]);

it("writes a padded convolution with its epilogue", () => {
  expect(printed(parseGraph(`graph g {
    input %x: float32[N,1,8,8]
    %w = constant @w: float32[2,1,3,3]
    %c = conv %x, %w {strides = [1,1], dilations = [1,1], low = [1,1], high = [1,1], groups = 1}
      from "/conv1/Conv"
    %zero = constant 0: float32[]
    %zeros = broadcast %zero {shape = [N,2,8,8]}
    %y = max %c, %zeros from "/relu"
    output y = %y
  }`, weights))).toMatchInlineSnapshot(`
    "kernel conv1_Conv from "/conv1/Conv", "/relu"
      read %w: f32[18]
      write %y: f32[128*N]
      read %x: f32[64*N]
      for b0 < N, m < 2, n0 < 8, n1 < 8
        acc = sum over k0 < 3, k2 < 3 of a * b
          let t0 = n0 + k0 - 1
          let t1 = n1 + k2 - 1
          a = %w[9*m + 3*k0 + k2]
          b = guard(t0 >= 0 & t0 < 8 & t1 >= 0 & t1 < 8, %x[64*b0 + 8*n0 + 8*k0 + n1 + k2 - 9], 0.0)
        %y[128*b0 + 64*m + 8*n0 + n1] = max(acc, 0.0)"
  `);
});

it("writes reductions, running sums, orders, scattered rows and integers", () => {
  expect(printed(parseGraph(`graph g {
    input %x: float32[N,4]
    input %rows: int32[M]
    input %new: float32[M,4]
    %sum = reduce %x {kind = sum, axes = [1]}
    %run = cumulate %x {kind = prod, axis = 0}
    %order = argsort %x {descending = true}
    %put = scatter %x, %rows, %new {kind = add}
    %half = constant 0.5: float32[]
    %halves = broadcast %half {shape = [N,4]}
    %less = lt %x, %halves
    %both = where %less, %x, %halves
    %bits = bitcast %both {dtype = uint32}
    output sum = %sum
    output run = %run
    output order = %order
    output put = %put
    output bits = %bits
  }`))).toMatchInlineSnapshot(`
    "kernel reduce_sum
      read %x: f32[4*N]
      write %sum: f32[N]
      for i < N
        acc = sum over r < 4 of x
          x = %x[4*i + r]
        %sum[i] = acc
    kernel cumulate_run
      read %x: f32[4*N]
      write %run: f32[4*N]
      for i1 < 4, i0 < N
        let t0 = 4*i0 + i1
        acc = running prod along i0 of %x[t0]
        %run[t0] = acc
    kernel argsort_order
      read %x: f32[4*N]
      write %order: i32[4*N]
      for i0 < N
        %order[i0, i1] = descending order over i1 < 4 of x
          x = %x[4*i0 + i1]
    kernel scatter_put
      read %x: f32[4*N]
      read %rows: i32[M]
      read %new: f32[4*M]
      write %put: f32[4*N]
      for row < N, column < 4
        %put[4*row + column] = %x[4*row + column]
      for update < M, column < 4
        row = %rows[update], where 0 <= row < N
        %put[4*row + column] combined by add with %new[4*update + column]
    kernel bitcast_bits
      read %x: f32[4*N]
      write %bits: u32[4*N]
      for i0 < 4*N
        let t0 = %x[i0]
        %bits[i0] = bits<u32>(select(t0 < 0.5, t0, 0.5))"
  `);
});

it("names every axis, buffer and shared expression that a kernel uses", () => {
  for (let seed = 1; seed <= 60; seed++) {
    for (const kernel of buildProgram(randomGraph(seed, 12).graph).kernels) {
      const text = printKernel(kernel);
      const lets = [...text.matchAll(/let (t\d+) =/g)].map(([, name]) => name);
      expect(new Set(lets).size).toBe(lets.length);
      for (const name of text.match(/\bt\d+\b/g) ?? []) expect(lets).toContain(name);
      const loads = collect(rootsOf(kernel.body)).filter((e) => e.kind === "load");
      // Every load is written, and none twice: what is shared has a name.
      const reads = kernel.arguments.filter(({ access }) => access === "read")
        .flatMap(({ name }) => text.split(`%${name}[`).slice(1));
      expect(reads.length, text).toBe(loads.length);
    }
  }
});
