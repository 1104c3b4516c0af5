import type { Command } from 'commander'
import { createProgress } from '../progress.ts'
import { stopOnSignals } from '../stop.ts'

/** Flags that stand for members of the configuration; the password is never one, because every user of a machine can read another's command line. */
const FLAGS = [
  ['--tenant <name>', 'tenant', 'tenant that the people come into'],
  ['--name <name>', 'name', 'what the directory is called here'],
  ['--url <url>', 'url', 'ldaps://host[:port], or ldap:// with --start-tls'],
  ['--start-tls', 'startTls', 'TLS from the first message on'],
  ['--allow-plain', 'allowPlain', 'without TLS, also to other machines: passwords and people go in the clear'],
  ['--ca-file <file>', 'caFile', 'certificates (PEM) to trust'],
  ['--kind <openldap|active-directory>', 'kind', 'what it is (openldap)'],
  ['--bind-dn <dn>', 'bindDn', 'who to sign in as; the password is CAEGIS_LDAP_PASSWORD or in CAEGIS_LDAP_PASSWORD_FILE'],
  ['--base-dn <dn>', 'baseDn', 'below what the people are'],
  ['--filter <filter>', 'filter', 'who of them (RFC 4515)'],
  ['--domain <domain>', 'domain', 'put after user names without one'],
  ['--on-vanish <disable|delete>', 'onVanish', 'what happens to who is gone (disable)'],
] as const

interface Options extends Record<string, unknown> {
  file?: string
  data: string
  interval?: string
  allowMassRemoval?: boolean
  json?: boolean
}

export function addSync(program: Command): void {
  const command = program
    .command('sync')
    .description("Bring people of another directory here, on the server's host.")
    .command('ldap')
    .description(
      'Read an LDAP directory or Active Directory once. "caegis serve --ldap <file>" does it all the time, and tells the guards within the same second.',
    )
    .option('-f, --file <file>', 'the configuration (YAML), see docs/ldap.md')
    .option('--data <folder>', "the server's data folder [CAEGIS_DATA]", process.env.CAEGIS_DATA ?? '.caegis')
    .option('--interval <seconds>', 'go on, and read what has changed so often')
    .option('--allow-mass-removal', 'also when many people are gone at once')
    .option('--json', 'print what was done as JSON')
  for (const [flag, , text] of FLAGS) command.option(flag, text)
  command.action(async (options: Options) => {
    const { createLog, followLdap, openLdapSync, readLdapConfig } = await import('@caegis/server')
    const members = FLAGS.map(([, name]) => [name, options[name]] as const).filter(([, value]) => value !== undefined)
    const given: Record<string, unknown> = Object.fromEntries(members)
    if (options.interval !== undefined) given.interval = Number(options.interval)
    const config = readLdapConfig(options.file, given)
    const log = createLog('warn')
    const { sync, close } = await openLdapSync({ input: { ...process.env, CAEGIS_DATA: options.data, CAEGIS_LDAP: undefined }, config, log })
    const say = (report: object) => {
      const done = Object.entries(report).filter(([, count]) => typeof count === 'number')
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${done.map(([what, count]) => `${what} ${count}`).join(', ')}\n`)
    }
    // By hand everything is read: who is gone is noticed too.
    const first = { full: true, allowMassRemoval: options.allowMassRemoval === true }
    if (options.interval !== undefined) {
      const following = followLdap({ sync, log, first, interval: config.interval, onPass: say })
      stopOnSignals(async () => {
        await following.close()
        await close()
      })
      return
    }
    const progress = createProgress('Reading')
    try {
      const report = await sync.pass({ ...first, onRead: progress.at })
      progress.end()
      say(report)
    } finally {
      progress.end()
      await close()
    }
  })
}
