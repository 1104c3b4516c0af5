import { type Api, pathOf, searchOf } from './api.ts'
import { notFound } from './errors.ts'
import { type Comparison, type Readers, readFilter, text } from './log-filter.ts'
import { parsePage } from './query.ts'
import type { DeliveryFilter, DeliveryOnStream, DeliveryState } from './signals.ts'
import { existing } from './streams.ts'

const STATES: readonly DeliveryState[] = ['pending', 'sent', 'acked', 'applied', 'refused', 'dead', 'notSent']

const FILTER: Readers<DeliveryFilter> = {
  userId: text('userId'),
  type: text('type'),
  txn: text('txn'),
  jti: text('jti'),
  state: ({ operator, value }: Comparison) =>
    operator === 'eq' && STATES.includes(value as DeliveryState) ? { state: value as DeliveryState } : undefined,
}

/** What became of the log on one stream: what its receiver got, and what it did with it. */
export function registerDeliveries({ origin, route }: Api): void {
  const context = (of: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#caegis/streams/deliveries${of}` })

  route(
    'GET',
    '/caegis/streams/:id/deliveries',
    { does: 'Lists what became of events on a stream, newest first', needs: ['SecurityEvents.Read.All'], options: ['$filter', '$top', '$skiptoken'] },
    async (caller, request) => {
      const search = searchOf(request)
      const { limit, last } = parsePage(search)
      const filter = readFilter(search.get('$filter'), FILTER)
      const stream = await existing(caller, pathOf(request))
      const { value, next } = await caller.signals.deliveryList.list(stream, { limit, ...(last === undefined ? {} : { before: last }), ...filter })
      if (next !== undefined) search.set('$skiptoken', String(next))
      const link = next === undefined ? {} : { '@odata.nextLink': `${origin}${request.url.split('?')[0]}?${search}` }
      return { ...context(''), ...link, value: value.map(shape) }
    },
  )

  route(
    'GET',
    '/caegis/streams/:id/deliveries/:seq',
    { does: 'Shows what became of an event on a stream, and what its SET says', needs: ['SecurityEvents.Read.All'] },
    async (caller, request) => {
      const stream = await existing(caller, pathOf(request))
      const seq = pathOf(request, 'seq')
      const found = /^\d{1,15}$/.test(seq) ? await caller.signals.deliveryList.find(stream, Number(seq)) : undefined
      if (!found) throw notFound()
      return { ...context('/$entity'), ...shape(found), set: found.set ?? null }
    },
  )
}

function shape({ row, jti, state, times }: DeliveryOnStream): object {
  const { seq, id, txn, type, at, ms, subject } = row
  return { seq, id, txn, jti, type, subject: subject.complex, committedDateTime: new Date(at * 1000 + ms).toISOString(), state, times }
}
