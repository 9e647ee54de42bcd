// from: /CumSum
// running sum along t: one invocation per row
// workgroups: ceil(6 / 64)

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn cumsum(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= 6u) {
    return;
  }
  let row = i32(id.x);
  let row_offset = row * 40;
  var acc = 0.0;
  for (var t = 0; t < 40; t++) {
    let offset = row_offset + t;
    acc += x[offset];
    y[offset] = acc;
  }
}
