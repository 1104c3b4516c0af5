/** One thing that is not as the spec says: a failure, or a warning where the plan is content with less. */
export interface Finding {
  severity: 'fail' | 'warn'
  /** Where that is written, as `SSF 1.0 section 8.1.1`. */
  spec: string
  text: string
}

export interface Result {
  module: string
  outcome: 'pass' | 'warn' | 'fail' | 'skip'
  findings: Finding[]
  /** Of a module that was skipped. */
  why?: string
}

/** What a module says while it runs. */
export interface Notes {
  /** A failure unless it is so. */
  must(holds: boolean, spec: string, text: string): boolean
  /** A warning unless it is so. */
  should(holds: boolean, spec: string, text: string): boolean
  /** A failure after which the module cannot go on. */
  stop(spec: string, text: string): never
  skip(why: string): never
}

/** Ends a module; everything else that is thrown is a failure of the suite itself. */
class Ended extends Error {}

/** The other side could not be reached, or did not answer as HTTP wants it. */
export class Unreachable extends Error {}

/** Runs one module and never rejects: an answer that does not come is a finding like any other. */
export async function runNoted(module: string, work: (notes: Notes) => Promise<void>): Promise<Result> {
  const findings: Finding[] = []
  let why: string | undefined
  const add = (severity: Finding['severity'], spec: string, text: string) => {
    // The same thing seen again, in the next event say, is still one thing.
    if (!findings.some((one) => one.spec === spec && one.text === text)) findings.push({ severity, spec, text })
  }
  const notes: Notes = {
    must(holds, spec, text) {
      if (!holds) add('fail', spec, text)
      return holds
    },
    should(holds, spec, text) {
      if (!holds) add('warn', spec, text)
      return holds
    },
    stop(spec, text) {
      add('fail', spec, text)
      throw new Ended()
    },
    skip(reason) {
      why = reason
      throw new Ended()
    },
  }
  try {
    await work(notes)
  } catch (error) {
    if (error instanceof Unreachable) add('fail', 'transport', error.message)
    else if (!(error instanceof Ended)) add('fail', 'the suite itself', error instanceof Error ? `${error.name}: ${error.message}` : 'unknown')
  }
  const failed = findings.some(({ severity }) => severity === 'fail')
  const outcome = failed ? 'fail' : why !== undefined ? 'skip' : findings.length > 0 ? 'warn' : 'pass'
  return { module, outcome, findings, ...(why !== undefined && { why }) }
}

/** One line a module, and one for each finding. */
export function describe({ module, outcome, findings, why }: Result): string {
  const lines = findings.map(({ severity, spec, text }) => `        ${severity}: ${text} (${spec})`)
  return [`${outcome.padEnd(6)}  ${module}${why === undefined ? '' : `: ${why}`}`, ...lines].join('\n')
}
