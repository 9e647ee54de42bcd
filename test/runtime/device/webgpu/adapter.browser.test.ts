import { expect, test } from "vitest";
import { runInChromium } from "../../../support/chromium.ts";
import { describeNeeding } from "../../../support/notRun.ts";
import { needProgram } from "../../../support/programs.ts";

describeNeeding(needProgram("chromium"), "openWebGpu in a browser", (chromium) => {
  test("opens the page's adapter and reports that it is software", async () => {
    const source = `
      import { openWebGpu } from "../../../../runtime/device/webgpu/adapter.ts";
      export default async () => {
        const opened = await openWebGpu();
        if ("unavailable" in opened) return opened;
        const { info, device } = opened;
        const size = device.limits.maxBufferSize;
        device.destroy();
        return { ...info, size };
      };`;
    const info = await runInChromium(chromium(), source, import.meta.dirname);
    expect(info).toMatchObject({ architecture: "swiftshader", isSoftware: true });
  });

  test("an error in the page is an error here", async () => {
    const source = "export default async () => { throw new Error('seven'); };";
    await expect(runInChromium(chromium(), source, import.meta.dirname)).rejects.toThrow("seven");
  });
});
