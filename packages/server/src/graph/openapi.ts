import { z } from 'zod'
import type { Declared } from './api.ts'
import type { AnyResource } from './resource.ts'

/** Query options in words. */
const OPTIONS: Record<string, { description: string; schema: object }> = {
  $filter: { description: 'Which objects', schema: { type: 'string', maxLength: 4096 } },
  $select: { description: 'Names of properties', schema: { type: 'string' } },
  $orderby: { description: 'Names of properties, each with asc or desc', schema: { type: 'string' } },
  $top: { description: 'Objects on a page', schema: { type: 'integer', minimum: 1, maximum: 999 } },
  $skiptoken: { description: 'As @odata.nextLink says', schema: { type: 'string' } },
  $deltatoken: { description: 'As @odata.deltaLink says, or latest', schema: { type: 'string' } },
  $count: { description: 'Whether to say how many there are; with ConsistencyLevel: eventual', schema: { type: 'boolean' } },
  confirm: { description: 'Whether a policy is saved that would keep its author out', schema: { type: 'boolean' } },
  hours: { description: 'How far back; 24 when absent', schema: { type: 'integer', minimum: 1, maximum: 720 } },
  topics: { description: 'Names with commas between them: events, signIns, loop, streams', schema: { type: 'string' } },
  $search: { description: '"property:text"; with ConsistencyLevel: eventual', schema: { type: 'string', maxLength: 1024 } },
}

const ERROR = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: { code: { type: 'string' }, message: { type: 'string' }, innerError: { type: 'object' } },
    },
  },
}

/** The admin API as an OpenAPI 3.1 document, made of what its routes declare. */
export function describeApi(declared: readonly Declared[]): object {
  const paths: Record<string, Record<string, object>> = {}
  const schemas: Record<string, object> = { error: ERROR }
  for (const route of declared) {
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, schemas) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'CAEgis admin API', version: 'v1.0', description: 'In the shapes of Microsoft Graph v1.0. The tenant is the one of the token.' },
    servers: [{ url: '/v1.0' }],
    security: [{ bearer: [] }],
    paths,
    components: { schemas, securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
  }
}

function operation({ method, url, does, body, options = [], gives, ...access }: Declared, schemas: Record<string, object>): object {
  const parameters = [
    ...[...url.matchAll(/:(\w+)/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    ...options.map((name) => ({ name, in: 'query', ...OPTIONS[name] })),
  ]
  return {
    summary: does,
    description: permissionsOf(access),
    operationId: `${method.toLowerCase()}${url.replace(/[^\w]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replace(/\W/g, '')}`,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body
      ? {
          requestBody: { content: { 'application/json': { schema: withoutDialect(z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' })) } } },
        }
      : {}),
    responses: {
      '2XX': {
        description: 'Done',
        ...(gives ? { content: { 'application/json': { schema: answer(gives, options.includes('$top'), schemas) } } } : {}),
      },
      '4XX': { description: 'Refused', content: { 'application/json': { schema: { $ref: '#/components/schemas/error' } } } },
    },
  }
}

function answer({ type, properties }: AnyResource, many: boolean, schemas: Record<string, object>): object {
  const known = Object.entries(properties).map(([name, { schema = {} }]) => [name, schema])
  schemas[type] = { type: 'object', properties: { '@odata.etag': { type: 'string' }, ...Object.fromEntries(known) } }
  const one = { $ref: `#/components/schemas/${type}` }
  if (!many) return one
  const links = { '@odata.nextLink': { type: 'string' }, '@odata.deltaLink': { type: 'string' }, '@odata.count': { type: 'integer' } }
  return { type: 'object', required: ['value'], properties: { value: { type: 'array', items: one }, ...links } }
}

/** Who may use a route, in words. */
export function permissionsOf({ needs, own, self, more }: Pick<Declared, 'needs' | 'own' | 'self' | 'more'>): string {
  if (needs === 'each alone') return 'any token; each request in it as if alone'
  return [
    own ? `${needs.join(' or ')}: for users, without a role` : needs.join(' or '),
    ...(self ? [`${self.needs} where ${self.when}`] : []),
    ...(more ? [`${more.needs} where ${more.when}`] : []),
  ].join('; ')
}

function withoutDialect({ $schema: _, ...schema }: Record<string, unknown>): object {
  return schema
}
