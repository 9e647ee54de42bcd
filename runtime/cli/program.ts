/**
 * Turns command specifications into a commander program, runs one, and maps what it throws to exit
 * codes: 1 when the input is wrong, 2 when crosstie is.
 */
import { Command, CommanderError, Option } from "commander";
import { UserError } from "../../compiler/errors.ts";
import { Options, type CommandSpec } from "./command.ts";
import { terminalIo, type Io } from "./io.ts";

export interface Outcome {
  readonly code: 0 | 1 | 2;
}

/** Parses `argv` (without node and script) and runs the command it names. */
export async function runProgram(
  specs: readonly CommandSpec[],
  version: string,
  argv: readonly string[],
): Promise<Outcome> {
  const program = new Command("crosstie")
    .description("Compiles ONNX models onto digital segments tied to analog energy-based blocks.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("Use --help to see what is expected.");
  for (const spec of specs) program.addCommand(commandFor(spec, print));
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return { code: 0 };
    }
    await program.parseAsync([...argv], { from: "user" });
    return { code: 0 };
  } catch (error) {
    return { code: report(error) };
  }
}

/** Prints a command's result as the person asked for it. */
function print(spec: CommandSpec, result: unknown, io: Io): void {
  if (result === undefined) return;
  io.print(io.json ? JSON.stringify(result) : spec.render(result as never));
}

/** Runs one command on words as a person would type them, and gives its result unprinted. */
export async function invoke(spec: CommandSpec, words: readonly string[]): Promise<unknown> {
  let result: unknown;
  const command = commandFor(spec, (_, value) => {
    result = value;
  });
  await command.parseAsync([...words], { from: "user" });
  return result;
}

function commandFor(
  spec: CommandSpec,
  use: (spec: CommandSpec, result: unknown, io: Io) => void,
): Command {
  const command = new Command(spec.name)
    .description(spec.summary)
    .exitOverride()
    .showHelpAfterError(`Use crosstie ${spec.name} --help to see what is expected.`);
  for (const { name, description } of spec.arguments ?? []) command.argument(name, description);
  for (const option of spec.options ?? []) {
    const made = new Option(option.flags, option.description);
    if (option.default !== undefined) made.default(option.default);
    if (option.choices) made.choices(option.choices);
    if (option.repeatable) {
      made.default([]).argParser((value: string, before: string[]) => [...before, value]);
    }
    command.addOption(made);
  }
  command.option("--json", "print one JSON document on standard output");
  if (!(spec.options ?? []).some((o) => o.flags.includes("--seed"))) {
    command.option("--seed <n>", "seed of everything random", "1");
  }
  command.addHelpText("after", `\nExample:\n  $ ${spec.example.replaceAll("\n", "\n  ")}`);
  command.action(async (...given: unknown[]) => {
    // commander passes the arguments, then the options, then the command.
    const args = given.slice(0, -2) as (string | undefined)[];
    const options = new Options(given.at(-2) as Record<string, unknown>);
    const io = terminalIo(options.flag("json"));
    use(spec, await spec.run({ args, options, io }), io);
  });
  return command;
}

/** Prints an error where a person looks for it and says what to exit with. */
export function report(error: unknown): 0 | 1 | 2 {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
  if (error instanceof UserError) {
    process.stderr.write(`error: ${error.message}\n`);
    return 1;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const message = text.replace(/^(\w*Error: )?(internal: )?/, "");
  process.stderr.write(`internal: ${message}\n`);
  return 2;
}
