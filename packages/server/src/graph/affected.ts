import { type ComplexSubject, type CutoffRow, EVENT, type SimpleSubject, type Subject } from '@caegis/protocol'
import type { EventRow } from '@caegis/ssf/transmitter'
import type { SignIn } from '../logs/sign-in.ts'
import type { SignInsOf } from '../logs/sign-ins.ts'
import type { Admitted } from './caller.ts'

/** What a change is about: the narrowest thing that all of its events name. */
export interface Affected {
  kind: 'user' | 'session' | 'app' | 'device' | 'grant' | 'token' | 'tenant'
  id: string
  /** Whose session, device or grant. */
  user?: string
  /** The application of a grant. */
  app?: string
  /** Several of them: then the kind is the tenant. */
  users?: ReadonlySet<string>
  /** How many things it names. */
  count: number
}

/** @param rows some of the change's events, at least one */
export function affectedBy(rows: readonly Pick<EventRow, 'type' | 'subject' | 'payload'>[], tenant: string): Affected {
  const found = new Map<string, Omit<Affected, 'count'>>()
  for (const { type, subject, payload } of rows) {
    const named =
      type === EVENT.cutoffs && Array.isArray(payload.cutoffs) ? (payload.cutoffs as CutoffRow[]).map(ofCutoff) : [ofSubject(subject.complex)]
    for (const one of named) if (one) found.set(`${one.kind} ${one.id}`, one)
  }
  const [first] = found.values()
  if (found.size === 1 && first) return { ...first, count: 1 }
  const users = new Set([...found.values()].map(({ user }) => user))
  const [user] = users
  // Several things of one user are that user's.
  if (users.size === 1 && user !== undefined) return { kind: 'user', id: user, user, count: found.size }
  users.delete(undefined)
  return { kind: 'tenant', id: tenant, count: found.size, ...(users.size > 0 ? { users: users as Set<string> } : {}) }
}

function ofSubject(subject: Subject): Omit<Affected, 'count'> | undefined {
  if (subject.format !== 'complex') {
    if (subject.format === 'jwt_id') return { kind: 'token', id: (subject as { jti: string }).jti }
    const user = idOf(subject as SimpleSubject)
    return user === undefined ? undefined : { kind: 'user', id: user, user }
  }
  const complex = subject as ComplexSubject
  const [user, session, app, device, tenant] = [complex.user, complex.session, complex.application, complex.device, complex.tenant].map(idOf)
  const whose = user === undefined ? {} : { user }
  if (session !== undefined) return { kind: 'session', id: session, ...whose }
  if (user !== undefined && app !== undefined) return { kind: 'grant', id: app, user, app }
  if (device !== undefined) return { kind: 'device', id: device, ...whose }
  if (user !== undefined) return { kind: 'user', id: user, user }
  if (app !== undefined) return { kind: 'app', id: app, app }
  return tenant === undefined ? undefined : { kind: 'tenant', id: tenant }
}

function ofCutoff([kind, id]: CutoffRow): Omit<Affected, 'count'> | undefined {
  // Kinds that name a pair join both ids by a line feed (protocol/cutoff.ts).
  const [first = '', second = ''] = id.split('\n')
  switch (kind) {
    case 'user':
      return { kind, id, user: id }
    case 'grant':
      return { kind, id: second, user: first, app: second }
    case 'user-device':
      return { kind: 'device', id: second, user: first }
    case 'app':
      return { kind, id, app: id }
    default:
      return { kind, id }
  }
}

function idOf(subject: SimpleSubject | undefined): string | undefined {
  if (subject?.format === 'iss_sub') return subject.sub
  return subject?.format === 'opaque' ? subject.id : undefined
}

/** With the names of now. */
export async function named({ tenant }: Admitted, { kind, id, user, app, count }: Affected): Promise<object> {
  const person = user === undefined ? undefined : await tenant.directory.user(user)
  const application = app === undefined ? undefined : await tenant.application(app)
  const device = kind === 'device' ? await tenant.devices.find(id) : undefined
  const displayName = {
    ...{ user: person?.displayName, session: person?.displayName, grant: person?.displayName, token: undefined },
    ...{ app: application?.displayName, device: device?.displayName, tenant: tenant.name },
  }[kind]
  return {
    ...{ kind, id, displayName: displayName ?? null },
    ...(user === undefined ? {} : { userId: user, userPrincipalName: person?.userPrincipalName ?? null }),
    ...(app === undefined ? {} : { application: { id: app, displayName: application?.displayName ?? null } }),
    count,
  }
}

/** Where the sign-ins of those whom it reached are looked for; what lies in between is picked out by {@link isOf}. */
export function signInsOf({ kind, user, app }: Affected): SignInsOf {
  if (user !== undefined && kind !== 'device') return { user }
  return kind === 'app' && app !== undefined ? { app } : 'all'
}

export function isOf({ kind, id, user, app, users }: Affected, signIn: Pick<SignIn, 'user' | 'app' | 'device'>): boolean {
  if (kind === 'token') return false
  if (kind === 'grant' && signIn.app?.id !== app) return false
  if (kind === 'device') return signIn.device?.id === id && (user === undefined || signIn.user?.id === user)
  if (users) return signIn.user !== null && users.has(signIn.user.id)
  return true
}
