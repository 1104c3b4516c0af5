import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { StoredLocation } from '../directory/locations.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import type { Admitted } from './caller.ts'
import { notFound } from './errors.ts'
import { answerList } from './lists.ts'
import { withoutId } from './policies.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

/** A million ranges, each as a bare text. */
const BODY_LIMIT = 64 * 1024 * 1024

const location = z
  .record(z.string(), z.unknown())
  .describe(
    'An ipNamedLocation or a countryNamedLocation as Microsoft Graph has them; a range may also be a bare text. What a change does not name stays',
  )

const time = { type: ['string', 'null'], format: 'date-time' }
const member = (name: string, schema: object) => ({ read: ({ json }: StoredLocation) => json[name], usual: true as const, schema })

export const LOCATIONS: Resource<StoredLocation> = {
  type: 'namedLocation',
  set: 'identity/conditionalAccess/namedLocations',
  typeOf: ({ kind }) => (kind === 'ip' ? 'ipNamedLocation' : 'countryNamedLocation'),
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: { type: 'string' } },
    displayName: {
      ...member('displayName', { type: 'string' }),
      ...{ column: { name: 'name', type: 'text' }, sort: true, search: 'words' },
    },
    createdDateTime: {
      read: ({ createdAt }) => toTime(createdAt),
      column: { name: 'created_at', type: 'time' },
      sort: true,
      usual: true,
      schema: time,
    },
    modifiedDateTime: { read: ({ changedAt }) => (changedAt === null ? null : toTime(changedAt)), usual: true, schema: time },
    isTrusted: { ...member('isTrusted', { type: 'boolean' }), column: { name: 'trusted', type: 'boolean' } },
    // Lists show them when they are asked for: there may be a million.
    ipRanges: {
      read: ({ kind, ranges }) => (kind === 'ip' ? ranges?.map(rangeOf) : undefined),
      schema: { type: 'array', items: { type: 'object' } },
    },
    countriesAndRegions: member('countriesAndRegions', { type: 'array', items: { type: 'string' } }),
    countryLookupMethod: member('countryLookupMethod', { type: 'string' }),
    includeUnknownCountriesAndRegions: member('includeUnknownCountriesAndRegions', { type: 'boolean' }),
  },
}

function rangeOf(cidrAddress: string): object {
  return { '@odata.type': `#microsoft.graph.${cidrAddress.includes(':') ? 'iPv6CidrRange' : 'iPv4CidrRange'}`, cidrAddress }
}

/** `identity/conditionalAccess/namedLocations`. */
export function registerLocations(api: Api): void {
  const { origin, route } = api
  const url = '/identity/conditionalAccess/namedLocations'
  const reads = { needs: ['Policy.Read.All'], gives: LOCATIONS } as const
  const writes = { needs: ['Policy.ReadWrite.ConditionalAccess'] } as const
  const whole = [...parseSelect(LOCATIONS, null), 'ipRanges']
  const entity = (found: StoredLocation, select: string[] = whole) => ({
    '@odata.context': `${origin}/v1.0/$metadata#${LOCATIONS.set}/$entity`,
    ...shape(LOCATIONS, select, found),
  })
  const edits = { kind: 'location' as const, id: async (_: Admitted, request: FastifyRequest) => pathOf(request) }

  route('GET', url, { does: 'Lists named locations; ranges only with $select', options: LIST_OPTIONS, ...reads }, ({ tenant }, request) => {
    const select = parseSelect(LOCATIONS, searchOf(request).get('$select'))
    return answerList(api, tenant.id, request, LOCATIONS, select.includes('ipRanges') ? tenant.locations.listWithRanges : tenant.locations.list)
  })

  route('GET', `${url}/:id`, { does: 'Shows a named location', options: ['$select'], ...reads }, async ({ tenant }, request) => {
    const asked = searchOf(request).get('$select')
    const select = asked === null ? whole : parseSelect(LOCATIONS, asked)
    const found = await tenant.locations.find(pathOf(request))
    if (!found) throw notFound()
    return entity(found, select)
  })

  route(
    'POST',
    url,
    { does: 'Makes a named location', body: location, bodyLimit: BODY_LIMIT, gives: LOCATIONS, ...writes },
    async (caller, _request, reply, body) => {
      const { locations } = caller.tenant
      const done = await locations.create(caller.actor, withoutId(body))
      return written(reply, done)
        .code(201)
        .send(entity((await locations.find(done.result)) as StoredLocation))
    },
  )

  route(
    'PATCH',
    `${url}/:id`,
    { does: 'Changes a named location', body: location, bodyLimit: BODY_LIMIT, edits, ...writes },
    async ({ tenant, actor }, request, reply, body) =>
      written(reply, await tenant.locations.update(actor, pathOf(request), withoutId(body)))
        .code(204)
        .send(),
  )

  route('DELETE', `${url}/:id`, { does: 'Deletes a named location', edits, ...writes }, async ({ tenant, actor }, request, reply) =>
    written(reply, await tenant.locations.remove(actor, pathOf(request)))
      .code(204)
      .send(),
  )
}
