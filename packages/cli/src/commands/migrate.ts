import { type Command, Option } from 'commander'
import { line, note, table, writeJson } from '../output.ts'
import { createProgress } from '../progress.ts'

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description(
      "Move a server's data to the PostgreSQL of DATABASE_URL, on the server's host, while it does not run: everything, or nothing. See docs/postgres.md.",
    )
    .addOption(new Option('--from <store>', 'where the data are: the database in the data folder').choices(['sqlite']).makeOptionMandatory())
    .option('--data <folder>', "the server's data folder [CAEGIS_DATA]", process.env.CAEGIS_DATA ?? '.caegis')
    .option('--json', 'print what was moved as JSON')
    .action(async ({ data, json }: { data: string; json?: boolean }) => {
      const { createLog, moveToPostgres } = await import('@caegis/server')
      const progress = createProgress('Moving')
      // What else a server is told may lie elsewhere by now, and is not needed.
      const { DATABASE_URL, DATABASE_URL_FILE, CAEGIS_KEY_SECRET, CAEGIS_KEY_SECRET_FILE } = process.env
      const input = { DATABASE_URL, DATABASE_URL_FILE, CAEGIS_KEY_SECRET, CAEGIS_KEY_SECRET_FILE, CAEGIS_DATA: data }
      const moved = await moveToPostgres({ input, log: createLog('error'), onProgress: progress.at }).finally(progress.end)
      const { tables, replaced, to, mark } = moved
      const rows = Object.values(tables).reduce((sum, one) => sum + one, 0)
      if (json) writeJson({ to, rows, tables, replaced, mark })
      else {
        const told = Object.entries(tables).filter(([, count]) => count > 0)
        table({ headings: ['TABLE', 'ROWS'], rows: told.map(([name, count]) => [name, String(count)]) })
        line(`${rows} rows were moved to ${to}: each that was there, by a count of both sides.`)
        if (replaced > 0) line(`${replaced} texts held NUL characters, which became U+FFFD.`)
      }
      note(`Start the server with DATABASE_URL and the same key secret. Without it, ${mark} keeps anybody from serving the old data.`)
    })
}
