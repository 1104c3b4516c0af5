import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import { readEventStream } from '../packages/cli/src/event-stream.ts'
import { parseDeviceRule, parsePolicy, policyToGraph, TEMPLATES } from '../packages/policy/src/index.ts'
import { CaegisError, EVENT, parseSet } from '../packages/protocol/src/index.ts'
import { readDatabaseUrl } from '../packages/server/src/database-url.ts'
import { parseTenantFile } from '../packages/server/src/directory/tenant-file.ts'
import { openGeo } from '../packages/server/src/geo.ts'
import { DEVICES } from '../packages/server/src/graph/devices.ts'
import { GraphError } from '../packages/server/src/graph/errors.ts'
import { readPosition } from '../packages/server/src/graph/events.ts'
import { GROUPS } from '../packages/server/src/graph/groups.ts'
import { parseQuery, sealToken } from '../packages/server/src/graph/query.ts'
import { registerGraph } from '../packages/server/src/graph/routes.ts'
import { USERS } from '../packages/server/src/graph/users.ts'
import { readLdapConfig } from '../packages/server/src/ldap/config.ts'
import { createFrames } from '../packages/server/src/ldap/frame.ts'
import { toPerson } from '../packages/server/src/ldap/person.ts'
import { ScimError } from '../packages/server/src/scim/errors.ts'
import { compileFilter } from '../packages/server/src/scim/filter.ts'
import { applyPatch, readPatch } from '../packages/server/src/scim/patch.ts'
import { USER_SCHEMA } from '../packages/server/src/scim/resource.ts'
import { readUser, USER, userFilters } from '../packages/server/src/scim/user.ts'
import { createPasskeys } from '../packages/server/src/signin/passkey.ts'
import { meaningOf } from '../packages/server/src/upstream/meaning.ts'
import { PATCHES, REFUSED } from '../packages/server/test/vectors/scim-patches.ts'
import { writeCountries } from '../test/mmdb.ts'
import { mutateText } from './mutate.ts'
import { json, must, read, reading, type Target, taken, text, texts } from './target.ts'

const captures = read<{ challenge: string; origin: string; passkeys: string[] }>('server-captures.json')
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const isGraph = (error: unknown) => error instanceof GraphError
const isScim = (error: unknown) => error instanceof ScimError
const isRange = (error: unknown) => error instanceof RangeError
/** A character each of its bytes. */
const latin = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

const tag = (context: string, text: string) => `tag of ${context.length} ${text.length}`
const QUERIES = [
  "$filter=startswith(displayName,'Al') and accountEnabled eq true&$top=5&$select=id,displayName",
  "$filter=userPrincipalName eq 'alice@contoso.test' or (userType eq 'Guest' and not(mail eq null))&$count=true",
  "$filter=createdDateTime ge 2026-01-01T00:00:00Z and id in ('a','b','c')&$orderby=displayName desc,userPrincipalName",
  '$search="displayName:Al" OR "userPrincipalName:al"&$orderby=displayName',
  `$skiptoken=${sealToken(['a', 'b'], 'x', tag)}&$top=999`,
]
const RESOURCES = [USERS, GROUPS, DEVICES] as const

const routes = registerGraph(Fastify(), { origin: 'https://localhost', log: quiet, admit: async () => undefined, tag: () => '' }).filter(
  ({ body }) => body !== undefined,
)
const POLICIES = TEMPLATES.map(({ policy }, i) => JSON.stringify({ id: `policy-${i}`, ...policy }))
const BODIES = [
  ...POLICIES,
  ...texts([
    {
      userPrincipalName: 'a@contoso.test',
      displayName: 'A',
      accountEnabled: true,
      passwordProfile: { password: 'a good password', forceChangePasswordNextSignIn: true },
    },
    {
      requests: [
        { id: '1', method: 'GET', url: '/users?$top=1' },
        { id: '2', method: 'PATCH', url: '/users/a', body: { accountEnabled: false }, dependsOn: ['1'] },
      ],
    },
    { displayName: 'finance', 'members@odata.bind': ['https://localhost/v1.0/users/1'] },
    { appId: 'x', displayName: 'X', type: 'spa', redirectUris: ['https://x.test/'], permissions: ['api://files/Files.Read'] },
    {
      '@odata.type': '#microsoft.graph.ipNamedLocation',
      displayName: 'Office',
      isTrusted: true,
      ipRanges: [{ '@odata.type': '#microsoft.graph.iPv4CidrRange', cidrAddress: '192.0.2.0/24' }],
    },
    {
      signInIdentity: { userId: 'a' },
      signInContext: { includeApplications: ['files-api'] },
      signInConditions: { ipAddress: '192.0.2.1', country: 'FR' },
    },
    {
      issuer: 'https://idp.test',
      audience: 'x',
      delivery: 'poll',
      credentials: { clientId: 'a', clientSecret: 'b' },
      actions: { 'session-revoked': 'revoke' },
    },
    { id: 'd', jwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' } },
    { tenant: { name: 'contoso', displayName: 'Contoso' }, users: [] },
    { name: 'contoso' },
    { userIds: ['a', 'b'] },
  ]),
]

const alice = {
  ...{ schemas: [USER_SCHEMA], id: '1', userName: 'alice@contoso.test', displayName: 'Alice', active: true },
  ...{ name: { givenName: 'Alice', familyName: 'Low' }, emails: [{ value: 'alice@mail.test', type: 'work', primary: true }] },
  meta: { resourceType: 'User', location: 'https://x.test/1', created: '2026-01-01T00:00:00.000Z' },
}
const patches = [...PATCHES, ...REFUSED].map(({ Operations }) =>
  JSON.stringify({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations }),
)
const FILTERS = [
  'userName eq "alice@contoso.test"',
  'externalId eq "1" and (active eq true or not (displayName co "x"))',
  'emails[type eq "work" and value ew "@contoso.test"]',
  `${USER_SCHEMA}:userName sw "a" or name.givenName pr`,
]

const TENANT = `tenant: { name: contoso, displayName: Contoso }
groups: [{ displayName: finance }]
users:
  - { userPrincipalName: alice@contoso.test, displayName: Alice, groups: [finance], roles: [admin] }
applications:
  - { appId: files-api, displayName: Files, identifierUris: [api://files], scopes: [Files.Read], cae: true }
  - &spa { appId: files-spa, type: spa, redirectUris: [http://localhost:8445/], permissions: [api://files/Files.Read] }
namedLocations: [{ displayName: Office, isTrusted: true, ipRanges: [192.0.2.0/24] }]
`

const vectors = read<{ cases: { in: Record<string, string[]>; kind: 'openldap' | 'active-directory' }[] }>(
  '../packages/server/test/vectors/ldap.json',
).cases
const directories = Object.fromEntries(
  (['openldap', 'active-directory'] as const).map((kind) => [
    kind,
    {
      ...readLdapConfig(undefined, {
        tenant: 'contoso',
        name: 'hq',
        url: 'ldaps://ldap.example',
        baseDn: 'dc=example',
        kind,
        domain: 'corp.example',
      }),
      digest: () => 'x',
    },
  ]),
)
const element = (type: number, ...parts: Uint8Array[]) => {
  const content = Buffer.concat(parts)
  return Buffer.concat([
    content.length < 128 ? Buffer.from([type, content.length]) : Buffer.from([type, 0x82, content.length >> 8, content.length & 255]),
    content,
  ])
}
const octets = (value: string) => element(4, Buffer.from(value))
const entry = element(
  0x30,
  element(2, Buffer.from([2])),
  element(
    0x64,
    octets('uid=alice,dc=example'),
    element(
      0x30,
      element(0x30, octets('uid'), element(0x31, octets('alice'))),
      element(0x30, octets('cn'), element(0x31, octets('Alice'.repeat(40)))),
    ),
  ),
)
const done = element(0x30, element(2, Buffer.from([2])), element(0x65, element(10, Buffer.from([0])), octets(''), octets('')))
const frames = [latin(entry), latin(done), latin(Buffer.concat([entry, done]))]

const countries = latin(
  writeCountries([
    { network: '192.0.2.0/24', country: 'FR', place: { latitude: 48, longitude: 2, radius: 10 } },
    { network: '198.51.100.0/24', country: 'IT' },
  ]),
)
const folder = mkdtempSync(join(tmpdir(), 'caegis-fuzz-'))

const sets = read<{ sets: string[] }>('captures.json').sets.map((set) => Buffer.from(set.split('.')[1] ?? '', 'base64url').toString())
const ACTIONS = { 'session-revoked': 'revoke', 'account-disabled': 'disable', 'account-enabled': 'reevaluate' } as never

const tenant = { id: 't', issuer: `${captures.origin}/contoso/v2.0`, displayName: 'Contoso' }
const passkeys = createPasskeys({} as never, {} as never, tenant as never)
const URLS = [
  'postgres://caegis:pw@db.internal:5432/caegis?sslmode=verify-full',
  'postgresql:///caegis?host=/run/postgresql',
  'postgres://[2001:db8::1]/caegis?sslmode=disable',
]
const STREAM = [': beat\n\nid: e1:7\nevent: change\ndata: {"a":1}\ndata: 2\n\n', 'id: e1:8\r\ndata: x\r\n\r\n', 'event: gap\ndata: {"from":{}}\n\n']

export const SERVERS: Target[] = [
  {
    name: 'query of a list',
    weight: 8,
    arbitrary: 'text',
    make: text(QUERIES),
    run: (input) =>
      taken(
        () => parseQuery(RESOURCES[input.length % RESOURCES.length] as (typeof RESOURCES)[0], new URLSearchParams(input), '/x', true, tag),
        isGraph,
      ),
  },
  {
    name: 'body of the admin API',
    weight: 10,
    arbitrary: 'json',
    make: json(BODIES),
    // Each shape reads it: what was meant for another route is the commonest mistake of all.
    run: reading((value) => {
      const read = routes.filter(({ body }) => body?.safeParse(value).success)
      if (read.length === 0) throw new CaegisError('refused', 'by all')
    }),
  },
  { name: 'policy', weight: 5, arbitrary: 'json', make: json(POLICIES), run: reading((value) => parsePolicy(policyToGraph(parsePolicy(value)))) },
  {
    name: 'device rule',
    weight: 3,
    arbitrary: 'text',
    make: text([
      'device.isCompliant -eq True',
      '(device.model -in ["a", "b"]) -and -not (device.trustType -ne "x")',
      'device.displayName -startsWith "PC" -or device.mdmAppId -contains "1"',
    ]),
    run: (input) => taken(() => parseDeviceRule(input)),
  },
  { name: 'tenant file', weight: 2, arbitrary: 'text', make: text([TENANT]), run: (input) => taken(() => parseTenantFile(input)) },
  {
    name: 'filter of SCIM',
    weight: 4,
    arbitrary: 'text',
    make: text(FILTERS),
    run: (input) => taken(() => compileFilter(USER_SCHEMA, userFilters('x'), input), isScim),
  },
  {
    name: 'patch of SCIM',
    weight: 6,
    arbitrary: 'json',
    make: json(patches),
    run: reading((value) => readUser(applyPatch(alice, readPatch(USER, value))), isScim),
  },
  {
    name: 'messages of LDAP',
    weight: 3,
    arbitrary: 'text',
    make: text(frames),
    run: (input) =>
      taken(() => {
        let messages = 0
        const cut = createFrames(() => void messages++)
        const bytes = Buffer.from(input, 'latin1')
        for (let at = 0; at < bytes.length; at += 50) cut.push(bytes.subarray(at, at + 50))
        if (messages === 0) throw new RangeError('no message')
      }, isRange),
  },
  {
    name: 'entry of LDAP',
    weight: 4,
    arbitrary: 'json',
    make: json(vectors.map((one) => JSON.stringify(one))),
    run: reading((value) => {
      const { kind = 'openldap', in: given } = (value ?? {}) as { kind?: unknown; in?: object }
      const reading = typeof kind === 'string' && Object.hasOwn(directories, kind) ? directories[kind] : undefined
      if (!reading || typeof given !== 'object' || given === null) throw new CaegisError('refused', 'no entry')
      // LDAP has bytes only.
      const bytes = (one: unknown) => {
        if (typeof one !== 'string') throw new CaegisError('refused', 'no text')
        return one.startsWith('base64:') ? Buffer.from(one.slice(7), 'base64') : Buffer.from(one)
      }
      const values = new Map(Object.entries(given).map(([name, all]) => [name.toLowerCase(), (Array.isArray(all) ? all : [all]).map(bytes)]))
      if (!toPerson({ dn: 'cn=x', values }, reading as never, 1_790_000_000)) throw new CaegisError('refused', 'nobody')
    }),
  },
  {
    name: 'countries (MMDB)',
    weight: 1,
    arbitrary: 'text',
    make: text([countries]),
    run(input) {
      const file = join(folder, 'x.mmdb')
      writeFileSync(file, Buffer.from(input, 'latin1'))
      return taken(() => {
        const { countryOf, placeOf } = openGeo(file)
        for (const address of ['192.0.2.7', '198.51.100.7', '203.0.113.7', '2001:db8::1']) {
          countryOf(address)
          placeOf(address)
        }
      })
    },
  },
  {
    name: 'event of an upstream',
    weight: 4,
    arbitrary: 'json',
    make: json(sets),
    run: reading((value) => {
      const set = parseSet(value)
      const meaning = meaningOf(set as never, ACTIONS)
      must(typeof meaning === 'string' || Object.values(EVENT).includes(meaning.type as never), 'an event that we do not have')
    }),
  },
  {
    name: 'answer of a passkey',
    weight: 4,
    arbitrary: 'json',
    make: json(captures.passkeys),
    async run(input) {
      passkeys.claimant(input)
      return (await passkeys.register(captures.challenge, input)) !== undefined
    },
  },
  { name: 'URL of a database', weight: 2, arbitrary: 'text', make: text(URLS), run: (input) => taken(() => readDatabaseUrl(input, 10)) },
  {
    name: 'event stream at a client',
    weight: 2,
    arbitrary: 'text',
    make: text(STREAM),
    run: (input) =>
      taken(async () => {
        async function* pieces() {
          const bytes = Buffer.from(input)
          for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7)
        }
        let messages = 0
        for await (const _ of readEventStream(pieces(), () => {})) messages++
        if (messages === 0) throw new RangeError('nothing')
      }, isRange),
  },
  {
    name: 'place in an event stream',
    weight: 1,
    arbitrary: 'text',
    make: (random) => mutateText('3f2c9a:1234', ['e1:7'], random),
    run: (input) => taken(() => readPosition({ headers: { 'last-event-id': input } } as never), isGraph),
  },
]
