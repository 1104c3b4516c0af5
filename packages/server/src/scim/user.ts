import { z } from 'zod'
import type { NewUser, User, UserUpdate } from '../directory/directory.ts'
import { invalidValue } from './errors.ts'
import type { Filters } from './filter.ts'
import { type Represented, readBody, type Shape, USER_SCHEMA, withVersion } from './resource.ts'

export const USER: Shape = {
  schema: USER_SCHEMA,
  attributes: {
    userName: [],
    externalId: [],
    displayName: [],
    active: [],
    password: [],
    name: ['givenName', 'familyName', 'formatted'],
    emails: ['value', 'type', 'primary'],
  },
}

const MAIL = { name: 'mail', type: 'text', nullable: true } as const
const HAS_MAIL = { is: 'ne', column: MAIL, value: null } as const

/** @param source of the client: ids that other systems gave are not its own */
export const userFilters = (source: string): Filters => ({
  id: { column: { name: 'id', type: 'id' } },
  username: { column: { name: 'upn_key', type: 'key' } },
  externalid: {
    column: { name: 'external_id', type: 'id', nullable: true },
    within: { is: 'eq', column: { name: 'source', type: 'id' }, value: source },
  },
  displayname: { column: { name: 'display_name', type: 'text' } },
  active: { column: { name: 'enabled', type: 'boolean' } },
  'name.givenname': { column: { name: 'given_name', type: 'text', nullable: true } },
  'name.familyname': { column: { name: 'surname', type: 'text', nullable: true } },
  emails: { column: MAIL },
  'emails.value': { column: MAIL },
  'emails.type': { equals: 'work', where: HAS_MAIL },
  'emails.primary': { equals: true, where: HAS_MAIL },
})

/** A user as this client sees one. */
export function toScimUser(user: User, { base, source }: { base: string; source: string }): Represented & { meta: { version: string } } {
  const { id, userPrincipalName, displayName, givenName, surname, mail, accountEnabled, createdAt } = user
  const externalId = user.source === source ? user.externalId : null
  const name = { ...(givenName === null ? {} : { givenName }), ...(surname === null ? {} : { familyName: surname }) }
  return withVersion({
    schemas: [USER_SCHEMA],
    id,
    ...(externalId === null ? {} : { externalId }),
    userName: userPrincipalName,
    displayName,
    ...(Object.keys(name).length > 0 ? { name } : {}),
    ...(mail === null ? {} : { emails: [{ value: mail, type: 'work', primary: true }] }),
    active: accountEnabled,
    meta: { resourceType: 'User', created: new Date(createdAt * 1000).toISOString(), location: `${base}/Users/${id}` },
  })
}

const text = z
  .string()
  .max(256)
  .nullish()
  .transform((value) => value?.trim() || null)
/** Entra says `"False"` (RFC 7643 section 2.3.2 knows true and false only). */
const flag = z.preprocess(
  (value) => (typeof value === 'string' && /^(true|false)$/i.test(value) ? value.toLowerCase() === 'true' : value),
  z.boolean().nullish(),
)
const written = z.object({
  userName: z
    .string()
    .max(320)
    .regex(/^[^\s@"\\]+@[^\s@"\\]+$/, 'must look like alice@contoso.test'),
  externalId: text,
  displayName: text,
  active: flag,
  password: z.string().min(8).max(256).nullish(),
  name: z.object({ givenName: text, familyName: text, formatted: text }).nullish(),
  emails: z
    .array(z.object({ value: z.union([z.literal(''), z.email().max(320)]).nullish(), type: z.string().max(64).nullish(), primary: flag }))
    .max(50)
    .nullish(),
})

/** What a client says of a user. */
export interface Said extends Required<Pick<NewUser, 'userPrincipalName' | 'mail' | 'givenName' | 'surname' | 'externalId'>> {
  /** Of these it may say nothing. */
  displayName?: string
  enabled?: boolean
  password?: string
}

/** @throws ScimError `invalidValue` with what is wrong where, never the value */
export function readUser(body: unknown): Said {
  const read = written.safeParse(readBody(USER, body))
  if (!read.success)
    throw invalidValue(
      read.error.issues
        .map(({ path, message }) => `${path.join('.')}: ${message}`)
        .slice(0, 5)
        .join('; '),
    )
  const { userName, externalId, displayName, active, password, name, emails } = read.data
  const mails = (emails ?? []).filter(({ value }) => value)
  // Who makes another address the primary one does not always say that the old one is none.
  const mail = mails.findLast(({ primary }) => primary === true) ?? mails.find(({ type }) => type?.toLowerCase() === 'work') ?? mails[0]
  const full = displayName ?? name?.formatted
  return {
    userPrincipalName: userName,
    externalId,
    givenName: name?.givenName ?? null,
    surname: name?.familyName ?? null,
    mail: mail?.value ?? null,
    ...(full == null ? {} : { displayName: full }),
    ...(active == null ? {} : { enabled: active }),
    ...(password == null ? {} : { password }),
  }
}

/** A name for somebody of whom nothing but parts is known. */
export function fullName({ displayName, givenName, surname, userPrincipalName }: Said): string {
  return displayName ?? ([givenName, surname].filter((part) => part !== null).join(' ') || userPrincipalName)
}

/** What becomes different. Nothing else is written, so that two edits of different attributes do not undo each other. */
export function differences(before: Said, after: Said): UserUpdate {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => value !== before[name as keyof Said]))
}
