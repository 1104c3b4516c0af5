import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { type Filter, FilterParser } from 'ldapts'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { SERVER_ERRORS } from '../errors.ts'

const attribute = z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,127}$/, 'must be the name of an attribute')
const text = z.string().min(1).max(1024)
const filter = text.refine((given) => {
  try {
    return FilterParser.parseString(given) !== undefined
  } catch {
    return false
  }
}, 'must be a filter as RFC 4515 writes them')
/** Seconds. */
const period = z
  .number()
  .min(1)
  .max(31 * 24 * 3600)

/** Which attribute says what. */
const attributes = z.strictObject({
  /** What the entry is called for ever; bytes of an Active Directory GUID are read as one. */
  externalId: attribute,
  userPrincipalName: attribute,
  displayName: attribute,
  mail: attribute,
  givenName: attribute,
  surname: attribute,
  /** When the password was last changed. */
  passwordChanged: attribute,
  /** A hash of the password, for servers that do not say when it was changed; only a keyed digest of it is kept. */
  passwordHash: attribute.optional(),
})
export type AttributeMap = z.infer<typeof attributes>

const OPENLDAP: AttributeMap = {
  externalId: 'entryUUID',
  userPrincipalName: 'uid',
  displayName: 'cn',
  mail: 'mail',
  givenName: 'givenName',
  surname: 'sn',
  passwordChanged: 'pwdChangedTime',
}
const ACTIVE_DIRECTORY: AttributeMap = {
  externalId: 'objectGUID',
  userPrincipalName: 'userPrincipalName',
  displayName: 'displayName',
  mail: 'mail',
  givenName: 'givenName',
  surname: 'sn',
  passwordChanged: 'pwdLastSet',
}
/** What is a person when nothing else is said; 1.2.840.113556.1.4.803 is Active Directory's bitwise AND rule. */
const PEOPLE = { openldap: '(objectClass=inetOrgPerson)', 'active-directory': '(&(objectCategory=person)(objectClass=user))' }

const file = z.strictObject({
  /** Name or id of the tenant that the people come into. */
  tenant: text,
  /** What the directory is called here: people who come from it have the source `ldap:<name>`. */
  name: z.string().regex(/^[a-z0-9-]{1,40}$/, 'must be 1 to 40 of a-z, 0-9 and -'),
  url: z.string().refine((given) => {
    const url = URL.parse(given)
    return (
      (url?.protocol === 'ldaps:' || url?.protocol === 'ldap:') &&
      url.hostname !== '' &&
      url.username === '' &&
      /^\/?$/.test(url.pathname + url.search)
    )
  }, 'must be ldaps://host[:port] or ldap://host[:port]'),
  /** With ldap://: TLS from the first message on (RFC 4511 section 4.14). */
  startTls: z.boolean().default(false),
  /** Passwords and people go in the clear. */
  allowPlain: z.boolean().default(false),
  /** Certificates (PEM) to trust instead of those of Node. */
  caFile: text.optional(),
  bindDn: text.optional(),
  kind: z.enum(['openldap', 'active-directory']).default('openldap'),
  baseDn: text,
  filter: filter.optional(),
  attributes: attributes.partial().optional(),
  /** Put after a user name that has no `@`, with one between. */
  domain: z
    .string()
    .max(255)
    .regex(/^[^\s@"\\]+$/, 'must be a domain')
    .optional(),
  /** Whose entry has the attribute, with one of the values or any, is disabled; besides what the kind of directory says itself. */
  disabled: z.strictObject({ attribute, values: z.array(text).min(1).max(100).optional() }).optional(),
  onVanish: z.enum(['disable', 'delete']).default('disable'),
  interval: period.default(30),
  fullInterval: period.default(900),
  pageSize: z.number().int().min(1).max(1000).default(200),
  /** Seconds for one answer, a page of entries for example. */
  timeout: z.number().min(1).max(600).default(60),
})

export interface LdapConfig extends Omit<z.infer<typeof file>, 'filter' | 'attributes' | 'caFile'> {
  source: string
  attributes: AttributeMap
  filter: Filter
  filterText: string
  /** PEM. */
  ca?: string
}

/**
 * Reads a configuration: a YAML file, settings that stand for its members, or both.
 * @throws CaegisError `invalid_ldap_config`, naming the member and what it should be
 */
export function readLdapConfig(path: string | undefined, more: Record<string, unknown> = {}): LdapConfig {
  const given = { ...(path === undefined ? {} : readYaml(path)), ...more }
  const { success, data, error } = file.safeParse(given)
  if (!success) throw invalid(error.issues.map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`))
  const { caFile, filter: filterText = PEOPLE[data.kind], attributes: named = {}, ...rest } = data
  const { protocol, hostname } = new URL(data.url)
  if (protocol === 'ldaps:' && data.startTls) throw invalid(['startTls: is for ldap:// only'])
  if (protocol === 'ldap:' && !data.startTls && !data.allowPlain && !isLoopback(hostname)) {
    throw invalid(['url: without TLS only on this machine: use ldaps:// or startTls; allowPlain sends passwords and people in the clear'])
  }
  return {
    ...rest,
    source: `ldap:${data.name}`,
    attributes: {
      ...(data.kind === 'openldap' ? OPENLDAP : ACTIVE_DIRECTORY),
      ...(named as Partial<Record<keyof AttributeMap, string>>),
    } as AttributeMap,
    filter: FilterParser.parseString(filterText),
    filterText,
    // Relative to the file that names it.
    ...(caFile === undefined ? {} : { ca: read(resolve(path === undefined ? '.' : dirname(path), caFile)) }),
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host)
}

function readYaml(path: string): Record<string, unknown> {
  const document = parseDocument(read(path))
  if (document.errors.length > 0) throw invalid(document.errors.map(({ message }) => message.split('\n')[0] as string))
  const value: unknown = document.toJS({ maxAliasCount: 0 })
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(['the file must hold names and values'])
  return value as Record<string, unknown>
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw invalid([`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`])
  }
}

function invalid(mistakes: string[]): CaegisError {
  return new CaegisError('invalid_ldap_config', `${SERVER_ERRORS.invalid_ldap_config}\n${mistakes.slice(0, 20).join('\n')}`)
}
