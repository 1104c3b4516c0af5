import { CommanderError } from 'commander'
import { markDashed } from './dashed.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { explain } from './explain.ts'
import { createProgram } from './program.ts'

/** Milliseconds. */
const LINGER = 1000

// `| head` has read enough: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

try {
  await createProgram().parseAsync(markDashed(process.argv))
} catch (error) {
  // Commander has said already what is wrong with the command line.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok.code : EXIT.usage.code
  else {
    process.stderr.write(`${explain(error)}\n`)
    process.exitCode = exitCodeOf(error)
    // What was begun before it failed, as a server's connections to PostgreSQL, must not keep a process that serves nobody.
    setTimeout(() => process.exit(), LINGER).unref()
  }
}
