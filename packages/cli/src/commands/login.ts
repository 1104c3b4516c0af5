import type { Command } from 'commander'
import { line, writeJson } from '../output.ts'

export function addLogin(program: Command): void {
  program
    .command('login')
    .description('Sign in for the other commands, with a code that you enter in a browser.')
    .requiredOption('--tenant <name>', 'the tenant [CAEGIS_TENANT]', process.env.CAEGIS_TENANT)
    .option('--origin <url>', 'the server [CAEGIS_ORIGIN]', process.env.CAEGIS_ORIGIN ?? 'https://localhost:8443')
    .option('--json', 'print the result as JSON')
    .action(async ({ tenant, origin, json }: { tenant: string; origin: string; json?: boolean }) => {
      const { publicClient, saveProfile, scopesOf, withReason } = await import('../session.ts')
      const { trustLocalCa } = await import('../trust.ts')
      trustLocalCa(process.env.CAEGIS_DATA ?? '.caegis')
      const profile = { origin: new URL(origin).origin, tenant }
      const client = publicClient(profile)
      const result = await withReason(profile, () =>
        client.acquireTokenByDeviceCode({
          scopes: scopesOf(profile),
          // Where no code was given there is no message either; MSAL notices at its next request.
          deviceCodeCallback: ({ message }) => void (message && process.stderr.write(`${message}\n`)),
        }),
      )
      // One signed-in account at a time: another one's tokens must not answer for this one. Only now, so that a login that fails takes nothing away.
      const cache = client.getTokenCache()
      for (const account of await cache.getAllAccounts()) {
        const same = account.homeAccountId === result?.account?.homeAccountId && account.environment === result.account.environment
        if (!same) await cache.removeAccount(account)
      }
      saveProfile(profile)
      const username = result?.account?.username
      if (json) writeJson({ origin: profile.origin, tenant, username })
      else line(`Signed in as ${username} (${tenant}).`)
    })
}
