/**
 * Asks Dawn whether it takes shaders, without running them: module, compilation messages, pipeline.
 * For tests that emit more shaders than could be executed. Deliberately wrong shaders belong in a
 * test file (a process) of their own: Dawn has aborted after some.
 */

/** Shaders compiled side by side: enough to keep the compiler threads busy. */
const atOnce = 16;

/** One entry per shader: what is wrong with it, "line:column: message" each; empty when nothing. */
export async function compileCheck(
  device: GPUDevice, shaders: readonly string[],
): Promise<string[][]> {
  const results: string[][] = [];
  for (let first = 0; first < shaders.length; first += atOnce) {
    const batch = shaders.slice(first, first + atOnce);
    results.push(...await Promise.all(batch.map((code) => complaintsOf(device, code))));
  }
  return results;
}

async function complaintsOf(device: GPUDevice, code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const scope = device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  const complaints = messages.filter(({ type }) => type !== "info")
    .map(({ type, lineNum, linePos, message }) => `${lineNum}:${linePos}: ${type}: ${message}`);
  const error = await scope;
  if (complaints.length > 0 || error) return complaints.length > 0 ? complaints : [`${error}`];
  try {
    await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    return [];
  } catch (refusal) {
    return [refusal instanceof Error ? refusal.message : String(refusal)];
  }
}
