import { type CaseResult, type Mistake, runCases } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { CLI_ERRORS } from '../errors.ts'
import { pathOf, readYamlFile } from '../yaml-file.ts'

/** Characters. */
const LARGEST = 32 * 1_048_576

/** `policy test`: says whether policies decide as their cases want it. Nothing but the files is needed. */
export function addPolicyTest(policy: Command): void {
  policy
    .command('test <cases...>')
    .description('Run cases (YAML): what policies of theirs shall decide. Ends with 1 when one of them does not.')
    .option('--json', 'print the result as JSON')
    .action((files: string[], { json }: { json?: boolean }) => {
      const results = files.map((file) => ({ file, results: runFile(file) }))
      const all = results.flatMap((one) => one.results)
      const failed = all.filter(({ passed }) => !passed)
      if (failed.length > 0) process.exitCode = 1
      if (json) {
        const plain = results.map(({ file, results: of }) => ({ file, cases: of.map(({ decision: _, ...one }) => one) }))
        return void process.stdout.write(`${JSON.stringify({ passed: all.length - failed.length, failed: failed.length, files: plain })}\n`)
      }
      for (const { file, results: of } of results) for (const one of of) if (!one.passed) process.stdout.write(told(file, one))
      process.stdout.write(`${all.length - failed.length} passed, ${failed.length} failed\n`)
    })
}

/** @throws CaegisError `invalid_cases` with the line of each mistake */
function runFile(file: string): CaseResult[] {
  const { value, lineOf } = readYamlFile(file, { most: LARGEST, fail: (mistakes) => invalid(file, mistakes) })
  try {
    return runCases(value)
  } catch (error) {
    if (!(error instanceof CaegisError) || !Array.isArray(error.detail)) throw error
    const mistakes = error.detail as Mistake[]
    throw invalid(
      file,
      mistakes.map(({ path, message }) => `line ${lineOf(pathOf(path))}: ${path} ${message}`),
    )
  }
}

function invalid(file: string, mistakes: readonly string[]): CaegisError {
  return new CaegisError('invalid_cases', `${CLI_ERRORS.invalid_cases}\n${mistakes.map((one) => `  ${file} ${one}`).join('\n')}`)
}

function told(file: string, { name, spec, differences }: CaseResult): string {
  const rows = differences.map(({ path, want, got }) => `    ${path}: wanted ${JSON.stringify(want)}, got ${JSON.stringify(got)}\n`)
  return `${file}: ${name}${spec === null ? '' : ` (${spec})`}\n${rows.join('')}`
}
