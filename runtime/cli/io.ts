/**
 * Where a command writes: results to standard output, everything else (logs, progress) to standard
 * error, so that `--json` output stays one document.
 */
import cliProgress from "cli-progress";

export interface Bar {
  /** @param note what to say behind the bar until the next one */
  advance(amount?: number, note?: string): void;
  finish(): void;
}

export interface Io {
  /** True when the person asked for JSON. */
  readonly json: boolean;
  /** One line for a person, on standard error. */
  log(line: string): void;
  /** A progress bar while standard error is a terminal; silent otherwise. */
  progress(label: string, total: number): Bar;
  /** One JSON document or one line of text on standard output. */
  print(text: string): void;
}

const silent: Bar = { advance: () => undefined, finish: () => undefined };

export function terminalIo(json: boolean): Io {
  return {
    json,
    log: (line) => void process.stderr.write(`${line}\n`),
    print: (text) => void process.stdout.write(`${text}\n`),
    progress(label, total) {
      if (process.stderr.isTTY !== true) return silent;
      const bar = new cliProgress.SingleBar(
        {
          stream: process.stderr,
          clearOnComplete: true,
          hideCursor: true,
          format: `${label} [{bar}] {percentage}% {value}/{total} {eta_formatted} left{note}`,
        },
        cliProgress.Presets.shades_classic,
      );
      bar.start(total, 0, { note: "" });
      return {
        advance: (amount = 1, note?: string) =>
          bar.increment(amount, note === undefined ? {} : { note: `, ${note}` }),
        finish: () => bar.stop(),
      };
    },
  };
}
