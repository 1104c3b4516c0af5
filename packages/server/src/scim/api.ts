import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Actor, Directory } from '../directory/directory.ts'
import type { Groups } from '../directory/groups.ts'
import type { Condition, Listed, Page } from '../directory/listing.ts'
import { invalidValue, ScimError } from './errors.ts'
import { compileFilter, type Filters } from './filter.ts'
import { matches, type Represented, readSelection, select } from './resource.ts'

/** Who provisions: an application, in one tenant. */
export interface Caller {
  tenant: { id: string; name: string; directory: Directory; groups: Groups }
  actor: Actor
  /** What people and groups have as their source who come from it. */
  source: string
  /** Of all locations. */
  base: string
}

export type Answered = FastifyRequest<{ Params: { id: string } }>
export type Handle = (caller: Caller, request: Answered, reply: FastifyReply) => Promise<unknown>

/** What resources register their routes with. */
export interface Scim {
  route(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, handle: Handle): void
}

export const MOST_RESULTS = 200
const USUAL_RESULTS = 100

/** One page (RFC 7644 section 3.4.2). */
export async function answerList<T>(
  schema: string,
  filters: Filters,
  request: FastifyRequest,
  list: { page(page: Page): Promise<Listed<T>>; count(where?: Condition): Promise<number> },
  show: (item: T) => Represented | Promise<Represented>,
): Promise<unknown> {
  const search = searchOf(request)
  if (search.has('sortBy') || search.has('sortOrder')) throw invalidValue('Sorting is not supported.')
  const selection = readSelection(schema, search)
  const filter = search.get('filter')
  const where = filter === null ? undefined : compileFilter(schema, filters, filter)
  const startIndex = Math.max(1, wholeNumber(search, 'startIndex') ?? 1)
  const limit = Math.min(MOST_RESULTS, Math.max(0, wholeNumber(search, 'count') ?? USUAL_RESULTS))
  const { value } = limit === 0 ? { value: [] } : await list.page({ where, limit, offset: startIndex - 1 })
  const resources = []
  for (const item of value) resources.push(select(await show(item), selection))
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
    ...{ totalResults: await list.count(where), startIndex, itemsPerPage: resources.length, Resources: resources },
  }
}

export function answerOne(
  schema: string,
  request: FastifyRequest,
  reply: FastifyReply,
  resource: Represented & { meta: { version: string } },
): FastifyReply {
  const selection = readSelection(schema, searchOf(request))
  const { version } = resource.meta
  void reply.header('etag', version)
  const known = request.headers['if-none-match']
  if (request.method === 'GET' && known !== undefined && matches(known, version)) return reply.code(304).send()
  return reply.send(select(resource, selection))
}

/** `If-Match`, to be asked inside the change's own transaction. */
export function versionCheck({ headers }: FastifyRequest): (version: () => string) => void {
  const wanted = headers['if-match']
  return (version) => {
    if (wanted !== undefined && !matches(wanted, version())) throw new ScimError(412, 'The resource is another than the version that If-Match names.')
  }
}

export function searchOf({ url }: FastifyRequest): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : url.slice(at))
}

function wholeNumber(search: URLSearchParams, name: string): number | undefined {
  const text = search.get(name)
  if (text === null) return undefined
  if (!/^-?\d{1,9}$/.test(text)) throw invalidValue(`${name} is a whole number.`)
  return Number(text)
}
