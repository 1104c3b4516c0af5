import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { compileRanges } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { HORIZON, LIFETIMES, type Lifetimes } from './access/lifetime.ts'
import { makeDataFolder } from './data-folder.ts'
import { type DatabaseSettings, readDatabaseUrl } from './database-url.ts'
import { type LdapConfig, readLdapConfig } from './ldap/config.ts'
import type { LogLevel } from './log.ts'

/** Everything that the server can be told; read once at the door and then frozen. */
export interface Settings {
  /** `https://host[:port]`, as clients see it. */
  origin: string
  port: number
  /** What to listen on. */
  host: string
  data: string
  tls: { kind: 'own' } | { kind: 'files'; cert: string; key: string } | { kind: 'off' }
  trustedProxies: string[]
  /** Host names that URLs named by others may lead to although they resolve to private addresses. */
  dialAllow: string[]
  keySecret: { value: string; from: 'environment' | 'file' }
  logLevel: LogLevel
  lifetimes: Lifetimes
  /** Seconds after which a guard that was not heard of counts as silent. */
  maxStaleness: number
  /** Seconds for which the log keeps an event. */
  retention: number
  /** Seconds for which the sign-in log and the audit log keep a record. */
  logRetention: number
  /** Seconds after which a signing key is replaced. */
  keyRotation: number
  /** Seconds for which a process that ends says so before it stops listening. */
  drain: number
  /** Polls that a process holds at a time. */
  heldPolls: number
  /** Requests of each kind that a process works on at a time, where the usual bound does not fit; see life/load.ts. */
  bounds: Readonly<Record<string, number>>
  /** Who knows it may read the figures of the process; without one, only programs on the same machine may. */
  metricsToken?: string
  /** How often one client may ask for the same in one browser session within five minutes. */
  loopLimit: number
  /** SETs and metadata also in the form of the implementer's draft of SSF 1.0, for receivers that know no other. */
  legacyDraft: boolean
  /** Path of an MMDB file by which the country of an address is known. */
  countryDb?: string
  /** Path of a sorted list of SHA-1 digests of leaked passwords. */
  leakedPasswords?: string
  /** Path of a list of addresses and ranges. */
  riskyAddresses?: string
  /** A PostgreSQL to store in, instead of the data folder. */
  database?: DatabaseSettings
  /** A NATS broker that brings revocations to guard fleets. */
  nats?: NatsSettings
  /** An LDAP directory that people come from. */
  ldap?: { config: LdapConfig; password?: string }
}

/** How to reach a NATS broker; the secrets come from the environment or from files only. */
export interface NatsSettings {
  servers: string[]
  /** Nothing is sent over a connection without TLS. */
  tls: boolean
  user?: string
  password?: string
  token?: string
  /** The text of a `.creds` file: a JWT and the seed of its nkey. */
  creds?: string
}

/** Every setting that is read, by the name that it has in the environment. */
export const SETTING_NAMES = [
  'CAEGIS_ORIGIN',
  'CAEGIS_PORT',
  'CAEGIS_HOST',
  'CAEGIS_DATA',
  'CAEGIS_TLS',
  'CAEGIS_TLS_CERT',
  'CAEGIS_TLS_KEY',
  'CAEGIS_TRUSTED_PROXIES',
  'CAEGIS_DIAL_ALLOW',
  'CAEGIS_KEY_SECRET',
  'CAEGIS_KEY_SECRET_FILE',
  'CAEGIS_LOG',
  'CAEGIS_RETENTION',
  'CAEGIS_LOG_RETENTION',
  'CAEGIS_KEY_ROTATION',
  'CAEGIS_LOOP_LIMIT',
  'CAEGIS_DRAIN',
  'CAEGIS_METRICS_TOKEN',
  'CAEGIS_METRICS_TOKEN_FILE',
  'CAEGIS_SSF_LEGACY_DRAFT',
  'CAEGIS_COUNTRY_DB',
  'CAEGIS_LEAKED_PASSWORDS',
  'CAEGIS_RISKY_ADDRESSES',
  'CAEGIS_LDAP',
  'CAEGIS_LDAP_PASSWORD',
  'CAEGIS_LDAP_PASSWORD_FILE',
  'CAEGIS_DATABASE_CONNECTIONS',
  'DATABASE_URL',
  'DATABASE_URL_FILE',
  'NATS_URL',
  'NATS_USER',
  'NATS_PASSWORD',
  'NATS_PASSWORD_FILE',
  'NATS_TOKEN',
  'NATS_TOKEN_FILE',
  'NATS_CREDS',
  'NATS_CREDS_FILE',
] as const
export type SettingName = (typeof SETTING_NAMES)[number]
export type SettingsInput = Partial<Record<SettingName, string | undefined>>

/**
 * Reads the settings and refuses what does not fit together.
 * @throws CaegisError `invalid_settings`, naming the setting and what it should be, never its value
 */
export function readSettings(input: SettingsInput): Settings {
  const database = readDatabase(input)
  const nats = readNats(input)
  const port = Number(input.CAEGIS_PORT ?? 8443)
  // Any free port (0) would not do: the origin stands in every token, so it has to be known before the server listens.
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid('CAEGIS_PORT', 'must be 1 to 65535')
  const data = resolve(input.CAEGIS_DATA ?? '.caegis')
  const origin = input.CAEGIS_ORIGIN ?? `https://localhost:${port}`
  const url = URL.parse(origin)
  if (url?.protocol !== 'https:' || url.origin !== origin)
    throw invalid('CAEGIS_ORIGIN', 'must be https://host[:port], without path or trailing slash')
  const trustedProxies = (input.CAEGIS_TRUSTED_PROXIES ?? '').split(/[\s,]+/).filter((one) => one !== '')
  try {
    compileRanges(trustedProxies)
  } catch {
    throw invalid('CAEGIS_TRUSTED_PROXIES', 'must be IP addresses or CIDR ranges, separated by commas')
  }
  makeDataFolder(data, database === undefined)
  const logLevel = input.CAEGIS_LOG ?? 'info'
  if (!['debug', 'info', 'warn', 'error', 'silent'].includes(logLevel)) throw invalid('CAEGIS_LOG', 'must be debug, info, warn, error or silent')
  return Object.freeze({
    origin,
    port,
    host: input.CAEGIS_HOST ?? 'localhost',
    data,
    tls: readTls(input, trustedProxies),
    trustedProxies,
    dialAllow: (input.CAEGIS_DIAL_ALLOW ?? '').split(/[\s,]+/).filter((one) => one !== ''),
    keySecret: readKeySecret(input, data),
    logLevel: logLevel as LogLevel,
    lifetimes: LIFETIMES,
    maxStaleness: 30,
    drain: readDrain(input.CAEGIS_DRAIN),
    heldPolls: 20_000,
    bounds: {},
    ...readMetricsToken(input),
    loopLimit: readLoopLimit(input.CAEGIS_LOOP_LIMIT),
    retention: readRetention(input.CAEGIS_RETENTION),
    logRetention: readLogRetention(input.CAEGIS_LOG_RETENTION),
    keyRotation: readKeyRotation(input.CAEGIS_KEY_ROTATION),
    legacyDraft: readLegacyDraft(input.CAEGIS_SSF_LEGACY_DRAFT),
    ...(input.CAEGIS_COUNTRY_DB === undefined ? {} : { countryDb: resolve(input.CAEGIS_COUNTRY_DB) }),
    ...(input.CAEGIS_LEAKED_PASSWORDS === undefined ? {} : { leakedPasswords: resolve(input.CAEGIS_LEAKED_PASSWORDS) }),
    ...(input.CAEGIS_RISKY_ADDRESSES === undefined ? {} : { riskyAddresses: resolve(input.CAEGIS_RISKY_ADDRESSES) }),
    ...(database && { database }),
    ...(nats && { nats }),
    ...(input.CAEGIS_LDAP === undefined ? {} : { ldap: { config: readLdapConfig(input.CAEGIS_LDAP), ...readLdapPassword(input) } }),
  })
}

/** Hours: a receiver that was away for longer has lost what happened, so it is told, and begins anew. */
const RETENTION = 7 * 24
const SHORTEST = Math.ceil(HORIZON / 3600)
const LONGEST = 10 * 366 * 24

function readRetention(text: string | undefined): number {
  const hours = text === undefined ? RETENTION : /^\d{1,6}$/.test(text) ? Number(text) : 0
  // A row that goes earlier could be of a revocation that still hits tokens.
  if (hours < SHORTEST || hours > LONGEST)
    throw invalid('CAEGIS_RETENTION', `must be whole hours, ${SHORTEST} (how long a token may live) to ${LONGEST}; ${RETENTION} is the default`)
  return hours * 3600
}

/** Days: who signed in from where is about people, and no longer kept than somebody may have to look it up. */
function readLogRetention(text = '30'): number {
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (days < 1 || days > 3660) throw invalid('CAEGIS_LOG_RETENTION', 'must be whole days, 1 to 3660; 30 is the default')
  return days * 24 * 3600
}

/** Days: a key that signs for long is worth more to a thief. */
function readKeyRotation(text = '90'): number {
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (days < 1 || days > 3660) throw invalid('CAEGIS_KEY_ROTATION', 'must be whole days, 1 to 3660; 90 is the default')
  return days * 24 * 3600
}

/** Fewer would hit a browser whose tabs all wake up at once. */
function readLoopLimit(text = '100'): number {
  const limit = /^\d{1,7}$/.test(text) ? Number(text) : 0
  if (limit < 50) throw invalid('CAEGIS_LOOP_LIMIT', 'must be a whole number, 50 to 9999999; 100 is the default')
  return limit
}

/** Seconds: longer than whoever hands out requests needs to notice, shorter than whoever ends processes waits. Nobody does either on one machine. */
function readDrain(text = '0'): number {
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : -1
  if (seconds < 0 || seconds > 300) throw invalid('CAEGIS_DRAIN', 'must be whole seconds, 0 to 300; 0 is the default')
  return seconds
}

function readLegacyDraft(word = 'off'): boolean {
  if (word !== 'on' && word !== 'off') throw invalid('CAEGIS_SSF_LEGACY_DRAFT', 'must be on or off')
  return word === 'on'
}

function readTls(input: SettingsInput, trustedProxies: string[]): Settings['tls'] {
  if (input.CAEGIS_TLS !== undefined && input.CAEGIS_TLS !== 'on' && input.CAEGIS_TLS !== 'off') throw invalid('CAEGIS_TLS', 'must be on or off')
  const { CAEGIS_TLS_CERT: cert, CAEGIS_TLS_KEY: key } = input
  if (input.CAEGIS_TLS === 'off') {
    // Plain HTTP is for the last hop behind a proxy that ends TLS, and nothing else.
    if (trustedProxies.length === 0 || !input.CAEGIS_ORIGIN)
      throw invalid('CAEGIS_TLS', 'may be off only together with CAEGIS_TRUSTED_PROXIES and CAEGIS_ORIGIN')
    if (cert !== undefined || key !== undefined) throw invalid('CAEGIS_TLS', 'is off: CAEGIS_TLS_CERT and CAEGIS_TLS_KEY would not be used')
    return { kind: 'off' }
  }
  if ((cert === undefined) !== (key === undefined)) throw invalid('CAEGIS_TLS_CERT', 'and CAEGIS_TLS_KEY go together')
  return cert !== undefined && key !== undefined ? { kind: 'files', cert, key } : { kind: 'own' }
}

function readKeySecret(input: SettingsInput, data: string): Settings['keySecret'] {
  const { CAEGIS_KEY_SECRET: direct, CAEGIS_KEY_SECRET_FILE: file } = input
  if (direct !== undefined && file !== undefined) throw invalid('CAEGIS_KEY_SECRET', 'and CAEGIS_KEY_SECRET_FILE exclude each other')
  const given = direct ?? (file === undefined ? undefined : readSecretFile('CAEGIS_KEY_SECRET_FILE', file))
  if (given !== undefined) {
    if (given.length < 32) throw invalid('CAEGIS_KEY_SECRET', 'must have at least 32 characters, for example from: openssl rand -base64 48')
    return { value: given, from: 'environment' }
  }
  // Each of several processes would make one of its own, and none could open what another has sealed.
  const own = join(data, 'key-secret')
  if (input.DATABASE_URL ?? input.DATABASE_URL_FILE)
    throw invalid(
      'CAEGIS_KEY_SECRET',
      `is needed with DATABASE_URL, the same for every process${existsSync(own) ? `; what this folder has was sealed with CAEGIS_KEY_SECRET_FILE=${own}` : ''}`,
    )
  if (!existsSync(own)) writeFileSync(own, `${randomBytes(48).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  return { value: readFileSync(own, 'utf8').trim(), from: 'file' }
}

/** What to sign in with at the LDAP server: never a flag, which every user of the machine could read. */
export function readLdapPassword(input: Pick<SettingsInput, 'CAEGIS_LDAP_PASSWORD' | 'CAEGIS_LDAP_PASSWORD_FILE'>): { password?: string } {
  const password = readSecret(input, 'CAEGIS_LDAP_PASSWORD')
  return password === undefined ? {} : { password }
}

/** Enough for what one process can do at a time; all of them together have to stay below the database's own limit. */
const CONNECTIONS = 20

/** @throws CaegisError `invalid_settings` */
export function readDatabase(input: SettingsInput): DatabaseSettings | undefined {
  const text = readSecret(input, 'DATABASE_URL')
  const connections = input.CAEGIS_DATABASE_CONNECTIONS ?? String(CONNECTIONS)
  if (!/^[1-9]\d{0,3}$/.test(connections) || Number(connections) < 4)
    throw invalid('CAEGIS_DATABASE_CONNECTIONS', `must be 4 to 9999; ${CONNECTIONS} is the default`)
  return text ? readDatabaseUrl(text, Number(connections)) : undefined
}

function readMetricsToken(input: SettingsInput): { metricsToken?: string } {
  const metricsToken = readSecret(input, 'CAEGIS_METRICS_TOKEN')
  if (metricsToken !== undefined && metricsToken.length < 16) throw invalid('CAEGIS_METRICS_TOKEN', 'must have at least 16 characters')
  return metricsToken === undefined ? {} : { metricsToken }
}

function readNats(input: SettingsInput): NatsSettings | undefined {
  const secrets = [readSecret(input, 'NATS_PASSWORD'), readSecret(input, 'NATS_TOKEN'), readSecret(input, 'NATS_CREDS')] as const
  const [password, token, creds] = secrets
  const { NATS_URL: text, NATS_USER: user } = input
  if (!text) return undefined
  const servers = text.split(/[\s,]+/).filter((one) => one !== '')
  const urls = servers.map((one) => URL.parse(one))
  if (urls.length === 0 || !urls.every((url) => url?.hostname && (url.protocol === 'nats:' || url.protocol === 'tls:')))
    throw invalid('NATS_URL', 'must be one or more of tls://host:port or nats://host:port')
  // It is a flag too, and stands in logs.
  if (urls.some((url) => url?.username || url?.password)) throw invalid('NATS_URL', 'must not hold a password: see NATS_USER and NATS_PASSWORD')
  const tls = urls.every((url) => url?.protocol === 'tls:')
  if (!tls && urls.some((url) => url?.protocol === 'tls:')) throw invalid('NATS_URL', 'must be all tls: or all nats:')
  if ((user === undefined) !== (password === undefined)) throw invalid('NATS_USER', 'and NATS_PASSWORD go together')
  if (secrets.filter((one) => one !== undefined).length > 1) throw invalid('NATS_PASSWORD', 'and NATS_TOKEN and NATS_CREDS exclude each other')
  return { servers, tls, ...(user !== undefined && password !== undefined && { user, password }), ...(token && { token }), ...(creds && { creds }) }
}

/** From the environment, or from the file that it names. */
function readSecret(
  input: SettingsInput,
  name: 'DATABASE_URL' | 'CAEGIS_LDAP_PASSWORD' | 'CAEGIS_METRICS_TOKEN' | 'NATS_PASSWORD' | 'NATS_TOKEN' | 'NATS_CREDS',
): string | undefined {
  const { [name]: direct, [`${name}_FILE` as const]: file } = input
  if (direct !== undefined && file !== undefined) throw invalid(name, `and ${name}_FILE exclude each other`)
  return direct ?? (file === undefined ? undefined : readSecretFile(`${name}_FILE`, file))
}

function readSecretFile(name: SettingName, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    // Not even the path: whoever put the secret itself there must not find it in a log.
    throw invalid(name, `cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function invalid(name: string, what: string): CaegisError {
  return new CaegisError('invalid_settings', `${name} ${what}.`)
}
