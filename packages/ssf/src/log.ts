/** Where a machine says what it does; nothing secret ever goes there. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

const silent = () => {}

export const SILENT: Log = { debug: silent, info: silent, warn: silent, error: silent }
