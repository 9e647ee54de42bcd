// from: /TopK
// sort along position: one workgroup of 256 per row
// workgroups: 2

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> order: array<i32>;

// By the bits: compilers may assume that x == x.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// Unsigned numbers in the order of the floats: zeros equal, NaN last.
fn sort_key_f32(x: f32) -> u32 {
  let bits = select(bitcast<u32>(x), 0u, x == 0.0);
  let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
  return select(key, 0xffffffffu, is_nan(x));
}

// The reverse order, NaN still last.
fn sort_key_f32_descending(x: f32) -> u32 {
  let key = sort_key_f32(x);
  return select(~key, key, key == 0xffffffffu);
}

fn key_at(row: i32, position: i32) -> u32 {
  return sort_key_f32_descending(scores[row * 3000 + position]);
}

@compute @workgroup_size(256)
fn top(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let thread = i32(lane);
  let row = i32(group.x);
  let first = row * 3000;
  for (var i = thread; i < 3000; i += 256) {
    order[first + i] = i;
  }
  storageBarrier();
  for (var length = 2; length / 2 < 3000; length *= 2) {
    for (var stride = length / 2; stride > 0; stride /= 2) {
      for (var pair = thread; pair / stride * stride * 2 < 3000; pair += 256) {
        let block = pair / stride * 2 * stride;
        let low = block + pair % stride;
        // The first pass of a merge meets the mirrored half, which makes both halves ascend.
        let mirrored = block + 2 * stride - 1 - pair % stride;
        let high = select(low + stride, mirrored, 2 * stride == length);
        if (high < 3000) {
          let a = order[first + low];
          let b = order[first + high];
          let a_key = key_at(row, a);
          let b_key = key_at(row, b);
          if (b_key < a_key || (b_key == a_key && b < a)) {
            order[first + low] = b;
            order[first + high] = a;
          }
        }
      }
      storageBarrier();
    }
  }
}
