import { CommanderError } from 'commander'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { explain } from './explain.ts'
import { createProgram } from './program.ts'

try {
  await createProgram().parseAsync()
} catch (error) {
  // Commander has said already what is wrong with the command line.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok.code : EXIT.usage.code
  else {
    process.stderr.write(`${explain(error)}\n`)
    process.exitCode = exitCodeOf(error)
  }
}
