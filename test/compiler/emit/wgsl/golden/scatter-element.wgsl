// from: /embed/Gather
// scatter (add): one invocation per element
// workgroups: ceil(300 / 64)

@group(0) @binding(0) var<storage, read> tokens: array<i32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn scatter(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= 300u) {
    return;
  }
  let element = i32(id.x);
  let row = element / 3;
  let column = element % 3;
  var value: f32 = 0.0;
  for (var token = 0; token < 20; token++) {
    if (tokens[token] == row) {
      value += d[token * 3 + column];
    }
  }
  y[element] = value;
}
