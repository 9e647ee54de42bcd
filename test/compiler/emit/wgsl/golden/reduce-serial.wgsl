// from: /pool/MaxPool
// max over y, x: one invocation per output
// workgroups: ceil((49*N) / 64), in 2 dimensions

@group(0) @binding(0) var<storage, read> Relu: array<f32>;
@group(0) @binding(1) var<storage, read_write> MaxPool: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

struct Sizes {
  N: i32,
}

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
fn pool(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = (group.y * groups.x + group.x) * 64u + lane;
  if (place >= u32(sizes.N * 49)) {
    return;
  }
  let element = i32(place);
  let n = element / 49;
  let row = element / 7 % 7;
  let column = element % 7;
  let column_offset = column * 2;
  let offset = n * 196 + row * 28;
  var acc = as_f32(0xff800000u);
  for (var y = 0; y < 2; y++) {
    let offset_2 = offset + y * 14 + column_offset;
    for (var x = 0; x < 2; x++) {
      acc = maximum(acc, Relu[offset_2 + x]);
    }
  }
  MaxPool[element] = acc;
}
