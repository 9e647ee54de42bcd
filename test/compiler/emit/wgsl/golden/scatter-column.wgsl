// from: /embed/Gather
// scatter (add): one invocation per column
// workgroups: ceil(64 / 64)

@group(0) @binding(0) var<storage, read> tokens: array<i32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn scatter(@builtin(global_invocation_id) id: vec3u) {
  let column = i32(id.x);
  for (var row = 0; row < 5000; row++) {
    y[row * 64 + column] = 0.0;
  }
  for (var token = 0; token < 500; token++) {
    let target_row = tokens[token];
    if (0 <= target_row && target_row < 5000) {
      let place = target_row * 64 + column;
      y[place] += d[token * 64 + column];
    }
  }
}
