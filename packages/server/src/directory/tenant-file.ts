import { parseLocation, parsePolicy } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { SERVER_ERRORS } from '../errors.ts'
import { DETECTION_TYPES } from '../risk/finding.ts'
import { ADMIN_API, CLI_APP_ID } from './application.ts'
import { CONTEXT_ID } from './contexts.ts'
import { deviceKey, TRUST_TYPES } from './devices.ts'
import { tenantSettings } from './organization.ts'
import { ACCOUNT_APP_ID, CONSOLE_APP_ID } from './own-pages.ts'
import { DIRECTORY_ROLES } from './roles.ts'
import { upstreamEntry } from './upstream.ts'

/** Path segments that the server itself answers under. */
const RESERVED = new Set(['v1.0', 'healthz', 'readyz', 'metrics', 'assets', 'console'])

/** Applications that every tenant has, and that are not the file's to edit. */
export const OWN_APPS = new Set<string>([CLI_APP_ID, ACCOUNT_APP_ID, CONSOLE_APP_ID])

/** What policies mean by these is no application that anybody registers. */
const WORDS_OF_POLICIES = ['all', 'none', ADMIN_API]

/** Mistakes that are told of one file. Each is an object: a file of nothing but mistakes would otherwise fill the memory of a server. */
const MOST_MISTAKES = 100

/** What the lists hold, which they themselves do not show. */
export const ENTRIES = new WeakMap<object, z.ZodType>()

/** A list, which is not read on once enough of it is wrong. */
const list = <E extends z.ZodType>(entry: E, most: number) => {
  const entries = z
    .array(z.unknown())
    .max(most)
    .transform((given, { issues }) => {
      const found: z.output<E>[] = []
      for (const [at, one] of given.entries()) {
        const read = entry.safeParse(one)
        if (read.success) found.push(read.data)
        else for (const issue of read.error.issues) issues.push({ ...issue, input: one, path: [at, ...issue.path] } as (typeof issues)[number])
        if (issues.length >= MOST_MISTAKES) break
      }
      return found
    })
  ENTRIES.set(entries, entry)
  return entries
}

const name = z.string().min(1).max(256)
const upn = z
  .string()
  .max(320)
  .regex(/^[^\s@"\\]+@[^\s@"\\]+$/, 'must look like alice@contoso.test')

const tenant = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9-]{2,40}$/, 'must be 2 to 40 of a-z, 0-9 and -')
    .refine((given) => !RESERVED.has(given), 'is reserved')
    // Ids stand for names in URLs: a name that looks like one could take another tenant's place.
    .refine((given) => !/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(given), 'must not look like an id'),
  displayName: name.optional(),
  settings: tenantSettings.optional(),
})

/** `groups`: those that are members of it. */
const group = z.strictObject({ displayName: name, groups: list(name, 1000).optional() })

const user = z
  .strictObject({
    userPrincipalName: upn,
    displayName: name.optional(),
    password: z.string().min(8).max(256).optional(),
    /** The password of this file is good for one sign-in, which leads to a new one. */
    forceChangePasswordNextSignIn: z.boolean().optional(),
    enabled: z.boolean().optional(),
    groups: list(name, 1000).optional(),
    roles: z.array(z.enum(DIRECTORY_ROLES)).optional(),
    type: z.enum(['member', 'guest']).optional(),
    /** A guest's own account: what ends it ends the guest. */
    home: z.strictObject({ issuer: z.url({ protocol: /^https$/ }).max(512), id: z.string().min(1).max(128) }).optional(),
  })
  .refine((one) => one.home === undefined || one.type === 'guest', { message: 'only a guest has a home elsewhere', path: ['home'] })

/** Known by `deviceId`, as an application is by `appId`. */
const device = z.strictObject({
  deviceId: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, 'must be 1 to 128 of letters, digits and . _ -'),
  displayName: name.optional(),
  /** Its owner. */
  user: upn.optional(),
  publicKey: deviceKey,
  trustType: z.enum(TRUST_TYPES).optional(),
  enabled: z.boolean().optional(),
  compliant: z.boolean().optional(),
})

export const redirect = z
  .string()
  .max(2048)
  .refine((given) => {
    const url = URL.parse(given)
    if (!url || url.hash || given.includes('*')) return false
    return url.protocol === 'https:' || (url.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname))
  }, 'must be an https URL (http only on loopback) without fragment or wildcard')

const hasCredential = (app: { clientSecret?: unknown; secrets?: unknown[] | undefined; certificates?: unknown[] | undefined }) =>
  app.clientSecret !== undefined || (app.secrets?.length ?? 0) + (app.certificates?.length ?? 0) > 0

export const applicationId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/, 'must be 1 to 128 of letters, digits and . _ -')
  // The OpenID provider keeps what a session gave to whom in a plain object: as `__proto__`, that would be every object of this process, of all tenants.
  .refine((given) => !(given in Object.prototype), 'must not be a name that every object has')
  .refine((given) => !WORDS_OF_POLICIES.includes(given.toLowerCase()), 'must not be a word of Conditional Access policies')

export const identifierUris = z
  .array(
    z
      .string()
      .max(512)
      .regex(/^(api|https):\/\/[^\s#?]+[^\s#?/]$/, 'must be an api:// or https:// URI without trailing slash'),
  )
  .max(16)

export const scopeName = z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, 'must be letters, digits and . _ -')

export const optionalClaim = z.enum(['email', 'upn', 'groups', 'login_hint', 'acct', 'acrs'])

const application = z
  .strictObject({
    appId: applicationId.refine((given) => !OWN_APPS.has(given), 'is an application of the server itself'),
    displayName: name.optional(),
    type: z.enum(['spa', 'web', 'native', 'daemon']).optional(),
    identifierUris: identifierUris.optional(),
    scopes: z.array(scopeName).max(256).optional(),
    redirectUris: z.array(redirect).max(64).optional(),
    permissions: z.array(z.string().max(640)).max(256).optional(),
    cae: z.boolean().optional(),
    /** Users are asked before the application gets anything; without it, its permissions are what an administrator granted. */
    consent: z.literal('required').optional(),
    /** RFC 9449 section 5.2: no token without a proof of the key that it is bound to. */
    dpopBoundAccessTokens: z.boolean().optional(),
    /** What its tokens hold beyond the usual, as an API. */
    optionalClaims: z.array(optionalClaim).max(16).optional(),
    appRoles: list(
      z.strictObject({
        value: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, 'must be letters, digits and . _ -'),
        users: list(upn, 100_000).optional(),
        groups: list(name, 10_000).optional(),
      }),
      256,
    ).optional(),
    backchannelLogoutUri: z
      .url({ protocol: /^https$/ })
      .max(2048)
      .refine((given) => !given.includes('#'), 'must have no fragment')
      .optional(),
    backchannelLogoutSessionRequired: z.boolean().optional(),
    enabled: z.boolean().optional(),
    clientSecret: z.string().min(16).max(512).optional(),
    secrets: z
      .array(z.strictObject({ name, value: z.string().min(16).max(512), expires: z.iso.datetime().optional() }))
      .max(16)
      .optional(),
    certificates: z
      .array(z.strictObject({ name, pem: z.string().max(16_384) }))
      .max(16)
      .optional(),
  })
  .refine((app) => app.type !== 'daemon' || hasCredential(app), {
    message: 'a daemon needs a clientSecret, secrets or certificates',
    path: ['clientSecret'],
  })
  .refine((app) => !(hasCredential(app) && (app.type === 'spa' || app.type === 'native')), {
    message: 'a public client cannot keep a secret',
    path: ['clientSecret'],
  })

const authenticationContext = z.strictObject({
  id: z.string().regex(CONTEXT_ID, 'must be one of c1 to c99'),
  displayName: name.optional(),
  description: z.string().max(4096).optional(),
  isAvailable: z.boolean().optional(),
})

/** Graph's JSON, which is read by its own rules. */
const graphJson = z.custom<Readonly<Record<string, unknown>>>(
  (given) => typeof given === 'object' && given !== null && !Array.isArray(given) && Object.keys(given).length <= 64 && isWithin(given, 16),
  'must be an object, of at most 64 members and not nested too deeply',
)

/** Nothing of it is so deep that writing it down would take more stack than there is. */
function isWithin(value: unknown, levels: number): boolean {
  return typeof value !== 'object' || value === null || (levels > 0 && Object.values(value).every((one) => isWithin(one, levels - 1)))
}

export const file = z.strictObject({
  tenant,
  groups: list(group, 100_000).optional(),
  users: list(user, 100_000).optional(),
  applications: list(application, 10_000).optional(),
  devices: list(device, 100_000).optional(),
  /** Known by `issuer`. */
  upstreams: list(upstreamEntry, 32).optional(),
  /** Detections of risk that are off; those that it does not name are on. */
  risk: z.strictObject({ off: z.array(z.enum(DETECTION_TYPES)).max(DETECTION_TYPES.length) }).optional(),
  authenticationContexts: list(authenticationContext, 99).optional(),
  /** Known by `displayName`, both. Policies may name everything else by its name. */
  namedLocations: list(graphJson, 1000).optional(),
  conditionalAccessPolicies: list(graphJson, 1000).optional(),
})

export type TenantFile = z.infer<typeof file>
export type ApplicationEntry = z.infer<typeof application>
export type UserEntry = z.infer<typeof user>

const MAX_FILE = 64 * 1024 * 1024

interface Mistake {
  path: readonly PropertyKey[]
  message: string
}

/** Says a mistake to whoever wrote the file; without it, mistakes are told by JSON pointers. */
type Tell = (mistake: Mistake) => string

/** How the mistakes of a file that was read are told. */
const tellers = new WeakMap<TenantFile, Tell>()

/**
 * Reads a tenant file (YAML). Unknown keys are mistakes, and every mistake is named with its line.
 * @throws CaegisError `invalid_tenant_file`; `detail` and `message` list `line N: path: what is wrong`, never a value
 */
export function parseTenantFile(text: string): TenantFile {
  if (text.length > MAX_FILE) throw told(['the file is larger than 64 MiB'])
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  if (document.errors.length > 0) {
    throw told(document.errors.map((error) => `line ${lines.linePos(error.pos[0]).line}: ${error.code.toLowerCase().replaceAll('_', ' ')}`))
  }
  // An alias that refers to aliases can grow without bound; the reader has its own limit and throws.
  return readTenantFile(document.toJS({ maxAliasCount: 100 }), ({ path, message }) => `line ${lineOf(path)}: ${path.join('.') || 'file'}: ${message}`)

  function lineOf(path: readonly PropertyKey[]): number {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
      if (node?.range) return lines.linePos(node.range[0]).line
    }
    return 1
  }
}

/** What a tenant file holds, from wherever it was read. @throws CaegisError `invalid_tenant_file` */
export function readTenantFile(value: unknown, tell?: Tell): TenantFile {
  const parsed = file.safeParse(value)
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) =>
      issue.code === 'unrecognized_keys'
        ? { path: [...issue.path, issue.keys[0] as string], message: 'unknown key' }
        : { path: issue.path, message: issue.message },
    )
    throw invalid(wrong, tell)
  }
  const { data } = parsed
  if (tell) tellers.set(data, tell)
  mistakesIn(data, [
    ...mistakesOf('namedLocations', data.namedLocations, parseLocation),
    ...mistakesOf('conditionalAccessPolicies', data.conditionalAccessPolicies, parsePolicy),
  ])
  mistakesIn(data, referenceMistakes(data))
  return data
}

/** @throws CaegisError `invalid_tenant_file` when there are any, each named with its place */
export function mistakesIn(file: TenantFile, mistakes: readonly Mistake[]): void {
  if (mistakes.length > 0) throw invalid(mistakes, tellers.get(file))
}

/**
 * What the server's own APIs are called is nobody else's: tokens for one would be taken by the other.
 * @throws CaegisError `invalid_tenant_file`
 */
export function refuseOwnNames(file: TenantFile, issuer: string): void {
  const { origin } = new URL(issuer)
  const wrong = (file.applications ?? []).flatMap((app, index) =>
    (['identifierUris', 'permissions'] as const).flatMap((property) =>
      [...(app[property] ?? []).entries()]
        .filter(([, name]) => name === origin || name.startsWith(`${origin}/`))
        .map(([at]) => ({ path: ['applications', index, property, at], message: "is a name of the server's own APIs" })),
    ),
  )
  mistakesIn(file, wrong.slice(0, MOST_MISTAKES))
}

/** What is wrong with Graph's JSON in a list of the file. */
function mistakesOf(part: string, entries: readonly object[] | undefined, parse: (value: object) => unknown): Mistake[] {
  const wrong: Mistake[] = []
  for (const [index, entry] of (entries ?? []).entries()) {
    if (wrong.length >= MOST_MISTAKES) break
    try {
      // The server gives the id.
      parse({ ...entry, id: 'file' })
    } catch (error) {
      if (!(error instanceof CaegisError)) throw error
      const found = error.detail as { path: string; message: string }[]
      const segments = (pointer: string) =>
        pointer
          .split('/')
          .slice(1)
          .map((one) => one.replaceAll('~1', '/').replaceAll('~0', '~'))
      wrong.push(...found.map(({ path, message }) => ({ path: [part, index, ...segments(path)], message })))
    }
  }
  return wrong
}

/** Names that nothing in the file has, and things that stand there twice. */
function referenceMistakes(data: TenantFile): Mistake[] {
  const groups = new Set(data.groups?.map((one) => one.displayName))
  const wrong: Mistake[] = []
  const known = (names: readonly string[] | undefined, ...path: PropertyKey[]) => {
    for (const [at, name] of (names ?? []).entries())
      if (!groups.has(name) && wrong.length < MOST_MISTAKES) wrong.push({ path: [...path, at], message: 'no group of that name in the file' })
  }
  for (const [at, one] of (data.users ?? []).entries()) known(one.groups, 'users', at, 'groups')
  for (const [at, one] of (data.groups ?? []).entries()) known(one.groups, 'groups', at, 'groups')
  for (const [at, { appRoles = [] }] of (data.applications ?? []).entries())
    for (const [role, { groups: names }] of appRoles.entries()) known(names, 'applications', at, 'appRoles', role, 'groups')

  const twice = <T>(part: string, entries: readonly T[] | undefined, property: string, of: (entry: T) => readonly string[]) => {
    const seen = new Set<string>()
    for (const [at, entry] of (entries ?? []).entries())
      for (const name of of(entry))
        if ((seen.has(name) || !seen.add(name)) && wrong.length < MOST_MISTAKES)
          wrong.push({ path: [part, at, property], message: `the same ${property} twice` })
  }
  twice('groups', data.groups, 'displayName', (one) => [one.displayName])
  twice('users', data.users, 'userPrincipalName', (one) => [one.userPrincipalName.toLowerCase()])
  twice('applications', data.applications, 'appId', (one) => [one.appId])
  twice('applications', data.applications, 'identifierUris', (one) => one.identifierUris ?? [])
  // A credential is known by its name.
  for (const property of ['secrets', 'certificates'] as const)
    for (const [at, one] of (data.applications ?? []).entries()) {
      const names = (one[property] ?? []).map((credential) => credential.name)
      if (new Set(names).size < names.length && wrong.length < MOST_MISTAKES)
        wrong.push({ path: ['applications', at, property], message: 'the same name twice' })
    }
  twice('devices', data.devices, 'deviceId', (one) => [one.deviceId])
  twice('upstreams', data.upstreams, 'issuer', (one) => [one.issuer])
  twice('namedLocations', data.namedLocations, 'displayName', (one) => [String(one.displayName)])
  twice('conditionalAccessPolicies', data.conditionalAccessPolicies, 'displayName', (one) => [String(one.displayName)])
  twice('authenticationContexts', data.authenticationContexts, 'id', (one) => [one.id])
  return wrong
}

const pointer = (path: readonly PropertyKey[]) => path.map((one) => `/${String(one).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

function invalid(mistakes: readonly Mistake[], tell: Tell | undefined): CaegisError {
  if (tell) return told(mistakes.map(tell))
  const detail = mistakes.map(({ path, message }) => ({ path: pointer(path), message }))
  return new CaegisError('invalid_tenant_file', SERVER_ERRORS.invalid_tenant_file, { detail })
}

function told(mistakes: readonly string[]): CaegisError {
  const shown = mistakes.slice(0, 20)
  if (mistakes.length > shown.length) shown.push(`and ${mistakes.length - shown.length} more`)
  return new CaegisError('invalid_tenant_file', `${SERVER_ERRORS.invalid_tenant_file}\n${shown.join('\n')}`, { detail: mistakes })
}
