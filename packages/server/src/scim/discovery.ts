import { MOST_RESULTS } from './api.ts'
import { notFound } from './errors.ts'
import { GROUP_SCHEMA, USER_SCHEMA } from './resource.ts'

interface Attribute {
  name: string
  type: 'string' | 'boolean' | 'complex' | 'reference'
  [characteristic: string]: unknown
}

/** RFC 7643 section 7: everything is said, defaults too. */
function attribute(name: string, description: string, more: Partial<Attribute> = {}): Attribute {
  return {
    ...{ name, type: 'string', multiValued: false, description, required: false, caseExact: false },
    ...{ mutability: 'readWrite', returned: 'default', uniqueness: 'none', ...more },
  }
}

const SCHEMAS: { id: string; name: string; description: string; attributes: Attribute[] }[] = [
  {
    id: USER_SCHEMA,
    name: 'User',
    description: 'A user',
    attributes: [
      attribute('userName', 'The name to sign in with, which looks like an e-mail address', { required: true, uniqueness: 'server' }),
      attribute('externalId', 'What the client calls the user', { caseExact: true }),
      attribute('displayName', 'The name to show'),
      attribute('name', 'The parts of the name', {
        type: 'complex',
        subAttributes: [attribute('givenName', 'The given name'), attribute('familyName', 'The family name')],
      }),
      attribute('emails', 'One address: the primary one of those that are given', {
        type: 'complex',
        multiValued: true,
        subAttributes: [
          attribute('value', 'The address'),
          attribute('type', 'Always work', { canonicalValues: ['work'] }),
          attribute('primary', 'Always true', { type: 'boolean' }),
        ],
      }),
      attribute('active', 'Whether the user may sign in and holds anything that is good', { type: 'boolean' }),
      attribute('password', 'The password: 8 to 256 characters', { mutability: 'writeOnly', returned: 'never', caseExact: true }),
    ],
  },
  {
    id: GROUP_SCHEMA,
    name: 'Group',
    description: 'A group',
    attributes: [
      attribute('displayName', 'The name', { required: true, uniqueness: 'server' }),
      attribute('externalId', 'What the client calls the group', { caseExact: true }),
      attribute('members', 'Users and groups', {
        type: 'complex',
        multiValued: true,
        subAttributes: [
          attribute('value', 'The id', { mutability: 'immutable', caseExact: true }),
          attribute('type', 'What it is', { mutability: 'readOnly', canonicalValues: ['User', 'Group'] }),
          attribute('$ref', 'Where it is', { type: 'reference', referenceTypes: ['User', 'Group'], mutability: 'readOnly' }),
        ],
      }),
    ],
  },
]
const TYPES = [
  { id: 'User', name: 'User', endpoint: '/Users', description: 'A user', schema: USER_SCHEMA },
  { id: 'Group', name: 'Group', endpoint: '/Groups', description: 'A group', schema: GROUP_SCHEMA },
]

type Document = (base: string, params: Record<string, string>) => unknown

const schemaOf = (base: string, one: (typeof SCHEMAS)[number]) => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:Schema'],
  ...one,
  meta: { resourceType: 'Schema', location: `${base}/Schemas/${one.id}` },
})
const typeOf = (base: string, one: (typeof TYPES)[number]) => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:ResourceType'],
  ...one,
  meta: { resourceType: 'ResourceType', location: `${base}/ResourceTypes/${one.id}` },
})
const listOf = (all: unknown[]) => ({
  schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
  ...{ totalResults: all.length, startIndex: 1, itemsPerPage: all.length, Resources: all },
})
const existing = <T>(found: T | undefined): T => {
  if (found === undefined) throw notFound()
  return found
}

/** What the server can do, by path (RFC 7643 sections 5 to 7). */
export const discovery: Readonly<Record<string, Document>> = {
  '/ServiceProviderConfig': (base) => ({
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
    patch: { supported: true },
    bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
    filter: { supported: true, maxResults: MOST_RESULTS },
    changePassword: { supported: true },
    sort: { supported: false },
    etag: { supported: true },
    authenticationSchemes: [
      { type: 'oauthbearertoken', name: 'OAuth 2.0', description: 'An access token by client credentials (RFC 6749 section 4.4)', primary: true },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${base}/ServiceProviderConfig` },
  }),
  '/ResourceTypes': (base) => listOf(TYPES.map((one) => typeOf(base, one))),
  '/ResourceTypes/:id': (base, { id }) => typeOf(base, existing(TYPES.find((one) => one.id === id))),
  '/Schemas': (base) => listOf(SCHEMAS.map((one) => schemaOf(base, one))),
  '/Schemas/:id': (base, { id }) => schemaOf(base, existing(SCHEMAS.find((one) => one.id === id))),
}
