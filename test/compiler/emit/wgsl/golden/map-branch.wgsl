// from: /mlp/Add, /mlp/Gelu, /mlp/Pad
// map: one invocation per channel, row, column
// workgroups: ceil(300 / 64)

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mlp_bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> Pad: array<f32>;

// By the bits: compilers may assume that x == x.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// |x| < 1: x * P(x^2); beyond: 1 - exp(Q(|x|)), where Q fits log(erfc).
fn erf(x: f32) -> f32 {
  let a = abs(x);
  if (a < 1.0) {
    let s = x * x;
    var p = fma(-0.000563142239, s, 0.0049175513);
    p = fma(p, s, -0.0267113112);
    p = fma(p, s, 0.112801798);
    p = fma(p, s, -0.37612325);
    return x * fma(p, s, 1.12837911);
  }
  let t = min(a, 4.0);
  var q = fma(0.000186379111, t, -0.0029476576);
  q = fma(q, t, 0.0218380615);
  q = fma(q, t, -0.103106752);
  q = fma(q, t, -0.638144851);
  q = fma(q, t, -1.12708914);
  q = fma(q, t, -0.000341523933);
  let magnitude = 1.0 - exp(q);
  return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}

@compute @workgroup_size(64)
fn pad_gelu(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= 300u) {
    return;
  }
  let element = i32(id.x);
  let channel = element / 100;
  let row = element / 10 % 10;
  let column = element % 10;
  let row_offset = row - 1;
  let column_offset = column - 1;
  let inside = 0 <= column_offset && column_offset < 8;
  var guarded = -1.0;
  if (0 <= row_offset && row_offset < 8 && inside) {
    let x_value = x[channel * 64 + row * 8 + column - 9];
    let sum = x_value + mlp_bias[channel];
    guarded = sum * 0.5 * (1.0 + erf(sum * 0.70710677));
  }
  Pad[element] = guarded;
}
