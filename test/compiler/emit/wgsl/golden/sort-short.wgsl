// from: /TopK
// sort along position: every element counts its place
// workgroups: ceil(100 / 64)

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
  return sort_key_f32_descending(scores[row * 20 + position]);
}

@compute @workgroup_size(64)
fn top(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= 100u) {
    return;
  }
  let element = i32(id.x);
  let row = element / 20;
  let place = element % 20;
  let key = key_at(row, place);
  var before = 0;
  for (var other = 0; other < 20; other++) {
    let other_key = key_at(row, other);
    let is_first = other_key < key || (other_key == key && other < place);
    before += select(0, 1, is_first);
  }
  order[row * 20 + before] = place;
}
