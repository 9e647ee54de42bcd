/**
 * A crew of worker threads that share out one kernel's work items at a time, over shared memory.
 * The caller's thread works along. Node and browsers; no messages while kernels run: workers watch
 * a few shared words, spin for a moment and then sleep on them, as kernels come in bursts.
 *
 * The workers' program is one function that refers to nothing outside itself: it is sent as text,
 * because a worker file would be at another place in the sources, in the built program and in a
 * page.
 */
import { InternalError } from "../../../compiler/errors.ts";

/** Shared words, by what they mean. */
const words = {
  /** Grows by one with every order. */
  turn: 0,
  /** Workers that have not finished the order. */
  busy: 1,
  /** Next item that nobody has taken. */
  next: 2,
  work: 3,
  /** Items taken at a time. */
  share: 4,
  /** Function to call, by the order in which they were sent; -1: look at your messages. */
  kernel: 5,
  scratch: 6,
  /** Bytes of scratch memory from one thread to the next. */
  scratchPitch: 7,
  /** 1 once a worker failed. */
  failed: 8,
  argumentCount: 9,
  /** Arguments before scratch, begin and end. */
  arguments: 10,
} as const;
const MOST_ARGUMENTS = 256;
const LOOK_AT_MESSAGES = -1;

/** What a worker is sent. */
type Message =
  | { kind: "start"; memory: WebAssembly.Memory; control: SharedArrayBuffer; member: number }
  | { kind: "module"; module: WebAssembly.Module; names: readonly string[] };

/** The program of a worker. Self-contained: its text runs elsewhere. */
function serve(
  at: typeof words, receive: (handle: (message: Message) => void) => void,
  answer: (text: string) => void,
): void {
  const functions: ((...args: number[]) => void)[] = [];
  let memory = undefined as unknown as WebAssembly.Memory;
  let control: Int32Array<ArrayBufferLike> = new Int32Array(0);
  let member = 0;
  let seen = 0;

  const waitForOrder = (): void => {
    for (let spin = 0; spin < 20000; spin++) {
      if (Atomics.load(control, at.turn) !== seen) break;
    }
    while (Atomics.load(control, at.turn) === seen) Atomics.wait(control, at.turn, seen);
    seen = Atomics.load(control, at.turn);
  };
  const workOff = (): void => {
    const run = functions[control[at.kernel] as number];
    const args = control.slice(at.arguments, at.arguments + (control[at.argumentCount] as number));
    const scratch = (control[at.scratch] as number) + member * (control[at.scratchPitch] as number);
    const [work, share] = [control[at.work] as number, control[at.share] as number];
    try {
      for (;;) {
        const begin = Atomics.add(control, at.next, share);
        if (begin >= work) break;
        (run as (...args: number[]) => void)(...args, scratch, begin, begin + share);
      }
    } catch {
      Atomics.store(control, at.failed, 1);
    }
  };
  const followOrders = (): void => {
    for (;;) {
      waitForOrder();
      const isCalledAway = control[at.kernel] === -1;
      if (!isCalledAway) workOff();
      if (Atomics.sub(control, at.busy, 1) === 1) Atomics.notify(control, at.busy);
      if (isCalledAway) return;
    }
  };

  receive((message) => {
    if (message.kind === "start") {
      memory = message.memory;
      control = new Int32Array(message.control);
      member = message.member;
      seen = Atomics.load(control, at.turn);
    } else {
      const { exports } = new WebAssembly.Instance(message.module, { env: { memory } });
      for (const name of message.names) {
        functions.push(exports[name] as (...args: number[]) => void);
      }
    }
    answer("ready");
    followOrders();
  });
}

/** The part of Node's and browsers' workers that is used. */
interface Member {
  post(message: Message): void;
  /** The next answer; keeps the process alive only while it is awaited. */
  answered(): Promise<void>;
  stop(): void;
}

/** Node's module of that name, asked for so that a bundler for pages sees no import. */
const nodeThreads = (): typeof import("node:worker_threads") | undefined =>
  typeof process === "undefined" ? undefined
    : process.getBuiltinModule?.("node:worker_threads");

/** Whether threads can share memory here. */
export const canShareMemory = (): boolean =>
  typeof SharedArrayBuffer !== "undefined" && (nodeThreads() !== undefined ||
    (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true);

function hire(): Member {
  const program = `(${serve.toString()})`;
  const table = JSON.stringify(words);
  const node = nodeThreads();
  if (node) {
    const { Worker } = node;
    const source = `const { parentPort: port } = process.getBuiltinModule("node:worker_threads");
${program}(${table}, (f) => port.on("message", f), (text) => port.postMessage(text));`;
    const worker = new Worker(source, { eval: true });
    worker.unref();
    return {
      post: (message) => worker.postMessage(message),
      answered: () => new Promise((resolve, reject) => {
        worker.ref();
        const release = (): void => {
          worker.unref();
          worker.off("message", succeed);
          worker.off("error", fail);
        };
        const succeed = (): void => {
          release();
          resolve();
        };
        const fail = (error: Error): void => {
          release();
          reject(error);
        };
        worker.on("message", succeed);
        worker.on("error", fail);
      }),
      stop: () => void worker.terminate(),
    };
  }
  const source = `${program}(${table}, (f) => { onmessage = (e) => f(e.data); }, postMessage);`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  return {
    post: (message) => worker.postMessage(message),
    answered: () => new Promise((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(new InternalError(`worker thread: ${event.message}`));
    }),
    stop: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** A function on the caller's thread and its number in every worker. */
export interface SharedKernel {
  readonly number: number;
  readonly run: (...args: number[]) => void;
}

export class Crew {
  readonly #members: readonly Member[];
  readonly #control: Int32Array<SharedArrayBuffer>;
  #functions = 0;
  #areWatching = true;

  private constructor(members: readonly Member[], control: Int32Array<SharedArrayBuffer>) {
    this.#members = members;
    this.#control = control;
  }

  /** Starts `threads` - 1 workers on a shared memory. */
  static async hire(threads: number, memory: WebAssembly.Memory): Promise<Crew> {
    const control = new SharedArrayBuffer(4 * (words.arguments + MOST_ARGUMENTS));
    const members = Array.from({ length: threads - 1 }, hire);
    members.forEach((member, i) =>
      member.post({ kind: "start", memory, control, member: i + 1 }));
    await Promise.all(members.map((member) => member.answered()));
    return new Crew(members, new Int32Array(control));
  }

  get threads(): number {
    return this.#members.length + 1;
  }

  /** Makes a module's functions known to all workers, numbered in the order of `names`. */
  async learn(module: WebAssembly.Module, names: readonly string[]): Promise<number> {
    const first = this.#functions;
    this.#functions += names.length;
    this.#order(LOOK_AT_MESSAGES);
    this.#awaitAll();
    for (const member of this.#members) member.post({ kind: "module", module, names });
    await Promise.all(this.#members.map((member) => member.answered()));
    return first;
  }

  /**
   * Runs all `work` items on all threads, and returns when they are done.
   * @param args what comes before scratch, begin and end
   * @param scratch address of `threads` stretches of scratch memory, `pitch` bytes apart
   */
  run(
    { number, run }: SharedKernel, args: readonly number[], scratch: number, pitch: number,
    work: number,
  ): void {
    const control = this.#control;
    if (args.length > MOST_ARGUMENTS) throw new InternalError(`${args.length} kernel arguments`);
    // Several shares per thread even out disturbances; a multiple of 64 elements keeps threads off
    // each other's cache lines where items are elements.
    const even = Math.ceil(work / (4 * this.threads));
    const share = even < 256 ? Math.max(even, 1) : Math.ceil(even / 64) * 64;
    control[words.next] = 0;
    control[words.work] = work;
    control[words.share] = share;
    control[words.scratch] = scratch;
    control[words.scratchPitch] = pitch;
    control[words.argumentCount] = args.length;
    control.set(args, words.arguments);
    this.#order(number);
    for (;;) {
      const begin = Atomics.add(control, words.next, share);
      if (begin >= work) break;
      run(...args, scratch, begin, begin + share);
    }
    this.#awaitAll();
    if (Atomics.load(control, words.failed) !== 0) {
      throw new InternalError("a kernel failed in a worker thread");
    }
  }

  #order(kernel: number): void {
    this.#control[words.kernel] = kernel;
    Atomics.store(this.#control, words.busy, this.#members.length);
    Atomics.add(this.#control, words.turn, 1);
    Atomics.notify(this.#control, words.turn);
  }

  #awaitAll(): void {
    for (let spin = 0; ; spin++) {
      const busy = Atomics.load(this.#control, words.busy);
      if (busy === 0) return;
      // A page's main thread may not sleep, so there it goes on spinning.
      if (spin > 20000 && this.#areWatching) {
        try {
          Atomics.wait(this.#control, words.busy, busy, 10);
        } catch {
          this.#areWatching = false;
        }
      }
    }
  }

  dismiss(): void {
    for (const member of this.#members) member.stop();
  }
}
