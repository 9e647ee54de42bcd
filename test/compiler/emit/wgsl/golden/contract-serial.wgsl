// from: /fc/MatMul
// sum over k: one invocation per output
// workgroups: ceil(20 / 64)

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn product(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= 20u) {
    return;
  }
  let element = i32(id.x);
  let m = element / 5;
  let n = element % 5;
  let m_offset = m * 6;
  var acc = 0.0;
  for (var k = 0; k < 6; k++) {
    acc = fma(x[m_offset + k], w[k * 5 + n], acc);
  }
  y[element] = acc;
}
