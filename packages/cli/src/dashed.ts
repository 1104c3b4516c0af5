import type { Command } from 'commander'

/** One id in 64 begins with a dash, and would be read as an option; no option of ours is as long with one dash. */
const DASHED = /^-\w[\w-]{14,}$/
/** No argument of a process can hold it. */
const MARK = '\0'

/** Marks ids that begin with a dash, so that commander takes them for what they are. */
export const markDashed = (words: readonly string[]): string[] => words.map((word) => (DASHED.test(word) ? MARK + word : word))

/** Takes the marks away before a command sees them. */
export function takeDashed(program: Command): Command {
  return program.hook('preAction', (_, command) => {
    command.processedArgs = command.processedArgs.map(unmark)
    for (const [name, value] of Object.entries(command.opts())) command.setOptionValue(name, unmark(value))
  })
}

function unmark(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmark)
  return typeof value === 'string' && value.startsWith(MARK) ? value.slice(MARK.length) : value
}
