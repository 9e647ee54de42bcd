/** fold-scale: constants behind a contraction move into its weights, where it is right and pays. */
import { describe, expect, it } from "vitest";
import { foldScale } from "../../../compiler/passes/foldScale.ts";
import { after } from "../../support/passes.ts";

/** float32 weights times float32 scale, rounded once; sums of a few products. */
const ROUNDED = 1e-6;
/** Attributes of convolutions are all alike here. */
const scaled = (lines: string): string =>
  after(foldScale, lines, ROUNDED).replaceAll(/ \{strides[^}]*\}/g, "");
const image = `input %x: float32[N,1,3,3]
  %w = constant [1, 2, 3, 4, 5, 6, 7, 8]: float32[2,1,2,2]
  %c = conv %x, %w {strides=[1,1], dilations=[1,1], low=[0,0], high=[0,0], groups=1} from "/conv"`;
const perChannel = (name: string, a: number, b: number): string => `
  %${name}.c = constant [${a}, ${b}]: float32[2,1,1]
  %${name} = broadcast %${name}.c {shape = [N,2,2,2]}`;

describe("folds", () => {
  it("batch-norm behind a convolution into weights and bias", () => {
    expect(scaled(`${image} ${perChannel("s", 2, 10)} ${perChannel("t", 0.5, -1)}
      %m = mul %c, %s from "/bn"
      %y = add %m, %t from "/bn"
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,1,3,3]
        %t.c = constant [0.5, -1]: float32[2,1,1]
        %t = broadcast %t.c {shape = [N,2,2,2]}: float32[N,2,2,2]
        %w_1 = constant [2, 4, 6, 8, 50, 60, 70, 80]: float32[2,1,2,2] from "/bn"
        %m = conv %x, %w_1: float32[N,2,2,2] from "/conv", "/bn"
        %y = add %m, %t: float32[N,2,2,2] from "/bn"
        output y = %y"
      `);
  });

  it("batch-norm behind a convolution with a bias", () => {
    expect(scaled(`${image} ${perChannel("k", 1, 2)} ${perChannel("s", 2, 10)}
      ${perChannel("t", 0.5, -1)}
      %b = add %k, %c
      %m = mul %s, %b
      %y = add %m, %t
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,1,3,3]
        %w_1 = constant [2, 4, 6, 8, 50, 60, 70, 80]: float32[2,1,2,2]
        %c_1 = conv %x, %w_1: float32[N,2,2,2] from "/conv"
        %c_1.bias = constant [2.5, 19]: float32[1,2,1,1]
        %broadcast_1 = broadcast %c_1.bias {shape = [N,2,2,2]}: float32[N,2,2,2]
        %y = add %c_1, %broadcast_1: float32[N,2,2,2]
        output y = %y"
      `);
  });

  it("two batch-norms in a row", () => {
    expect(scaled(`${image} ${perChannel("s", 2, 10)} ${perChannel("t", 0.5, -1)}
      %m = mul %c, %s
      %a = add %m, %t
      %m2 = mul %a, %s
      %y = add %m2, %t
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,1,3,3]
        %w_1_1 = constant [4, 8, 12, 16, 500, 600, 700, 800]: float32[2,1,2,2]
        %m_1 = conv %x, %w_1_1: float32[N,2,2,2] from "/conv"
        %m_1.bias = constant [1.5, -11]: float32[1,2,1,1]
        %broadcast_1 = broadcast %m_1.bias {shape = [N,2,2,2]}: float32[N,2,2,2]
        %y = add %m_1, %broadcast_1: float32[N,2,2,2]
        output y = %y"
      `);
  });

  it("one scale for all into the weights of a product", () => {
    expect(scaled(`input %x: float32[N,2]
      %w = constant [1, 2, 3, 4, 5, 6]: float32[2,3]
      %d = dot %x, %w {batch = 0, contract = 1}
      %half = constant 0.5: float32[]
      %halves = broadcast %half {shape = [N,3]}
      %y = mul %d, %halves
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,2]
        %w_1 = constant [0.5, 1, 1.5, 2, 2.5, 3]: float32[2,3]
        %y = dot %x, %w_1 {batch = 0, contract = 1}: float32[N,3]
        output y = %y"
      `);
  });

  it("a scale per column into a product over two axes, with its bias", () => {
    expect(scaled(`input %x: float32[N,4,2,1]
      %w = constant [1, 2, 3, 4]: float32[2,1,2]
      %d = dot %x, %w {batch = 0, contract = 2}
      %k = constant [1, 2]: float32[2]
      %ks = broadcast %k {shape = [N,4,2]}
      %b = add %d, %ks
      %s = constant [2, 3]: float32[2]
      %ss = broadcast %s {shape = [N,4,2]}
      %y = mul %b, %ss
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,4,2,1]
        %w_1 = constant [2, 6, 6, 12]: float32[2,1,2]
        %d_1 = dot %x, %w_1 {batch = 0, contract = 2}: float32[N,4,2]
        %d.bias = constant [2, 6]: float32[1,1,2]
        %broadcast = broadcast %d.bias {shape = [N,4,2]}: float32[N,4,2]
        %y = add %d_1, %broadcast: float32[N,4,2]
        output y = %y"
      `);
  });

  it("two biases into one", () => {
    expect(scaled(`${image} ${perChannel("k", 1, 2)} ${perChannel("l", 3, 4)}
      %a = add %c, %k
      %y = add %l, %a
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,1,3,3]
        %w = constant [1, 2, 3, 4, 5, 6, 7, 8]: float32[2,1,2,2]
        %c = conv %x, %w: float32[N,2,2,2] from "/conv"
        %c.bias = constant [4, 6]: float32[1,2,1,1]
        %broadcast = broadcast %c.bias {shape = [N,2,2,2]}: float32[N,2,2,2]
        %y = add %c, %broadcast: float32[N,2,2,2]
        output y = %y"
      `);
  });
});

describe("leaves alone", () => {
  const unchanged = (lines: string): void => {
    const identity = { name: "identity", run: (g: Parameters<typeof foldScale.run>[0]) => g };
    expect(after(foldScale, lines, ROUNDED)).toBe(after(identity, lines));
  };

  it("a scale that varies over another axis than output channels", () => {
    unchanged(`${image}
      %s.c = constant [1, 2]: float32[2]
      %s = broadcast %s.c {shape = [N,2,2,2]}
      %y = mul %c, %s
      output y = %y`);
  });

  it("such a scale behind a bias, too: distributing it would only add work", () => {
    unchanged(`${image} ${perChannel("k", 1, 2)}
      %s.c = constant [1, 2]: float32[2]
      %s = broadcast %s.c {shape = [N,2,2,2]}
      %b = add %c, %k
      %y = mul %b, %s
      output y = %y`);
  });

  it("weights that another convolution reads", () => {
    unchanged(`${image} ${perChannel("s", 2, 10)}
      input %z: float32[N,1,3,3]
      %other = conv %z, %w {strides=[1,1], dilations=[1,1], low=[0,0], high=[0,0], groups=1}
      %y = mul %c, %s
      output y = %y
      output z = %other`);
  });

  it("a convolution with two readers", () => {
    unchanged(`${image} ${perChannel("s", 2, 10)}
      %y = mul %c, %s
      %z = tanh %c
      output y = %y
      output z = %z`);
  });

  it("a convolution that is an output itself", () => {
    unchanged(`${image} ${perChannel("s", 2, 10)}
      %y = mul %c, %s
      output y = %y
      output c = %c`);
  });

  it("a bias that is read before the scale", () => {
    unchanged(`${image} ${perChannel("k", 1, 2)} ${perChannel("s", 2, 10)}
      %b = add %c, %k
      %y = mul %b, %s
      %z = tanh %b
      output y = %y
      output z = %z`);
  });

  it("a scale that is computed", () => {
    unchanged(`${image}
      input %s: float32[N,2,2,2]
      %y = mul %c, %s
      output y = %y`);
  });

  it("weights that are computed", () => {
    unchanged(`input %x: float32[N,2]
      input %w: float32[2,3]
      %d = dot %x, %w {batch = 0, contract = 1}
      %half = constant 0.5: float32[]
      %halves = broadcast %half {shape = [N,3]}
      %y = mul %d, %halves
      output y = %y`);
  });

  it("a product with batch axes, whose weights have a matrix per batch", () => {
    unchanged(`input %x: float32[2,N,2]
      %w = constant [1, 2, 3, 4]: float32[2,2,1]
      %d = dot %x, %w {batch = 1, contract = 1}
      %s.c = constant [3]: float32[1]
      %s = broadcast %s.c {shape = [2,N,1]}
      %y = mul %d, %s
      output y = %y`);
  });

  it("biases whose sum would be larger than both", () => {
    unchanged(`${image} ${perChannel("k", 1, 2)}
      %l.c = constant [1, 2]: float32[2]
      %l = broadcast %l.c {shape = [N,2,2,2]}
      %a = add %c, %k
      %y = add %a, %l
      output y = %y`);
  });

  it("integers, whose products wrap", () => {
    unchanged(`input %x: int32[N,2]
      %w = constant [1, 2, 3, 4, 5, 6]: int32[2,3]
      %d = dot %x, %w {batch = 0, contract = 1}
      %two = constant 2: int32[]
      %twos = broadcast %two {shape = [N,3]}
      %y = mul %d, %twos
      output y = %y`);
  });

  it("the square of a convolution", () => {
    unchanged(`${image}
      %y = mul %c, %c
      output y = %y`);
  });
});
