import { terminalOf } from './terminal.ts'

export interface Progress {
  /** @param total unknown when absent */
  at(done: number, total?: number): void
  /** Takes the bar away. */
  end(): void
}

const BAR = 24

/** The line that is drawn. */
export function progressLine(label: string, done: number, total: number | undefined, width: number): string {
  const counted = total === undefined ? `${done}` : `${done} of ${total}`
  const filled = total === undefined || total === 0 ? 0 : Math.min(BAR, Math.round((done / total) * BAR))
  const bar = total === undefined ? '' : `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} `
  const line = `${label} ${bar}${counted}`
  return line.length < width ? line : `${label} ${counted}`.slice(0, Math.max(0, width - 1))
}

/** How far long work has come, on standard error of a terminal; elsewhere nothing is said. */
export function createProgress(label: string, stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { at() {}, end() {} }
  const { width = 80 } = terminalOf(stream, process.env)
  let shown = ''
  return {
    at(done, total) {
      const line = progressLine(label, done, total, width)
      if (line !== shown) stream.write(`\r\u001b[2K${line}`)
      shown = line
    },
    end() {
      if (shown !== '') stream.write('\r\u001b[2K')
      shown = ''
    },
  }
}
