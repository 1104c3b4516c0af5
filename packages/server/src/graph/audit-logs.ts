import type { FastifyRequest } from 'fastify'
import type { Audit, AuditFilter } from '../logs/audits.ts'
import type { Page } from '../logs/page.ts'
import { OUTCOMES, type Outcome, outcomeOf, type SignIn } from '../logs/sign-in.ts'
import type { SignInFilter } from '../logs/sign-ins.ts'
import { type Api, pathOf, searchOf } from './api.ts'
import type { Caller } from './caller.ts'
import { badRequest, notFound } from './errors.ts'
import { type Comparison, instants, type Readers, readFilter, text } from './log-filter.ts'
import { parseTop } from './query.ts'

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** A page may end where nothing is: between two ids. */
const TOKEN = /^[0-9a-f-]{13,36}$/
const OPTIONS = ['$filter', '$top', '$skiptoken']

const outcome = ({ operator, value }: Comparison) =>
  operator === 'eq' && OUTCOMES.includes(value as Outcome) ? { outcome: value as Outcome } : undefined

const boolean = ({ operator, value }: Comparison) => (operator === 'eq' && typeof value === 'boolean' ? { interactive: value } : undefined)

const SIGN_INS: Readers<SignInFilter & { from: number; to: number }> = {
  createdDateTime: instants,
  userId: text('userId'),
  userPrincipalName: text('userName'),
  appId: text('appId'),
  ipAddress: text('address'),
  correlationId: text('correlation'),
  conditionalAccessStatus: text('policies'),
  isInteractive: boolean,
  outcome,
  'status/errorCode': ({ operator, value }) => {
    if (operator === 'eq' && typeof value === 'number') return { code: value }
    return operator === 'ne' && value === 0 ? { denied: true } : undefined
  },
}

const AUDITS: Readers<AuditFilter & { from: number; to: number }> = {
  activityDateTime: instants,
  activityDisplayName: text('activity'),
  category: text('category'),
  correlationId: text('txn'),
  result: text('result'),
  'initiatedBy/user/id': text('userId'),
  'initiatedBy/app/appId': text('appId'),
  'targetResources/any/id': text('target'),
}

/** `auditLogs`: who signed in and who was refused, who changed what. Newest first. */
export function registerAuditLogs({ origin, route }: Api): void {
  route(
    'GET',
    '/auditLogs/signIns',
    { does: 'Lists sign-ins, newest first', needs: ['AuditLog.Read.All'], options: OPTIONS },
    async (caller, request) => {
      const paging = readPaging(request)
      const filter = await withId(caller, readFilter(searchOf(request).get('$filter'), SIGN_INS))
      return list(request, 'signIns', await caller.tenant.signIns.list({ ...paging, ...filter }), shapeSignIn)
    },
  )

  route('GET', '/auditLogs/signIns/:id', { does: 'Reads one record of sign-ins', needs: ['AuditLog.Read.All'] }, async (caller, request) => {
    const found = ID.test(pathOf(request)) ? await caller.tenant.signIns.find(pathOf(request)) : undefined
    if (!found) throw notFound()
    return { ...context('signIns/$entity'), ...shapeSignIn(found) }
  })

  route(
    'GET',
    '/auditLogs/directoryAudits',
    { does: 'Lists changes of the directory, newest first', needs: ['AuditLog.Read.All'], options: OPTIONS },
    async (caller, request) => {
      const paging = readPaging(request)
      const filter = readFilter(searchOf(request).get('$filter'), AUDITS)
      return list(request, 'directoryAudits', await caller.tenant.audits.list({ ...paging, ...filter }), audit)
    },
  )

  route(
    'GET',
    '/auditLogs/directoryAudits/:id',
    { does: 'Reads one record of changes of the directory', needs: ['AuditLog.Read.All'] },
    async (caller, request) => {
      const found = ID.test(pathOf(request)) ? await caller.tenant.audits.find(pathOf(request)) : undefined
      if (!found) throw notFound()
      return { ...context('directoryAudits/$entity'), ...audit(found) }
    },
  )

  const context = (of: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#auditLogs/${of}` })

  /** A page that looked at enough may be short, or empty, and have another one after it. */
  function list<T>(request: FastifyRequest, of: string, { value, next }: Page<T>, shape: (one: T) => object): object {
    const search = searchOf(request)
    if (next !== undefined) search.set('$skiptoken', next)
    const link = next === undefined ? {} : { '@odata.nextLink': `${origin}${request.url.split('?')[0]}?${search}` }
    return { ...context(of), ...link, value: value.map(shape) }
  }
}

function readPaging(request: FastifyRequest): { limit: number; before?: string } {
  const skip = searchOf(request).get('$skiptoken')
  if (skip !== null && !TOKEN.test(skip)) throw badRequest('$skiptoken is not one of ours.')
  return { limit: parseTop(searchOf(request)), ...(skip === null ? {} : { before: skip }) }
}

/** Whoever has the name now is looked for by id, which an index serves. */
async function withId({ tenant }: Caller, { userName, ...filter }: Partial<SignInFilter>): Promise<Partial<SignInFilter>> {
  if (userName === undefined) return filter
  const user = await tenant.directory.user(userName)
  return user && filter.userId === undefined ? { ...filter, userId: user.id } : { ...filter, userName }
}

const CLIENTS: Record<string, string> = { spa: 'Browser', web: 'Browser', native: 'Mobile Apps and Desktop clients' }

/** Graph's `signIn`; `aggregatedSignInCount`, the grant among the processing details and `outcome` are of its beta, or ours. */
export function shapeSignIn(one: SignIn): object {
  const { user, app, resource, token, device, policies, kind, grant } = one
  const service = kind === 'servicePrincipal'
  return {
    id: one.id,
    createdDateTime: new Date(one.at).toISOString(),
    userId: user?.id ?? '',
    userPrincipalName: user?.name ?? '',
    appId: app?.id ?? '',
    appDisplayName: app?.name ?? '',
    servicePrincipalId: service ? (app?.object ?? '') : '',
    servicePrincipalName: service ? (app?.name ?? '') : '',
    resourceId: resource?.id ?? '',
    resourceDisplayName: resource?.name ?? '',
    correlationId: one.correlation,
    ipAddress: one.address,
    ipAddressFromResourceProvider: one.rpAddress,
    clientAppUsed: grant === 'sign_in_page' ? 'Browser' : (CLIENTS[app?.type ?? ''] ?? ''),
    isInteractive: kind === 'interactiveUser',
    signInEventTypes: [kind],
    authenticationProtocol: grant === 'device_code' ? 'deviceCode' : 'oAuth2',
    incomingTokenType: grant === 'refresh_token' ? 'refreshToken' : 'none',
    uniqueTokenIdentifier: token?.jti ?? '',
    sessionId: one.session,
    sessionLifetimePolicies: policies.lifetimes,
    authenticationProcessingDetails: [
      { key: 'Is CAE Token', value: token?.long ? 'True' : 'False' },
      { key: 'Grant', value: grant },
      ...(token?.exp === undefined ? [] : [{ key: 'Token expires', value: new Date(token.exp * 1000).toISOString() }]),
    ],
    status: { errorCode: one.code, failureReason: one.reason, additionalDetails: null },
    outcome: outcomeOf(one.code),
    conditionalAccessStatus: policies.status,
    appliedConditionalAccessPolicies: policies.applied,
    deviceDetail: {
      ...{ deviceId: device?.id ?? '', displayName: device?.name ?? '', operatingSystem: '', browser: '' },
      ...{ isCompliant: device?.compliant ?? null, isManaged: null, trustType: device?.trustType ?? '' },
    },
    // Graph has no word for what nobody could tell.
    riskLevelDuringSignIn: one.risk?.level === 'unknown' ? 'unknownFutureValue' : (one.risk?.level ?? 'none'),
    riskState: one.risk?.state ?? 'none',
    riskEventTypes_v2: one.risk?.events ?? [],
    ...(one.count > 1 ? { aggregatedSignInCount: one.count } : {}),
  }
}

/** Graph's `directoryAudit`. */
function audit(one: Audit): object {
  const { by, targets, leftOut } = one
  return {
    id: one.id,
    activityDateTime: new Date(one.at).toISOString(),
    activityDisplayName: one.activity,
    category: one.category,
    operationType: one.operation,
    loggedByService: 'Core Directory',
    correlationId: one.txn,
    result: one.result,
    resultReason: one.reason,
    initiatedBy: initiator(by),
    targetResources: targets.map(({ type, id, name = null, modified = [] }) => ({
      ...{ id, displayName: name, type, userPrincipalName: type === 'User' ? name : null },
      modifiedProperties: modified.map((property) => ({ displayName: property.name, oldValue: property.old, newValue: property.new })),
    })),
    additionalDetails: [
      ...(leftOut > 0 ? [{ key: 'Targets left out', value: String(leftOut) }] : []),
      ...(by.app && by.address !== '' ? [{ key: 'IP address', value: by.address }] : []),
    ],
  }
}

export function initiator({ user, app, system, address }: Audit['by']): { user: object | null; app: object | null } {
  return {
    user: user ? { id: user.id, userPrincipalName: user.name, ipAddress: address } : null,
    app: app ? { appId: app.id, displayName: app.name } : system === undefined ? null : { appId: null, displayName: `CAEgis: ${system}` },
  }
}
