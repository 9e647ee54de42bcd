// from: /norm/ReduceMean
// sum over k: workgroups of 1 outputs x 64 invocations
// workgroups: 12

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean_2: array<f32>;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn mean(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = i32(lane);
  let output = i32(group.x);
  let output_offset = output * 768;
  var acc = 0.0;
  for (var k = thread; k < 768; k += 64) {
    acc += x[output_offset + k];
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
    mean_2[output] = total * 0.0013020834;
  }
}
