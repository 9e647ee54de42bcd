// from: /fc/MatMul
// product 1 x 64 x 64 x 64 (batch, m, n, k): tiles of 32 x 32, 4 x 4 per invocation, 16 deep
// workgroups: ceil(64 / 32) * ceil(64 / 32)

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> slab_a: array<f32, 528>;  // 16 x 32, padded
var<workgroup> slab_b: array<f32, 512>;  // 16 x 32

fn finish(row: i32, column: i32, acc: f32) {
  y[row * 64 + column] = acc;
}

@compute @workgroup_size(64)
fn product(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let thread = i32(lane);
  let tile = i32(group.x);
  let tile_row = tile / 2 * 32;
  let tile_column = tile % 2 * 32;
  let a_lane = thread % 16;
  let a_start = thread / 16;
  let b_lane = thread % 32;
  let b_start = thread / 32;
  let n = tile_column + b_lane;
  var sum_0 = vec4f();
  var sum_1 = vec4f();
  var sum_2 = vec4f();
  var sum_3 = vec4f();
  for (var step = 0; step < 64; step += 16) {
    let a_k = step + a_lane;
    for (var load = 0; load < 8; load++) {
      let a_line = a_start + load * 4;
      let m = tile_row + a_line;
      slab_a[a_lane * 33 + a_line] = x[m * 64 + a_k];
    }
    for (var load_2 = 0; load_2 < 8; load_2++) {
      let b_line = b_start + load_2 * 2;
      let b_k = step + b_line;
      slab_b[b_line * 32 + b_lane] = w[b_k * 64 + n];
    }
    workgroupBarrier();
    for (var i = 0; i < 16; i++) {
      let a_at = i * 33 + thread / 8 * 4;
      let b_at = i * 32 + thread % 8 * 4;
      let a_0 = slab_a[a_at];
      let a_1 = slab_a[a_at + 1];
      let a_2 = slab_a[a_at + 2];
      let a_3 = slab_a[a_at + 3];
      let b_row = vec4f(
        slab_b[b_at], slab_b[b_at + 1],
        slab_b[b_at + 2], slab_b[b_at + 3]);
      sum_0 = fma(vec4f(a_0), b_row, sum_0);
      sum_1 = fma(vec4f(a_1), b_row, sum_1);
      sum_2 = fma(vec4f(a_2), b_row, sum_2);
      sum_3 = fma(vec4f(a_3), b_row, sum_3);
    }
    workgroupBarrier();
  }
  let row = tile_row + thread / 8 * 4;
  let column = tile_column + thread % 8 * 4;
  for (var j = 0; j < 4; j++) {
    finish(row, column + j, sum_0[j]);
    finish(row + 1, column + j, sum_1[j]);
    finish(row + 2, column + j, sum_2[j]);
    finish(row + 3, column + j, sum_3[j]);
  }
}
