/**
 * How fast the WebGPU adapter is at all: a 256^3 product with 4x4 register tiles, a hand-written
 * shader that no compiler of ours made. 33.6 Mflop per run, so 1000 / (milliseconds) * 0.0336 is
 * GFLOP/s. It chooses between drivers; it says nothing of the code we emit.
 */
import { bench } from "vitest";
import { describeWebGpu } from "../support/webgpu.ts";

const size = 256;
const shader = `
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;
const n = ${size / 4}u;
@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum: array<vec4f, 4>;
  for (var k = 0u; k < n; k++) {
    let b0 = b[(k * 4u) * n + id.x];
    let b1 = b[(k * 4u + 1u) * n + id.x];
    let b2 = b[(k * 4u + 2u) * n + id.x];
    let b3 = b[(k * 4u + 3u) * n + id.x];
    for (var row = 0u; row < 4u; row++) {
      let a0 = a[(id.y * 4u + row) * n + k];
      sum[row] += a0.x * b0 + a0.y * b1 + a0.z * b2 + a0.w * b3;
    }
  }
  for (var row = 0u; row < 4u; row++) { c[(id.y * 4u + row) * n + id.x] = sum[row]; }
}`;

describeWebGpu("256^3 product", (get) => {
  let run: (() => Promise<void>) | undefined;

  function prepare(): () => Promise<void> {
    const { device } = get();
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffers = [0, 1, 2].map(() => device.createBuffer({ size: size * size * 4, usage }));
    const values = Float32Array.from({ length: size * size }, (_, i) => Math.sin(i));
    for (const buffer of buffers) device.queue.writeBuffer(buffer, 0, values);
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: shader }), entryPoint: "main" },
    });
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    return async () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(size / 32, size / 32);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    };
  }

  bench("4x4 register tiles", async () => {
    run ??= prepare();
    await run();
  });
});
