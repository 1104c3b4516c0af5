import type { FastifyRequest } from 'fastify'
import type { Condition, Listed, Page } from '../directory/listing.ts'
import { type Api, searchOf } from './api.ts'
import { badRequest } from './errors.ts'
import { listOf, parseQuery, sealToken } from './query.ts'
import { type Resource, shape } from './resource.ts'

/** Where a list comes from. */
export interface Source<T> {
  page(page: Page): Promise<Listed<T>>
  count(where?: Condition): Promise<number>
}

/** Answers a list as its query asks. */
export async function answerList<T>(
  { origin, tag }: Api,
  tenant: string,
  request: FastifyRequest,
  resource: Resource<T>,
  source: Source<T>,
): Promise<object> {
  const search = searchOf(request)
  const path = request.url.split('?')[0] as string
  const bound: typeof tag = (context, text) => tag(`${tenant} ${context}`, text)
  const { select, count, ...page } = parseQuery(resource, search, path, isEventual(request), bound)
  const { value, next } = await source.page(page)
  const total = count ? await source.count(page.where) : undefined
  if (next) search.set('$skiptoken', sealToken(next, listOf(path, search), bound))
  return {
    '@odata.context': `${origin}/v1.0/$metadata#${resource.set}`,
    ...(total === undefined ? {} : { '@odata.count': total }),
    ...(next ? { '@odata.nextLink': `${origin}${path}?${search}` } : {}),
    value: value.map((one) => shape(resource, select, one)),
  }
}

/** Answers `$count` of a list: a bare number. */
export async function answerCount<T>(tenant: string, request: FastifyRequest, resource: Resource<T>, source: Source<T>): Promise<string> {
  if (!isEventual(request)) throw badRequest('$count needs the header ConsistencyLevel: eventual.')
  const { where } = parseQuery(resource, searchOf(request), tenant, true, () => '')
  return String(await source.count(where))
}

export const COUNT_OPTIONS = ['$filter', '$search'] as const

function isEventual({ headers }: FastifyRequest): boolean {
  return String(headers.consistencylevel ?? '').toLowerCase() === 'eventual'
}
