/**
 * Writes reference networks in the format of `check-gradients --reference`, from plain loops that
 * share nothing with the project: relaxation layer by layer, exact gradients as finite differences
 * of the converged loss, BP-EP gradients from its definition (Nest & Ernoult, arXiv 2409.03306).
 */
import type { ReferenceFile } from "../../models/referenceNet.ts";
import { normalStream } from "../../models/init.ts";

type Shape = readonly number[];
type Numbers = Float64Array;
interface Weight { readonly shape: Shape; readonly data: Numbers }

/** A linear map from samples of one shape to samples of another; convolutions may be pooled. */
export interface LinkPlan {
  readonly kind: "dense" | "conv";
  readonly to: Shape;
  readonly bias?: boolean;
  readonly kernel?: readonly [number, number];
  readonly padding?: number;
  /** Average pooling behind a convolution: feeds only. */
  readonly pool?: number;
}

export interface OraclePlan {
  readonly what: string;
  readonly activation: "clamp" | "sigmoid" | "tanh" | "linear";
  readonly input: Shape;
  readonly batch: number;
  readonly classes: number;
  readonly gain: number;
  readonly blocks: readonly { readonly feed: LinkPlan; readonly layers: readonly LinkPlan[] }[];
}

const size = (shape: Shape): number => shape.reduce((p, d) => p * d, 1);

const activations: Record<OraclePlan["activation"], (v: number) => number> = {
  clamp: (v) => Math.min(Math.max(v, 0), 1),
  sigmoid: (v) => 1 / (1 + Math.exp(-(4 * v - 2))),
  tanh: (v) => Math.tanh(v),
  linear: (v) => v,
};

/** W and its transpose and gradient, term by term: y[o] += w[k]*x[i] for every triple. */
type Triples = (each: (o: number, k: number, i: number) => void) => void;

class Link {
  readonly plan: LinkPlan;
  readonly from: Shape;
  /** Shape before pooling. */
  readonly wide: Shape;
  readonly weightShape: Shape;
  readonly #triples: Triples;

  constructor(plan: LinkPlan, from: Shape) {
    this.plan = plan;
    this.from = from;
    if (plan.kind === "dense") {
      const [out, inputs] = [size(plan.to), size(from)];
      this.wide = plan.to;
      this.weightShape = [out, inputs];
      this.#triples = (each) => {
        for (let o = 0; o < out; o++) for (let i = 0; i < inputs; i++) each(o, o * inputs + i, i);
      };
      return;
    }
    const [c, h, w] = from as [number, number, number];
    const [kh, kw] = plan.kernel ?? [3, 3];
    const [pad, out] = [plan.padding ?? 0, plan.to[0] as number];
    const [oh, ow] = [h + 2 * pad - kh + 1, w + 2 * pad - kw + 1];
    this.wide = [out, oh, ow];
    this.weightShape = [out, c, kh, kw];
    this.#triples = (each) => {
      for (let o = 0; o < out; o++) for (let y = 0; y < oh; y++) for (let x = 0; x < ow; x++) {
        for (let i = 0; i < c; i++) for (let u = 0; u < kh; u++) for (let v = 0; v < kw; v++) {
          const [sy, sx] = [y + u - pad, x + v - pad];
          if (sy < 0 || sy >= h || sx < 0 || sx >= w) continue;
          each((o * oh + y) * ow + x, ((o * c + i) * kh + u) * kw + v, (i * h + sy) * w + sx);
        }
      }
    };
  }

  along(w: Numbers, x: Numbers): Numbers {
    const y = new Float64Array(size(this.wide));
    this.#triples((o, k, i) => { y[o] = at(y, o) + at(w, k) * at(x, i); });
    return y;
  }

  back(w: Numbers, y: Numbers): Numbers {
    const x = new Float64Array(size(this.from));
    this.#triples((o, k, i) => { x[i] = at(x, i) + at(w, k) * at(y, o); });
    return x;
  }

  /** d<y, W*x>/dW, times `factor`, onto `into`. */
  outer(y: Numbers, x: Numbers, factor: number, into: Numbers): void {
    this.#triples((o, k, i) => { into[k] = at(into, k) + factor * at(y, o) * at(x, i); });
  }

  /** Each pooled element with the wide ones that it is the mean of. */
  pooled(each: (small: number, wide: number, share: number) => void): void {
    const p = this.plan.pool ?? 1;
    const [c, h, w] = [1, 1, ...this.wide].slice(-3) as [number, number, number];
    const [ph, pw] = p === 1 ? [h, w] : [Math.floor(h / p), Math.floor(w / p)];
    for (let i = 0; i < c; i++) for (let y = 0; y < ph * p; y++) for (let x = 0; x < pw * p; x++) {
      each((i * ph + Math.floor(y / p)) * pw + Math.floor(x / p), (i * h + y) * w + x, 1 / (p * p));
    }
  }

  /** Elements of one bias: all of a channel, or one. */
  biasOf(wide: number): number {
    return this.plan.kind === "dense" ? wide
      : Math.floor(wide / ((this.wide[1] as number) * (this.wide[2] as number)));
  }
}

const at = (x: Numbers, i: number): number => x[i] as number;

/** One network with its numbers. */
class Net {
  readonly plan: OraclePlan;
  readonly feeds: Link[] = [];
  readonly layers: Link[][] = [];
  readonly readout: Link;
  readonly names: { readonly link: Link; readonly weight: string; readonly bias: string }[] = [];

  constructor(plan: OraclePlan) {
    this.plan = plan;
    let shape = plan.input;
    const add = (link: Link, weight: string, bias: string): Link => {
      this.names.push({ link, weight, bias });
      return link;
    };
    plan.blocks.forEach(({ feed, layers }, k) => {
      const nested = feed.pool !== undefined ? ".0" : "";
      this.feeds.push(add(new Link(feed, shape), `feed${k}${nested}.weight`,
        `feed${k}${nested}.bias`));
      let before = feed.to;
      this.layers.push(layers.map((layer, l) => {
        const link = add(new Link(layer, before), `block${k}.layer${l + 2}.W`,
          `block${k}.layer${l + 2}.b`);
        before = layer.to;
        return link;
      }));
      shape = before;
    });
    this.readout = add(new Link({ kind: "dense", to: [plan.classes], bias: true }, shape),
      "readout.weight", "readout.bias");
  }
}

type Weights = ReadonlyMap<string, Weight>;

function randomWeights(net: Net, seed: number): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  for (const { link, weight, bias } of net.names) {
    const normal = normalStream(seed, weight);
    const fanIn = size(link.weightShape.slice(1));
    const scale = net.plan.gain / Math.sqrt(fanIn);
    weights.set(weight, { shape: link.weightShape, data: Float64Array.from(
      { length: size(link.weightShape) }, (_, i) => scale * normal(i)) });
    if (link.plan.bias === false) continue;
    const own = normalStream(seed, bias);
    const length = link.wide[0] as number;
    weights.set(bias, { shape: [length], data: Float64Array.from({ length }, (_, i) =>
      0.3 * own(i)) });
  }
  return weights;
}

class Solver {
  readonly net: Net;
  readonly weights: Weights;
  readonly input: readonly Numbers[];
  readonly labels: readonly number[];

  constructor(net: Net, weights: Weights, input: readonly Numbers[], labels: readonly number[]) {
    this.net = net;
    this.weights = weights;
    this.input = input;
    this.labels = labels;
  }

  #w(link: Link): { w: Numbers; b: Numbers | undefined } {
    const named = this.net.names.find((each) => each.link === link);
    return {
      w: (this.weights.get(named?.weight ?? "") as Weight).data,
      b: this.weights.get(named?.bias ?? "")?.data,
    };
  }

  /** W*x + b, pooled. */
  apply(link: Link, x: Numbers): Numbers {
    const { w, b } = this.#w(link);
    const wide = link.along(w, x);
    const small = new Float64Array(size(link.plan.to));
    link.pooled((o, i, share) => {
      small[o] = at(small, o) + share * (at(wide, i) + (b ? at(b, link.biasOf(i)) : 0));
    });
    return small;
  }

  back(link: Link, y: Numbers): Numbers {
    return link.back(this.#w(link).w, this.unpooled(link, y));
  }

  unpooled(link: Link, y: Numbers): Numbers {
    const wide = new Float64Array(size(link.wide));
    link.pooled((o, i, share) => { wide[i] = share * at(y, o); });
    return wide;
  }

  /** States of block k at rest, from `start`; `pull` is subtracted from the last layer's input. */
  relax(
    k: number, a: Numbers, start: readonly Numbers[], pull?: (last: Numbers) => Numbers,
  ): Numbers[] {
    const links = this.net.layers[k] as Link[];
    const states = start.map((s) => Float64Array.from(s));
    const act = activations[this.net.plan.activation];
    for (let sweep = 0; sweep < 3000; sweep++) {
      let moved = 0;
      states.forEach((s, l) => {
        const up = l === 0 ? a : this.apply(links[l - 1] as Link, states[l - 1] as Numbers);
        const above = links[l];
        const down = above ? this.back(above, states[l + 1] as Numbers) : undefined;
        const nudge = above ? undefined : pull?.(s);
        for (let i = 0; i < s.length; i++) {
          const next = act(at(up, i) + (down ? at(down, i) : 0) - (nudge ? at(nudge, i) : 0));
          moved = Math.max(moved, Math.abs(next - at(s, i)));
          s[i] = next;
        }
      });
      if (moved < 1e-16) break;
    }
    return states;
  }

  #zeros(k: number): Numbers[] {
    const { feed, layers } = this.net.plan.blocks[k] as OraclePlan["blocks"][number];
    return [feed, ...layers].map(({ to }) => new Float64Array(size(to)));
  }

  /** Equilibria of one sample: what enters each block, and its states. */
  forward(sample: number): { entering: Numbers[]; states: Numbers[][]; logits: Numbers } {
    let x = this.input[sample] as Numbers;
    const entering: Numbers[] = [];
    const states = this.net.feeds.map((feed, k) => {
      entering.push(x);
      const rest = this.relax(k, this.apply(feed, x), this.#zeros(k));
      x = rest.at(-1) as Numbers;
      return rest;
    });
    return { entering, states, logits: this.apply(this.net.readout, x) };
  }

  loss(): number {
    return this.labels.reduce((sum, label, n) => {
      const { logits } = this.forward(n);
      const most = Math.max(...logits);
      return sum + most - at(logits, label) +
        Math.log(logits.reduce((total, z) => total + Math.exp(z - most), 0));
    }, 0) / this.labels.length;
  }

  /** softmax - one-hot at a last state. */
  costPull(last: Numbers, label: number): Numbers {
    const logits = this.apply(this.net.readout, last);
    const exps = logits.map((z) => Math.exp(z - Math.max(...logits)));
    const total = exps.reduce((x, y) => x + y, 0);
    return exps.map((e, i) => e / total - (i === label ? 1 : 0));
  }

  /** Centered BP-EP gradients of the mean loss. */
  bpEp(beta: number): Map<string, Weight> {
    const { names, feeds, layers, readout } = this.net;
    const gradient = new Map(names.flatMap(({ weight, bias }) => [weight, bias]
      .filter((name) => this.weights.has(name)).map((name) => {
        const { shape } = this.weights.get(name) as Weight;
        return [name, { shape, data: new Float64Array(size(shape)) }] as const;
      })));
    const add = (link: Link, y: Numbers, x: Numbers, factor: number): void => {
      const named = names.find((each) => each.link === link);
      const wide = this.unpooled(link, y);
      link.outer(wide, x, factor, (gradient.get(named?.weight ?? "") as Weight).data);
      const b = gradient.get(named?.bias ?? "")?.data;
      if (b) wide.forEach((v, i) => { b[link.biasOf(i)] = at(b, link.biasOf(i)) + factor * v; });
    };
    const n = this.labels.length;
    this.labels.forEach((label, sample) => {
      const { entering, states } = this.forward(sample);
      let delta: Numbers | undefined;
      for (let k = feeds.length - 1; k >= 0; k--) {
        const feed = feeds[k] as Link;
        const [x, rest] = [entering[k] as Numbers, states[k] as Numbers[]];
        const a = this.apply(feed, x);
        const error = delta;
        const both = [beta, -beta].map((b) => this.relax(k, a, rest, (last) => {
          const pull = error ?? this.back(readout, this.costPull(last, label));
          return pull.map((v) => b * v);
        }));
        both.forEach((s, i) => {
          const factor = (i === 0 ? -1 : 1) / (2 * beta * n);
          (layers[k] as Link[]).forEach((link, l) =>
            add(link, s[l + 1] as Numbers, s[l] as Numbers, factor));
          if (error) return;
          const last = s.at(-1) as Numbers;
          add(readout, this.costPull(last, label), last, 1 / (2 * n));
        });
        const [plus, minus] = both as [Numbers[], Numbers[]];
        const first = minus[0] as Numbers;
        const ga = (plus[0] as Numbers).map((v, i) => -(v - at(first, i)) / (2 * beta));
        add(feed, ga, x, 1 / n);
        delta = this.back(feed, ga);
      }
    });
    return gradient;
  }

  /** Gradients of the mean loss as differences of fourth order. */
  exact(h = 1e-3): Map<string, Weight> {
    return new Map([...this.weights].map(([name, { shape, data }]) => [name, {
      shape, data: data.map((value, i) => {
        const moved = (x: number): number => {
          data[i] = value + x;
          const loss = this.loss();
          data[i] = value;
          return loss;
        };
        return (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      }),
    }]));
  }
}

const written = ({ shape, data }: Weight): { shape: number[]; data: number[] } =>
  ({ shape: [...shape], data: [...data] });
const writtenAll = (all: ReadonlyMap<string, Weight>): Record<string, ReturnType<typeof written>> =>
  Object.fromEntries([...all].map(([name, weight]) => [name, written(weight)]));

/** A reference file of the plan, with BP-EP gradients at these strengths. */
export function referenceOracle(
  plan: OraclePlan, seed: number, betas: readonly string[],
): ReferenceFile {
  const net = new Net(plan);
  const weights = randomWeights(net, seed);
  const normal = normalStream(seed, "input");
  const length = size(plan.input);
  const input = Array.from({ length: plan.batch }, (_, n) =>
    Float64Array.from({ length }, (_each, i) => normal(n * length + i)));
  const labels = input.map((_, n) => n % plan.classes);
  const solver = new Solver(net, weights, input, labels);
  const rest = labels.map((_, n) => solver.forward(n));
  const equilibrium = plan.blocks.map(({ feed, layers }, k) =>
    [feed, ...layers].map(({ to }, l) => ({
      shape: [plan.batch, ...to],
      data: rest.flatMap(({ states }) => [...(states[k]?.[l] as Numbers)]),
    })));
  return {
    what: plan.what, activation: plan.activation, labels, equilibrium,
    input: { shape: [plan.batch, ...plan.input], data: input.flatMap((x) => [...x]) },
    parameters: writtenAll(weights), loss_mean_cross_entropy: solver.loss(),
    exact_gradient: writtenAll(solver.exact()),
    bp_ep_centered: Object.fromEntries(betas.map((beta) =>
      [beta, { gradient: writtenAll(solver.bpEp(Number(beta))) }])),
  };
}
