// from: /layer1/Relu
// map: one invocation per i
// workgroups: ceil(1000000 / 64), in 2 dimensions

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// Infinities and NaN by their bits: a call is no constant expression, which may hold neither.
fn as_f32(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}

// By the bits: compilers may assume that x == x.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// NaN if either is NaN, which max() does not promise.
fn maximum(a: f32, b: f32) -> f32 {
  return select(max(a, b), as_f32(0x7fc00000u), is_nan(a) || is_nan(b));
}

@compute @workgroup_size(64)
fn relu(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = (group.y * groups.x + group.x) * 64u + lane;
  if (place >= 1000000u) {
    return;
  }
  let i = i32(place);
  y[i] = maximum(x[i], 0.0);
}
