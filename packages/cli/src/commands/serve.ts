import { readFileSync } from 'node:fs'
import type { Server } from '@caegis/server'
import type { Command } from 'commander'
import { readConfigFile } from '../config-file.ts'
import { createProgress } from '../progress.ts'
import { giveUp, stopOnSignals } from '../stop.ts'

/** Flags that stand for settings. */
const FLAGS = [
  ['--origin <url>', 'CAEGIS_ORIGIN', 'how clients reach the server, https://host[:port]'],
  ['--port <number>', 'CAEGIS_PORT', 'port to listen on (8443)'],
  ['--host <address>', 'CAEGIS_HOST', 'address to listen on (127.0.0.1 and ::1)'],
  ['--data <folder>', 'CAEGIS_DATA', 'where the data lies (./.caegis)'],
  ['--tls <on|off>', 'CAEGIS_TLS', 'off only behind a trusted proxy that ends TLS'],
  ['--tls-cert <file>', 'CAEGIS_TLS_CERT', 'certificate chain (PEM)'],
  ['--tls-key <file>', 'CAEGIS_TLS_KEY', 'private key (PEM)'],
  ['--trusted-proxies <ranges>', 'CAEGIS_TRUSTED_PROXIES', 'peers whose X-Forwarded-For is believed'],
  ['--dial-allow <hosts>', 'CAEGIS_DIAL_ALLOW', 'private hosts that push deliveries may go to'],
  ['--key-rotation <days>', 'CAEGIS_KEY_ROTATION', 'after how long signing keys are replaced (90)'],
  ['--loop-limit <times>', 'CAEGIS_LOOP_LIMIT', 'how often a client may ask for the same in one session within five minutes (100)'],
  ['--retention <hours>', 'CAEGIS_RETENTION', 'how long the log keeps an event (168)'],
  ['--log-retention <days>', 'CAEGIS_LOG_RETENTION', 'how long the sign-in log and the audit log keep a record (30)'],
  [
    '--ssf-legacy-draft <on|off>',
    'CAEGIS_SSF_LEGACY_DRAFT',
    "SETs as in SSF's implementer's draft too, for receivers such as Apple Business Manager",
  ],
  ['--country-db <file>', 'CAEGIS_COUNTRY_DB', 'a database of countries or cities (MMDB), for policies that name some and for impossible travel'],
  ['--leaked-passwords <file>', 'CAEGIS_LEAKED_PASSWORDS', 'a sorted list of SHA-1 digests of leaked passwords, as Have I Been Pwned has it'],
  ['--risky-addresses <file>', 'CAEGIS_RISKY_ADDRESSES', 'a file of addresses and ranges from which sign-ins are risky, one a line'],
  ['--database-connections <n>', 'CAEGIS_DATABASE_CONNECTIONS', 'most connections of this process to the PostgreSQL of DATABASE_URL (default 20)'],
  ['--nats-url <urls>', 'NATS_URL', 'a NATS broker (tls://host:4222) that brings revocations to guard fleets'],
  ['--nats-user <name>', 'NATS_USER', 'who to sign in as there; the password is NATS_PASSWORD or in NATS_PASSWORD_FILE'],
  ['--ldap <file>', 'CAEGIS_LDAP', 'an LDAP directory (YAML) whose people come and go here'],
  ['--drain <seconds>', 'CAEGIS_DRAIN', 'how long a process that ends is not ready before it stops listening, so that a balancer notices (0)'],
  ['--log <level>', 'CAEGIS_LOG', 'debug, info, warn, error or silent'],
] as const

/** What is no flag. Each is also read from the file that the same name with `_FILE` names. */
const SECRETS = [
  ['CAEGIS_KEY_SECRET', 'seals private keys, 32 characters or more; without it, a file in the data folder does'],
  ['CAEGIS_METRICS_TOKEN', 'whoever sends it as a bearer token may read /metrics from elsewhere; 16 characters or more'],
  ['DATABASE_URL', 'a PostgreSQL to store in, instead of the data folder'],
  ['CAEGIS_LDAP_PASSWORD', 'what to sign in with at the LDAP server'],
  ['NATS_PASSWORD', 'of NATS_USER'],
  ['NATS_TOKEN', 'a token for the broker, in place of user and password'],
  ['NATS_CREDS', 'what a .creds file holds, in place of both'],
] as const

const secretsHelp = () => {
  const width = Math.max(...SECRETS.map(([name]) => name.length))
  return `
Secrets are settings of the environment and of --config only, because every user of a machine can read another's command line:
${SECRETS.map(([name, text]) => `  ${name.padEnd(width)}  ${text}\n  ${''.padEnd(width)}  [or a file: ${name}_FILE]`).join('\n')}`
}

export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Run the server.')
    .option('--config <file>', 'settings, NAME=value a line, under what the environment and flags say; read again on SIGHUP')
    .option('--import <file>', 'make a tenant what this file (YAML) says, at each start')
  for (const [flag, name, text] of FLAGS) command.option(flag, `${text} [${name}]`)
  command.addHelpText('after', secretsHelp())
  command.action(async (options: Record<string, string | undefined>) => {
    const { createServer, readSettings, SETTING_NAMES } = await import('@caegis/server')
    const read = () => {
      const input: Record<string, string | undefined> = {
        ...(options.config === undefined ? {} : readConfigFile(options.config, SETTING_NAMES)),
        ...process.env,
      }
      for (const [flag, name] of FLAGS) {
        const key = flag.slice(2, flag.indexOf(' ')).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
        if (options[key] !== undefined) input[name] = options[key]
      }
      return readSettings(input)
    }
    const settings = read()
    const server = await createServer({ settings })
    try {
      if (options.import !== undefined) await importTenant(server, options.import)
      await server.listen()
    } catch (error) {
      // Other servers would wait seconds for the work that this one has taken on.
      await giveUp(() => server.close())
      throw error
    }
    process.on('SIGHUP', () => {
      try {
        server.reload(read())
      } catch (error) {
        // Of settings, the message names what is wrong and never what was given.
        process.stderr.write(
          `The settings were not reloaded, those of before hold: ${error instanceof Error ? error.message : 'they cannot be read'}\n`,
        )
      }
    })
    // Requests under way have ten seconds of their own.
    stopOnSignals(() => server.close(), 1000 * (settings.drain + 15))
    // The server's log says it too; no choice of what to log may hide it.
    if (settings.keySecret.from === 'file' && (settings.logLevel === 'error' || settings.logLevel === 'silent'))
      process.stderr.write('Private keys are sealed with a secret that lies in the data folder: set CAEGIS_KEY_SECRET to keep it elsewhere.\n')
    if (await isEmpty(server))
      process.stderr.write(
        `There is no tenant yet, and so nothing to sign in to. On this host: caegis tenant create <name>${settings.database ? '' : ` --data ${settings.data}`}; or start with --import <file>.\n`,
      )
    if (server.caFile)
      process.stderr.write(
        `Certificates are signed by the local authority ${server.caFile}: trust it in your browser, or with NODE_EXTRA_CA_CERTS.\n`,
      )
  })
}

async function isEmpty({ store }: Server): Promise<boolean> {
  return (await store.db.selectFrom('tenants').select('id').limit(1).executeTakeFirst()) === undefined
}

async function importTenant(server: Server, file: string): Promise<void> {
  const progress = createProgress('Importing')
  try {
    await server.apply(readFileSync(file, 'utf8'), progress.at)
  } finally {
    progress.end()
  }
}
