import type { Command } from 'commander'
import { line, note, writeJson } from '../output.ts'

const DATA = ['--data <folder>', "the server's data folder [CAEGIS_DATA]", process.env.CAEGIS_DATA ?? '.caegis'] as const

export function addBackup(program: Command): void {
  program
    .command('backup <file>')
    .description("Copy the database of a server's data folder, while it runs or not. See docs/operate.md.")
    .option(...DATA)
    .option('--json', 'print what was made as JSON')
    .action(async (file: string, { data, json }: { data: string; json?: boolean }) => {
      const { backUp } = await import('@caegis/server')
      const made = backUp({ data, to: file })
      if (json) writeJson(made)
      else line(`${made.file}: ${(made.bytes / 1e6).toFixed(1)} MB, read again and found whole.`)
      note('The key secret is not in it, and nothing opens the signing keys without: keep it elsewhere.')
    })
  program
    .command('restore [file]')
    .description(
      'Make a backup the data of a server that does not run, or say that its PostgreSQL was restored: everybody signs in again. See docs/operate.md.',
    )
    .option(...DATA)
    .option('--replace', 'put aside the data that are there')
    .option('--keep-tokens', 'leave sessions and tokens alone: only if nothing was taken back since the backup')
    .option('--json', 'print what was done as JSON')
    .action(
      async (
        file: string | undefined,
        { data, replace, keepTokens, json }: { data: string } & Record<'replace' | 'keepTokens' | 'json', true | undefined>,
      ) => {
        const { createLog, restore } = await import('@caegis/server')
        const { DATABASE_URL, DATABASE_URL_FILE, CAEGIS_KEY_SECRET, CAEGIS_KEY_SECRET_FILE } = process.env
        const input = { DATABASE_URL, DATABASE_URL_FILE, CAEGIS_KEY_SECRET, CAEGIS_KEY_SECRET_FILE, CAEGIS_DATA: data }
        const options = { replace: replace === true, keepTokens: keepTokens === true }
        const { tenants, aside } = await restore({ input, from: file, ...options, log: createLog('error') })
        if (json) writeJson({ tenants, aside: aside ?? null })
        else line(`${tenants.join(', ') || 'no tenant'}: restored${options.keepTokens ? '' : '; everybody signs in again'}.`)
        if (aside !== undefined) note(`What was there before is ${aside}.`)
      },
    )
}
