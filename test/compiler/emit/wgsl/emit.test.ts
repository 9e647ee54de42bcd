/** Modules as a whole: names, provenance, limits, and the choice of how to compute a kernel. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { symbol } from "../../../../compiler/graph/dim.ts";
import {
  dispatchComment, dispatchOf, workgroupCount, workgroupCounts, type Dispatch,
} from "../../../../compiler/emit/wgsl/dispatch.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { Names, tensorName } from "../../../../compiler/emit/wgsl/names.ts";
import { maxBuffers, webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import { InternalError, UserError } from "../../../../compiler/errors.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import {
  convolution, cumulativeSum, paddedGelu, product, relu, rowMean,
} from "./smallKernels.ts";

const schedule = (kernel: Kernel, profile = webGpuDefaults): string =>
  (emitWgsl(kernel, profile).source.split("\n")[1] as string).slice(3);

describe("names", () => {
  test("are identifiers, unlike any word of the language and each other", () => {
    const names = new Names();
    expect(["x", "x", "for", "max", "9lives", "", "_", "a.b/c", "é"].map((n) => names.fresh(n)))
      .toEqual(["x", "x_2", "for_2", "max_2", "lives", "value", "value_2", "a_b_c", "value_3"]);
  });

  test("of functions are their own, but unlike those of the module", () => {
    const module = new Names();
    const [first, second] = [module.child(), module.child()];
    expect([first.fresh("row"), second.fresh("row"), module.fresh("row")])
      .toEqual(["row", "row", "row_2"]);
    expect(first.fresh("row_2")).toBe("row_2_2");
  });

  test("of tensors are the last part of their path", () => {
    expect(tensorName("/layer1/layer1.0/relu/Relu_output_0")).toBe("Relu");
    expect(tensorName("conv1.weight")).toBe("conv1_weight");
    expect(tensorName("///")).toBe("tensor");
    expect(tensorName("a".repeat(99))).toHaveLength(24);
  });

  test("of an entry point differ from the kernel's only where WGSL has a meaning for it", () => {
    expect(emitWgsl(relu(8)).entryPoint).toBe("relu");
    const { entryPoint, source } = emitWgsl({ ...relu(8), name: "max" });
    expect(entryPoint).toBe("max_2");
    expect(source).toContain("fn max_2(");
  });
});

describe("provenance", () => {
  const first = (origin: string[]): string =>
    emitWgsl({ ...relu(8), origin }).source.split("\n")[0] as string;

  test("names the nodes, as many as fit the line", () => {
    expect(first(["/a/Conv", "/a/Relu"])).toBe("// from: /a/Conv, /a/Relu");
    const many = Array.from({ length: 40 }, (_, i) => `/block/node${i}`);
    expect(first(many)).toMatch(/^\/\/ from: \/block\/node0, .* and 3\d more$/);
    expect(first(many).length).toBeLessThanOrEqual(100);
    expect(first(["x".repeat(300)]).length).toBeLessThanOrEqual(100);
  });

  test("cannot end the comment it stands in", () => {
    for (const end of ["\n", "\r", "\u2028", "\u0085", "\v", "\u0000"]) {
      expect(first([`a${end}fn evil() {}`])).toBe("// from: a fn evil() {}");
    }
  });
});

describe("limits", () => {
  test("a kernel of more tensors than the device allows is refused with both numbers", () => {
    const profile = { ...webGpuDefaults, storageBuffers: 3 };
    expect(maxBuffers(profile)).toBe(3);
    expect(() => emitWgsl(convolution(1), profile)).toThrow(UserError);
    expect(() => emitWgsl(convolution(1), profile))
      .toThrow("kernel conv1 touches 4 tensors, the device allows 3");
    expect(() => emitWgsl(paddedGelu(), profile)).not.toThrow();
  });

  test("workgroups stay within the invocations and the memory of the device", () => {
    const small = { ...webGpuDefaults, workgroupInvocations: 32 };
    for (const kernel of [relu(500), rowMean(), product(64, 64, 64), cumulativeSum()]) {
      expect(emitWgsl(kernel, small).workgroupSize).toBeLessThanOrEqual(32);
    }
    const forgetful = { ...webGpuDefaults, workgroupBytes: 2048 };
    expect(schedule(product(64, 64, 64), forgetful)).not.toContain("tiles");
  });

  test("symbolic sizes are the uniform buffer behind the tensors", () => {
    const { sizes, source, dispatch } = emitWgsl(relu(symbol("T")));
    expect(sizes).toEqual(["T"]);
    expect(source).toContain("@group(0) @binding(2) var<uniform> sizes: Sizes;");
    expect(dispatch).toEqual({ grid: [{ size: "T", per: 64 }], dimensions: 2 });
  });
});

describe("features", () => {
  const having = (features: Partial<typeof webGpuDefaults.features>): typeof webGpuDefaults =>
    ({ ...webGpuDefaults, features: { ...webGpuDefaults.features, ...features } });

  test("16-bit floats hold halves where the device has them, pairs in words elsewhere", () => {
    const inFull = relu(9);
    const halves: Kernel = { ...inFull, arguments: inFull.arguments.map((argument) =>
      (argument.access === "read" ? { ...argument, storage: "f16" } : argument)) };
    const [plain, half] = [webGpuDefaults, having({ f16: true })]
      .map((profile) => emitWgsl(halves, profile).source) as [string, string];
    expect(plain).not.toContain("f16;");
    expect(plain).toMatch(/var<storage, read> x: array<u32>;/);
    expect(plain).toContain("return unpack2x16float(x[index >> 1u])[index & 1];");
    expect(half).toContain("enable f16;");
    expect(half).toMatch(/var<storage, read> x: array<f16>;/);
    expect(half).toContain("return f32(x[index]);");
    // Without halves the feature changes nothing.
    expect(emitWgsl(relu(9), having({ f16: true })).source).toBe(emitWgsl(relu(9)).source);
  });

  test("subgroups share row reductions where the device has them, a tree does elsewhere", () => {
    const [tree, groups] = [webGpuDefaults, having({ subgroups: true })]
      .map((profile) => emitWgsl(rowMean(), profile).source) as [string, string];
    expect(tree).not.toContain("subgroup");
    expect(tree).toContain("half /= 2");
    expect(groups).toContain("enable subgroups;");
    expect(groups.match(/subgroupAdd/g)).toHaveLength(2);
    expect(groups.match(/workgroupBarrier/g)).toHaveLength(1);
    expect(emitWgsl(relu(9), having({ subgroups: true })).source).toBe(emitWgsl(relu(9)).source);
  });
});

describe("the way to compute a kernel follows its shape", () => {
  test.each([
    ["large", product(1024, 1024, 1024), "tiles of 64 x 64"],
    ["medium", product(256, 256, 256), "tiles of 32 x 32"],
    ["few columns", product(50_000, 10, 64), "tiles of 64 x 16"],
    ["few rows", product(12, 50_000, 64), "tiles of 16 x 64"],
    ["tiny", product(4, 4, 4), "one invocation per output"],
    ["row times matrix", product(1, 1000, 512), "workgroups of 16 outputs x 16 invocations"],
    ["row times rows", product(1, 1000, 512, true), "workgroups of 1 outputs x 64 invocations"],
    ["unknown batch", product(symbol("N"), 100, 64), "tiles of 32 x 32"],
    ["row means", rowMean(), "workgroups of 1 outputs x 64 invocations"],
  ])("%s", (_name, kernel, way) => {
    expect(schedule(kernel)).toContain(way);
  });

  test("images join the pixels only where these do not fill tiles by themselves", () => {
    expect(schedule(convolution(symbol("N")))).toMatch(/^product N x 32 x 256 x 72/);
    const odd = convolution(symbol("N"));
    if (odd.body.kind !== "contract") throw new Error();
    const n = [{ name: "pixel", extent: 49 }];
    const cropped = { ...odd, body: { ...odd.body, n } };
    expect(schedule(cropped)).toMatch(/^product 1 x 32 x 49\*N x 72/);
  });

  test("an empty kernel is a valid module with nothing to do", () => {
    const { dispatch } = emitWgsl(relu(0));
    expect(workgroupCounts(dispatch, {}, 65_535)).toEqual([0, 0, 0]);
  });
});

describe("dispatches", () => {
  const size = fc.constantFrom("1", "7", "N", "49*N", "N*T", "3*N+1", "T-2");
  const factor = fc.record({ size, per: fc.constantFrom(1, 4, 32, 64) });

  test("read back from the comment that states them", () => {
    fc.assert(fc.property(
      fc.array(factor, { maxLength: 3 }), fc.constantFrom(1 as const, 2 as const, 3 as const),
      (grid, dimensions) => {
        const dispatch: Dispatch = { grid, dimensions };
        const comment = dispatchComment(dispatch);
        expect(comment).toMatch(/^\/\/ workgroups: \S/);
        const read = dispatchOf(`// from: x\n${comment}\n`);
        if (comment !== "// workgroups: 1") expect(read).toEqual(dispatch);
      }), { seed: 1 });
    expect(dispatchOf("// no such line")).toBeUndefined();
    expect(dispatchOf("// workgroups: exec()")).toBeUndefined();
  });

  test("fill one, two or three dimensions, none over the limit, with little to spare", () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 2 ** 31 }), fc.integer({ min: 1300, max: 65_535 }),
      (groups, limit) => {
        const dimensions = groups <= limit ? 1 : groups <= limit * limit ? 2 : 3;
        const dispatch: Dispatch = { grid: [{ size: String(groups), per: 1 }], dimensions };
        expect(workgroupCount(dispatch, {})).toBe(groups);
        const counts = workgroupCounts(dispatch, {}, limit);
        const all = counts[0] * counts[1] * counts[2];
        expect(Math.max(...counts)).toBeLessThanOrEqual(limit);
        expect(all).toBeGreaterThanOrEqual(groups);
        expect(all).toBeLessThan(groups + 2 * limit * counts[2]);
      }), { seed: 2 });
  });

  test("made for a larger device are an internal error, not a wrong result", () => {
    const dispatch: Dispatch = { grid: [{ size: "100", per: 1 }], dimensions: 1 };
    expect(() => workgroupCounts(dispatch, {}, 50)).toThrow(InternalError);
  });
});

