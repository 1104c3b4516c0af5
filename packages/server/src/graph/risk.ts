import { z } from 'zod'
import type { Column } from '../directory/listing.ts'
import type { RiskHistoryItem, RiskyApplication, RiskyUser } from '../directory/risk.ts'
import { type Api, pageOf, pathOf, searchOf, written } from './api.ts'
import type { Caller } from './caller.ts'
import { notFound } from './errors.ts'
import { answerList, type Source } from './lists.ts'
import { LIST_OPTIONS, parseNames } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

/** As many as Graph takes at once. */
const ids = z.array(z.string().min(1).max(128)).min(1).max(60)
const levels = { enum: ['none', 'low', 'medium', 'high'] }
const text = { type: 'string' }
const flag = { type: 'boolean' }

export const RISKY_USERS: Resource<RiskyUser> = {
  type: 'riskyUser',
  set: 'identityProtection/riskyUsers',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: text },
    isDeleted: { read: ({ isDeleted }) => isDeleted, usual: true, schema: flag },
    isProcessing: { read: () => false, usual: true, schema: flag },
    riskLevel: { read: ({ level }) => level, column: { name: 'risk_level', type: 'text' }, usual: true, schema: levels },
    riskState: {
      ...{ read: ({ state }) => state, column: { name: 'risk_state', type: 'text' }, usual: true },
      schema: { enum: ['none', 'confirmedSafe', 'remediated', 'dismissed', 'atRisk', 'confirmedCompromised'] },
    },
    riskDetail: { read: ({ detail }) => detail, column: { name: 'risk_detail', type: 'text', nullable: true }, usual: true, schema: text },
    riskLastUpdatedDateTime: {
      ...{ read: ({ at }) => toTime(at), column: { name: 'risk_at', type: 'time' }, sort: true, usual: true },
      schema: { type: 'string', format: 'date-time' },
    },
    userDisplayName: { read: (user) => user.displayName, column: { name: 'display_name', type: 'text' }, sort: true, usual: true, schema: text },
    userPrincipalName: { read: (user) => user.userPrincipalName, column: { name: 'upn_key', type: 'key' }, sort: true, usual: true, schema: text },
  },
}

export const RISKY_SERVICE_PRINCIPALS: Resource<RiskyApplication> = {
  type: 'riskyServicePrincipal',
  set: 'identityProtection/riskyServicePrincipals',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: text },
    appId: { read: ({ appId }) => appId, column: { name: 'app_id', type: 'id' }, usual: true, schema: text },
    displayName: { read: ({ displayName }) => displayName, column: { name: 'display_name', type: 'text' }, sort: true, usual: true, schema: text },
    isEnabled: { read: ({ enabled }) => enabled, column: { name: 'enabled', type: 'boolean' }, usual: true, schema: flag },
    riskLevel: { read: ({ level }) => level, column: { name: 'risk_level', type: 'text' }, usual: true, schema: levels },
    riskState: { read: ({ level }) => (level === 'high' ? 'confirmedCompromised' : 'atRisk'), usual: true, schema: text },
  },
}

/** `identityProtection`: users and applications that somebody else may have, as far as anybody knows. */
export function registerRisk(api: Api): void {
  registerList(api, RISKY_USERS, 'IdentityRiskyUser', 'users', ({ tenant }) => tenant.risk.users)
  registerList(api, RISKY_SERVICE_PRINCIPALS, 'IdentityRiskyServicePrincipal', 'applications', ({ tenant }) => tenant.risk.applications)

  const of = z.strictObject({ userIds: ids })
  api.route(
    'POST',
    '/identityProtection/riskyUsers/confirmCompromised',
    { does: 'Says that users are compromised: everything of them ends', needs: ['IdentityRiskyUser.ReadWrite.All'], body: of },
    async ({ tenant, actor }, _request, reply, { userIds }) =>
      written(reply, await tenant.risk.confirmCompromised(actor, userIds))
        .code(204)
        .send(),
  )
  api.route(
    'POST',
    '/identityProtection/riskyUsers/dismiss',
    { does: 'Says that users are at no risk', needs: ['IdentityRiskyUser.ReadWrite.All'], body: of },
    async ({ tenant, actor }, _request, reply, { userIds }) =>
      written(reply, await tenant.risk.dismiss(actor, userIds))
        .code(204)
        .send(),
  )

  api.route(
    'POST',
    '/identityProtection/riskyUsers/confirmSafe',
    {
      does: 'Says that users are who they say: what was found is over, and what was new about it is known',
      needs: ['IdentityRiskyUser.ReadWrite.All'],
      body: of,
    },
    async ({ tenant, actor }, _request, reply, { userIds }) =>
      written(reply, await tenant.risk.confirmSafe(actor, userIds))
        .code(204)
        .send(),
  )
  api.route(
    'GET',
    '/identityProtection/riskyUsers/:id/history',
    { does: 'Lists what was thought of a user, newest first', needs: ['IdentityRiskyUser.Read.All'], options: ['$top', '$skiptoken'] },
    async ({ tenant }, request) => {
      const { limit, after } = parseNames(searchOf(request), HISTORY_ID)
      const found = await tenant.risk.history(pathOf(request), { limit: limit + 1, ...(after === undefined ? {} : { before: after }) })
      if (!found) throw notFound()
      const { value, next } = pageOf(api.origin, request, found, limit, ({ id }) => id)
      return {
        '@odata.context': `${api.origin}/v1.0/$metadata#${RISKY_USERS.set}('${pathOf(request)}')/history`,
        ...next,
        value: value.map(historyItem),
      }
    },
  )

  const ofApplications = z.strictObject({ servicePrincipalIds: ids })
  const writes = { needs: ['IdentityRiskyServicePrincipal.ReadWrite.All'], body: ofApplications } as const
  api.route(
    'POST',
    '/identityProtection/riskyServicePrincipals/confirmCompromised',
    { does: 'Says that applications are compromised: everything that they hold ends', ...writes },
    async ({ tenant, actor }, _request, reply, { servicePrincipalIds }) =>
      written(reply, await tenant.risk.confirmApplicationsCompromised(actor, servicePrincipalIds))
        .code(204)
        .send(),
  )
  api.route(
    'POST',
    '/identityProtection/riskyServicePrincipals/dismiss',
    { does: 'Says that applications are at no risk', ...writes },
    async ({ tenant, actor }, _request, reply, { servicePrincipalIds }) =>
      written(reply, await tenant.risk.dismissApplications(actor, servicePrincipalIds))
        .code(204)
        .send(),
  )
}

const HISTORY_ID = /^[0-9a-f-]{36}$/

/** Graph's `riskyUserHistoryItem`, as far as it goes. */
function historyItem({ id, at, level, state, detail, by, events }: RiskHistoryItem): object {
  return {
    ...{ id, riskLevel: level, riskState: state, riskDetail: detail, riskLastUpdatedDateTime: toTime(at), initiatedBy: by },
    activity: { detail, riskEventTypes: events },
  }
}

type Kind = 'IdentityRiskyUser' | 'IdentityRiskyServicePrincipal'

function registerList<T>(api: Api, resource: Resource<T>, kind: Kind, what: string, sourceOf: (caller: Caller) => Source<T>): void {
  const reads = { needs: [`${kind}.Read.All`], gives: resource } as const
  const url = `/${resource.set}`
  api.route('GET', url, { does: `Lists ${what} that are, or were, at risk`, options: LIST_OPTIONS, ...reads }, (caller, request) =>
    answerList(api, caller.tenant.id, request, resource, sourceOf(caller)),
  )
  api.route('GET', `${url}/:id`, { does: `Shows the risk of one of the ${what}`, options: ['$select'], ...reads }, async (caller, request) => {
    const select = parseSelect(resource, searchOf(request).get('$select'))
    const column = resource.properties.id?.column as Column
    const found = (await sourceOf(caller).page({ where: { is: 'eq', column, value: pathOf(request) }, limit: 1 })).value[0]
    if (!found) throw notFound()
    return { '@odata.context': `${api.origin}/v1.0/$metadata#${resource.set}/$entity`, ...shape(resource, select, found) }
  })
}
