/**
 * WGSL to pipelines: compiles modules, once per text, and says what is wrong with one in full: the
 * compiler's message, line and column, and the whole text with line numbers.
 */
import { InternalError, UserError } from "../../../compiler/errors.ts";

export interface Shader {
  readonly name: string;
  readonly source: string;
  readonly entryPoint: string;
  /** Kinds of the bindings of group 0, in order. */
  readonly bindings: readonly GPUBufferBindingType[];
  /** The text came from outside (an artifact), so that a fault in it may not be ours. */
  readonly isGiven: boolean;
}

export interface CompiledShader {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class ShaderCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #compiled = new Map<string, Promise<CompiledShader>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * Pipelines of the shaders, compiled side by side; a text that was seen before costs nothing.
   * @throws UserError for a given text that does not compile, InternalError for one of ours
   */
  async compile(shaders: readonly Shader[]): Promise<CompiledShader[]> {
    const results = await Promise.allSettled(shaders.map((shader) => {
      const known = this.#compiled.get(shader.source);
      if (known) return known;
      const made = this.#compile(shader);
      this.#compiled.set(shader.source, made);
      return made;
    }));
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }

  async #compile(shader: Shader): Promise<CompiledShader> {
    const { name, source, entryPoint, bindings } = shader;
    const device = this.#device;
    const layout = this.#layout(bindings);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: name, code: source });
    const [error, info] = await Promise.all([device.popErrorScope(), module.getCompilationInfo()]);
    const complaints = info.messages.filter(({ type }) => type === "error")
      .map(({ lineNum, linePos, message }) => `${lineNum}:${linePos}: ${message}`);
    if (complaints.length > 0) throw fault(shader, complaints.join("\n"));
    if (error) throw fault(shader, error.message);
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint },
      });
      return { pipeline, layout };
    } catch (refusal) {
      throw fault(shader, refusal instanceof Error ? refusal.message : String(refusal));
    }
  }

  #layout(bindings: readonly GPUBufferBindingType[]): GPUBindGroupLayout {
    const key = bindings.join(" ");
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        label: key,
        entries: bindings.map((type, binding) =>
          ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

function fault({ name, source, isGiven }: Shader, complaint: string): Error {
  const lines = source.trimEnd().split("\n");
  const listing = lines.map((line, i) => `${String(i + 1).padStart(4)}  ${line}`).join("\n");
  const message = `shader of kernel ${name} does not compile\n${complaint}\n\n${listing}\n`;
  return isGiven
    ? new UserError(message, { remedy: "Compile the artifact again, or undo the edit." })
    : new InternalError(message);
}
