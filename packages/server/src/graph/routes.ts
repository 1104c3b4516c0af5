import type { FastifyInstance } from 'fastify'
import { cacheable, METADATA_MAX_AGE } from '../cacheable.ts'
import { type ApiOptions, createApi, type Declared } from './api.ts'
import { registerAppRoles } from './app-roles.ts'
import { registerApplications } from './applications.ts'
import { registerAuditLogs } from './audit-logs.ts'
import { registerAuthentication } from './authentication.ts'
import { registerBatch } from './batch.ts'
import { registerCaeSwitch } from './cae-switch.ts'
import { registerConnection } from './connection.ts'
import { registerContexts } from './contexts.ts'
import { registerDeliveries } from './deliveries.ts'
import { registerDeltas } from './delta.ts'
import { registerDevices } from './devices.ts'
import { registerEvents } from './events.ts'
import { registerGroups } from './groups.ts'
import { registerKeys } from './keys.ts'
import { registerLive } from './live.ts'
import { registerLocations } from './locations.ts'
import { registerLoop } from './loop.ts'
import { registerMembers } from './members.ts'
import { describeApi } from './openapi.ts'
import { registerOrganization } from './organization.ts'
import { registerPolicies } from './policies.ts'
import { registerProvisioning } from './provisioning.ts'
import { registerReevaluations } from './reevaluations.ts'
import { registerRevocations } from './revocations.ts'
import { registerRisk } from './risk.ts'
import { registerRiskDetections } from './risk-detections.ts'
import { registerRoles } from './roles.ts'
import { registerSessions } from './sessions.ts'
import { createSse, type SseOptions } from './sse.ts'
import { registerStreams } from './streams.ts'
import { registerTemplates } from './templates.ts'
import { registerTenantFile } from './tenant-file.ts'
import { registerUpstreams } from './upstreams.ts'
import { registerUsers } from './users.ts'
import { registerWhatIf } from './what-if.ts'

/** The admin API in Microsoft Graph's shapes. The tenant is the one of the token. @returns its routes, as they declare themselves */
export function registerGraph(app: FastifyInstance, options: ApiOptions & Pick<SseOptions, 'onEnd'>): readonly Declared[] {
  const api = createApi(app, options)
  registerUsers(api)
  registerSessions(api)
  registerAuthentication(api)
  registerApplications(api)
  registerAppRoles(api)
  registerGroups(api)
  registerMembers(api)
  registerDeltas(api)
  registerDevices(api)
  registerRoles(api)
  registerPolicies(api)
  registerTemplates(api)
  registerLocations(api)
  registerContexts(api)
  registerCaeSwitch(api)
  registerReevaluations(api)
  registerRisk(api)
  registerRiskDetections(api)
  registerOrganization(api)
  registerProvisioning(api)
  registerKeys(api)
  registerUpstreams(api)
  registerTenantFile(api)
  registerConnection(api)
  registerWhatIf(api)
  registerAuditLogs(api)
  registerLoop(api)
  const sse = createSse(options)
  registerStreams(api)
  registerDeliveries(api)
  registerEvents(api, sse)
  registerRevocations(api, sse)
  registerLive(api, sse)
  registerBatch(api, app)
  const type = 'application/json; charset=utf-8'
  const text = JSON.stringify(describeApi(api.declared))
  app.get('/v1.0/openapi.json', async (request, reply) => {
    const { status, headers, body } = cacheable({ type, text, maxAge: METADATA_MAX_AGE, ifNoneMatch: request.headers['if-none-match'] })
    return reply.code(status).headers(headers).send(body)
  })
  return api.declared
}
