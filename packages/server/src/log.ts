/** Structured log, one JSON object a line. Fields never hold secrets, tokens or passwords: those are not logged at any level. */
export interface Log {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LEVELS)[number] | 'silent'

export function createLog(
  first: LogLevel,
  write: (line: string) => void = (line) => process.stderr.write(line),
): Log & { setLevel(level: LogLevel): void } {
  let level = first
  const at =
    (own: (typeof LEVELS)[number]) =>
    (message: string, fields: object = {}) => {
      if (level === 'silent' || LEVELS.indexOf(own) < LEVELS.indexOf(level)) return
      write(`${JSON.stringify({ time: new Date().toISOString(), level: own, message, ...fields })}\n`)
    }
  return {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    setLevel(next) {
      level = next
    },
  }
}
