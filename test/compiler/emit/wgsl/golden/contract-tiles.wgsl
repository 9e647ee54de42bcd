// from: /conv1/Conv, /relu1/Relu
// product N x 32 x 256 x 72 (batch, m, n, k): tiles of 32 x 64, 4 x 8 per invocation, 16 deep
// workgroups: N * ceil(32 / 32) * ceil(256 / 64), in 2 dimensions

@group(0) @binding(0) var<storage, read> conv1_weight: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> conv1_bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> Relu: array<f32>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

struct Sizes {
  N: i32,
}

var<workgroup> slab_a: array<f32, 528>;  // 16 x 32, padded
var<workgroup> slab_b: array<f32, 1024>;  // 16 x 64

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

fn finish(batch: i32, row: i32, column: i32, acc: f32) {
  if (batch < sizes.N && row < 32) {
    Relu[batch * 8192 + row * 256 + column] = maximum(acc + conv1_bias[row], 0.0);
  }
}

@compute @workgroup_size(64)
fn conv1(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let thread = i32(lane);
  let tile = i32(group.y * groups.x + group.x);
  let tile_column = tile % 4 * 64;
  let image = tile / 4;
  let a_lane = thread % 16;
  let a_start = thread / 16;
  let n = tile_column + thread;
  let n_quotient = n / 16;
  let n_rest = n % 16;
  let image_offset = image * 2048;
  var sum_0_0 = vec4f();
  var sum_0_1 = vec4f();
  var sum_1_0 = vec4f();
  var sum_1_1 = vec4f();
  var sum_2_0 = vec4f();
  var sum_2_1 = vec4f();
  var sum_3_0 = vec4f();
  var sum_3_1 = vec4f();
  for (var step = 0; step < 72; step += 16) {
    let a_k = step + a_lane;
    for (var load = 0; load < 8; load++) {
      let a_line = a_start + load * 4;
      let m = a_line;
      slab_a[a_lane * 33 + a_line] = select(0.0, conv1_weight[m * 72 + a_k], a_k < 72);
    }
    for (var load_2 = 0; load_2 < 16; load_2++) {
      let b_k = step + load_2;
      let b_k_rest = b_k / 3 % 3;
      let offset = n_quotient + b_k_rest - 1;
      let b_k_rest_2 = b_k % 3;
      let offset_2 = n_rest + b_k_rest_2 - 1;
      let inside = 0 <= offset_2 && offset_2 < 16;
      let offset_3 = image_offset + b_k / 9 * 256 + b_k_rest * 16 + n;
      let inside_2 = 0 <= offset && offset < 16 && inside;
      let input_value = input[offset_3 + b_k_rest_2 - 17];
      slab_b[load_2 * 64 + thread] = select(0.0, select(0.0, input_value, inside_2), b_k < 72);
    }
    workgroupBarrier();
    for (var i = 0; i < 16; i++) {
      let a_at = i * 33 + thread / 8 * 4;
      let b_at = i * 64 + thread % 8 * 8;
      let a_0 = slab_a[a_at];
      let a_1 = slab_a[a_at + 1];
      let a_2 = slab_a[a_at + 2];
      let a_3 = slab_a[a_at + 3];
      let b_row_0 = vec4f(
        slab_b[b_at], slab_b[b_at + 1],
        slab_b[b_at + 2], slab_b[b_at + 3]);
      let b_row_1 = vec4f(
        slab_b[b_at + 4], slab_b[b_at + 5],
        slab_b[b_at + 6], slab_b[b_at + 7]);
      sum_0_0 = fma(vec4f(a_0), b_row_0, sum_0_0);
      sum_0_1 = fma(vec4f(a_0), b_row_1, sum_0_1);
      sum_1_0 = fma(vec4f(a_1), b_row_0, sum_1_0);
      sum_1_1 = fma(vec4f(a_1), b_row_1, sum_1_1);
      sum_2_0 = fma(vec4f(a_2), b_row_0, sum_2_0);
      sum_2_1 = fma(vec4f(a_2), b_row_1, sum_2_1);
      sum_3_0 = fma(vec4f(a_3), b_row_0, sum_3_0);
      sum_3_1 = fma(vec4f(a_3), b_row_1, sum_3_1);
    }
    workgroupBarrier();
  }
  let row = thread / 8 * 4;
  let column = tile_column + thread % 8 * 8;
  for (var j = 0; j < min(4, 256 - column); j++) {
    finish(image, row, column + j, sum_0_0[j]);
    finish(image, row + 1, column + j, sum_1_0[j]);
    finish(image, row + 2, column + j, sum_2_0[j]);
    finish(image, row + 3, column + j, sum_3_0[j]);
  }
  for (var j = 0; j < min(4, 256 - (column + 4)); j++) {
    finish(image, row, column + 4 + j, sum_0_1[j]);
    finish(image, row + 1, column + 4 + j, sum_1_1[j]);
    finish(image, row + 2, column + 4 + j, sum_2_1[j]);
    finish(image, row + 3, column + 4 + j, sum_3_1[j]);
  }
}
