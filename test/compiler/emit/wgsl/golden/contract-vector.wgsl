// from: /fc/MatMul
// sum over k: workgroups of 1 outputs x 64 invocations
// workgroups: 1000

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = i32(lane);
  let output = i32(group.x);
  let output_offset = output * 512;
  var acc = 0.0;
  for (var k = thread; k < 512; k += 64) {
    acc = fma(x[k], w[output_offset + k], acc);
  }
  parts[thread] = acc;
  workgroupBarrier();
  for (var half = 32; half > 0; half /= 2) {
    if (thread < half) {
      parts[thread] += parts[thread + half];
    }
    workgroupBarrier();
  }
  if (thread == 0) {
    let total = parts[thread];
    y[output] = total;
  }
}
