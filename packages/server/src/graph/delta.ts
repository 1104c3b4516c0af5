import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MemberChange, ObjectChange } from '../directory/deltas.ts'
import type { Condition } from '../directory/listing.ts'
import { type Api, searchOf } from './api.ts'
import type { Caller } from './caller.ts'
import { badRequest, GraphError } from './errors.ts'
import { parseFilter } from './filter.ts'
import { GROUPS } from './groups.ts'
import { openToken, parseTop, sealToken } from './query.ts'
import { parseSelect, type Resource, shape } from './resource.ts'
import { USERS } from './users.ts'

/** What a round of changes was asked for, and how far it is: the client keeps it as a token. */
interface Round {
  /** Position, and the epoch in which it means something. */
  p: number
  e: string
  /** Second at which the round began. */
  at: number
  /** Where the round before ended. Absent in the first round, which tells what there is. */
  since?: number
  /** Where changes stood when the first round began: what goes after that may have been told already. */
  start?: number
  select?: string
  ids?: string[]
  top: number
}

/** Seconds after which a client begins anew, as in Graph. */
const GOOD_FOR = 30 * 24 * 3600
/** As many as Graph takes. */
const MOST_IDS = 50
const OPTIONS = ['$select', '$filter', '$top', '$deltatoken', '$skiptoken']

type Item = Record<string, unknown>
type Change<T> = ObjectChange<T> | MemberChange
interface Told {
  select: readonly string[]
  minimal: boolean
  /** As in the round. */
  since: number | undefined
  /** What went after this position is told as gone. */
  known: number
}

/** `users/delta` and `groups/delta`: what changed since the client asked last. */
export function registerDeltas(api: Api): void {
  const { route } = api

  route('GET', '/users/delta', { does: 'Lists users that changed', needs: ['User.Read.All'], options: OPTIONS }, (caller, request, reply) =>
    answer(api, caller, request, reply, USERS, (round, limit) => caller.tenant.deltas.users(round.p, limit, round.ids)),
  )

  route(
    'GET',
    '/groups/delta',
    { does: 'Lists groups and memberships that changed', needs: ['Group.Read.All'], options: OPTIONS },
    (caller, request, reply) =>
      answer(api, caller, request, reply, GROUPS, (round, limit) => {
        const members = round.select === undefined || round.select.split(',').some((name) => name.trim() === 'members')
        return caller.tenant.deltas.groups(round.p, limit, members, round.ids)
      }),
  )
}

async function answer<T>(
  { origin, tag }: Api,
  { tenant }: Caller,
  request: FastifyRequest,
  reply: FastifyReply,
  resource: Resource<T>,
  read: (round: Round, limit: number) => Promise<Change<T>[]>,
): Promise<object> {
  const url = `${origin}/v1.0/${resource.set}/delta`
  const bound: typeof tag = (context, text) => tag(`${tenant.id} ${context}`, text)
  const head = await tenant.deltas.head()
  const round = begin(
    resource,
    searchOf(request),
    { p: 0, start: head.position, e: head.epoch, at: Math.floor(head.now) },
    (token, kind) => openToken(token, `${kind} ${url}`, bound) as Round,
  )
  if (round === 'latest') return link('deltaLink', { p: head.position, e: head.epoch, at: Math.floor(head.now), top: 100, since: head.position })
  if (round.e !== head.epoch || head.now - round.at > GOOD_FOR) {
    reply.header('location', url)
    throw new GraphError(410, 'resyncRequired', 'The token has expired. Begin again without one.')
  }
  const minimal = /(?:^|,)\s*return\s*=\s*minimal\s*(?:,|$)/i.test(String(request.headers.prefer ?? ''))
  if (minimal) reply.header('preference-applied', 'return=minimal')
  const found = await read(round, round.top + 1)
  const shown = found.slice(0, round.top)
  const select = parseSelect(resource, round.select === undefined ? null : withoutMembers(resource, round.select))
  const value = tell(resource, shown, { select, minimal, since: round.since, known: round.since ?? round.start ?? 0 })
  const p = shown.at(-1)?.position ?? round.p
  return found.length > shown.length
    ? link('nextLink', { ...round, p }, value)
    : link('deltaLink', { ...round, p, since: p, at: Math.floor(head.now) }, value)

  function link(kind: 'nextLink' | 'deltaLink', to: Round, value: Item[] = []): object {
    const name = kind === 'nextLink' ? '$skiptoken' : '$deltatoken'
    const next = `${url}?${new URLSearchParams({ [name]: sealToken(to, `${name} ${url}`, bound) })}`
    return { '@odata.context': `${origin}/v1.0/$metadata#${resource.set}`, [`@odata.${kind}`]: next, value }
  }
}

/** The round that a request goes on with, or begins. @throws GraphError 400 */
function begin<T>(
  resource: Resource<T>,
  search: URLSearchParams,
  fresh: Pick<Round, 'p' | 'start' | 'e' | 'at'>,
  open: (token: string, kind: string) => Round,
): Round | 'latest' {
  for (const name of ['$skiptoken', '$deltatoken']) {
    const token = search.get(name)
    if (token === null) continue
    if (name === '$deltatoken' && token === 'latest' && search.size === 1) return 'latest'
    // The token says it all.
    if (search.size > 1) throw badRequest(`${name} goes with no other option.`)
    return open(token, name)
  }
  const [select, filter] = [search.get('$select'), search.get('$filter')]
  if (select !== null) parseSelect(resource, withoutMembers(resource, select))
  const ids = filter === null ? undefined : idsIn(resource, filter)
  return { ...fresh, top: parseTop(search), ...(select === null ? {} : { select }), ...(ids ? { ids } : {}) }
}

/** Of groups, members may be selected; they are told apart from properties. */
function withoutMembers<T>({ set }: Resource<T>, select: string): string {
  if (set !== 'groups') return select
  const rest = select.split(',').filter((name) => name.trim() !== 'members')
  return rest.length > 0 ? rest.join(',') : 'id'
}

/** `id eq '...' or id eq '...'`. @throws GraphError 400 */
function idsIn<T>(resource: Resource<T>, text: string): string[] {
  const only = { ...resource, properties: { id: resource.properties.id as (typeof resource.properties)[string] } }
  const flat = (condition: Condition): string[] => {
    if (condition.is === 'or') return condition.terms.flatMap(flat)
    if (condition.is === 'eq') return [String(condition.value)]
    if (condition.is === 'in') return condition.values.map(String)
    throw badRequest(`$filter of a delta understands: id eq 'value', several of them joined by or.`)
  }
  const ids = [...new Set(flat(parseFilter(only, text, false)))]
  if (ids.length > MOST_IDS) throw badRequest(`$filter of a delta names at most ${MOST_IDS} ids.`)
  return ids
}

/** Items of a page: one for each object, and memberships with the group that they are of. */
function tell<T>(resource: Resource<T>, changes: readonly Change<T>[], told: Told): Item[] {
  const items = new Map<string, Item>()
  const gone = new Set(changes.flatMap((one) => ('group' in one || one.object ? [] : [one.id])))
  for (const change of changes) {
    if ('group' in change) {
      // Whoever begins knows of nobody who had left by then.
      if ((change.removed && change.position <= told.known) || gone.has(change.group)) continue
      const item = items.get(change.group) ?? { id: change.group }
      const member = {
        '@odata.type': `#microsoft.graph.${change.kind}`,
        id: change.id,
        ...(change.removed ? { '@removed': { reason: 'deleted' } } : {}),
      }
      item['members@delta'] = [...((item['members@delta'] as Item[] | undefined) ?? []), member]
      items.set(change.group, item)
    } else if (change.object) {
      const { parts, object } = change
      // What is new to the client is told as a whole.
      const since = told.since
      const fresh = since === undefined || (parts._ ?? 0) > since || !told.minimal
      const names = fresh ? told.select : told.select.filter((name) => (parts[name] ?? 0) > since)
      items.set(change.id, { ...items.get(change.id), ...shape(resource, names, object), id: change.id })
    } else if (change.position > told.known) items.set(change.id, { id: change.id, '@removed': { reason: 'deleted' } })
  }
  return [...items.values()]
}
