import { z } from 'zod'
import type { Column } from '../directory/listing.ts'
import type { RiskDetection } from '../directory/risk.ts'
import { DETECTION_TYPES, type DetectionType } from '../risk/finding.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import type { Caller } from './caller.ts'
import { notFound } from './errors.ts'
import { answerList } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

const text = { type: 'string' }
const time = { type: 'string', format: 'date-time' }

/** Graph's `riskDetection`. Why it was raised stands in `additionalInfo`, which is JSON in a text there, too. */
export const RISK_DETECTIONS: Resource<RiskDetection> = {
  type: 'riskDetection',
  set: 'identityProtection/riskDetections',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, sort: true, usual: true, schema: text },
    requestId: { read: ({ signIn }) => signIn ?? '', usual: true, schema: text },
    correlationId: { read: ({ correlation }) => correlation, column: { name: 'correlation', type: 'id' }, usual: true, schema: text },
    riskEventType: { read: ({ type }) => type, column: { name: 'type', type: 'text' }, usual: true, schema: text },
    riskLevel: { read: ({ level }) => level, column: { name: 'level', type: 'text' }, usual: true, schema: { enum: ['low', 'medium', 'high'] } },
    riskState: {
      ...{ read: ({ state }) => state, column: { name: 'state', type: 'text' }, usual: true },
      schema: { enum: ['atRisk', 'confirmedCompromised', 'confirmedSafe', 'dismissed', 'remediated'] },
    },
    riskDetail: { read: ({ detail }) => detail, column: { name: 'detail', type: 'text' }, usual: true, schema: text },
    source: { read: () => 'CAEgis', usual: true, schema: text },
    detectionTimingType: { read: () => 'realtime', usual: true, schema: text },
    activity: { read: ({ about }) => (about === 'user' ? 'user' : 'signin'), usual: true, schema: { enum: ['signin', 'user'] } },
    ipAddress: { read: ({ address }) => address, column: { name: 'address', type: 'id' }, usual: true, schema: text },
    location: { read: ({ country }) => ({ countryOrRegion: country }), usual: true, schema: { type: 'object' } },
    activityDateTime: {
      ...{ read: ({ activityAt }) => toTime(activityAt), column: { name: 'activity_at', type: 'time' }, sort: true, usual: true, schema: time },
    },
    detectedDateTime: {
      ...{ read: ({ detectedAt }) => toTime(detectedAt), column: { name: 'detected_at', type: 'time' }, sort: true, usual: true, schema: time },
    },
    lastUpdatedDateTime: { read: ({ updatedAt }) => toTime(updatedAt), column: { name: 'updated_at', type: 'time' }, usual: true, schema: time },
    userId: { read: ({ userId }) => userId, column: { name: 'user_id', type: 'id' }, usual: true, schema: text },
    userDisplayName: { read: (one) => one.userDisplayName, column: { name: 'user_display_name', type: 'text' }, usual: true, schema: text },
    userPrincipalName: { read: ({ userName }) => userName, column: { name: 'user_name', type: 'text' }, usual: true, schema: text },
    additionalInfo: {
      read: ({ why, facts }) => JSON.stringify([{ Key: 'why', Value: why }, ...Object.entries(facts).map(([Key, Value]) => ({ Key, Value }))]),
      ...{ usual: true, schema: text },
    },
  },
}

/** What was found, and which detections there are. */
export function registerRiskDetections(api: Api): void {
  const { route, origin } = api
  const reads = { needs: ['IdentityRiskEvent.Read.All'], gives: RISK_DETECTIONS } as const
  const url = `/${RISK_DETECTIONS.set}`
  route('GET', url, { does: 'Lists what was found about users and their sign-ins', options: LIST_OPTIONS, ...reads }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, RISK_DETECTIONS, tenant.risk.detections),
  )
  route('GET', `${url}/:id`, { does: 'Shows one thing that was found', options: ['$select'], ...reads }, async ({ tenant }, request) => {
    const select = parseSelect(RISK_DETECTIONS, searchOf(request).get('$select'))
    const column = RISK_DETECTIONS.properties.id?.column as Column
    const [found] = (await tenant.risk.detections.page({ where: { is: 'eq', column, value: pathOf(request) }, limit: 1 })).value
    if (!found) throw notFound()
    return { '@odata.context': `${origin}/v1.0/$metadata#${RISK_DETECTIONS.set}/$entity`, ...shape(RISK_DETECTIONS, select, found) }
  })

  const settings = '/caegis/identityProtection/detections'
  const show = async ({ tenant }: Caller) => ({
    '@odata.context': `${origin}/v1.0/$metadata#caegis/identityProtection/detections`,
    value: await tenant.riskSettings.list(),
  })
  route(
    'GET',
    settings,
    { does: 'Lists the detections of risk: what they see, when they are wrong, and whether they are on', needs: ['IdentityRiskEvent.Read.All'] },
    show,
  )
  route(
    'PATCH',
    settings,
    { does: 'Turns detections of risk off, or on again', needs: ['Policy.ReadWrite.ConditionalAccess'], body: turned },
    async ({ tenant, actor }, _request, reply, body) => {
      const each = Object.fromEntries(Object.entries(body).map(([type, state]) => [type, state === 'on'])) as Record<DetectionType, boolean>
      return written(reply, await tenant.riskSettings.update(actor, each))
        .code(204)
        .send()
    },
  )
}

const turned = z
  .strictObject(Object.fromEntries(DETECTION_TYPES.map((type) => [type, z.enum(['on', 'off']).optional()])))
  .refine((given) => Object.keys(given).length > 0, 'an empty change')
