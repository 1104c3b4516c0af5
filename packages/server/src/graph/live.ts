import type { Permission } from '../directory/permissions.ts'
import { type Api, searchOf } from './api.ts'
import { shapeSignIn } from './audit-logs.ts'
import { authorize, type Caller } from './caller.ts'
import { badRequest } from './errors.ts'
import { readLog, readPosition } from './events.ts'
import { createLiveHub, type LiveHub, type News, TOPICS, type Topic } from './live-hub.ts'
import { shapeLoop } from './loop.ts'
import type { Signals } from './signals.ts'
import type { Message, Source, Sse } from './sse.ts'

/** What hearing of each thing needs: no less than to read it. */
const NEEDS: Record<Topic, Permission> = {
  events: 'SecurityEvents.Read.All',
  signIns: 'AuditLog.Read.All',
  loop: 'SecurityEvents.Read.All',
  streams: 'SecurityEvents.Read.All',
}

/** One event stream for everything that a console shows: browsers have six connections to one origin. */
export function registerLive({ route, log }: Api, sse: Sse): void {
  const hubs = new WeakMap<Signals, LiveHub>()
  const hubOf = ({ signals, tenant }: Caller): LiveHub => {
    const hub = hubs.get(signals) ?? createLiveHub({ signals, signIns: tenant.signIns, log })
    hubs.set(signals, hub)
    return hub
  }

  route(
    'GET',
    '/caegis/live',
    {
      does: 'Follows the log, the loop and the streams as an event stream',
      needs: ['SecurityEvents.Read.All', 'AuditLog.Read.All'],
      more: { needs: 'AuditLog.Read.All', when: 'sign-ins are followed, and SecurityEvents.Read.All where anything else is' },
      options: ['topics'],
    },
    async (caller, request, reply) => {
      if (!sse.wanted(request)) throw badRequest('This is an event stream: ask for it with Accept: text/event-stream.')
      const topics = readTopics(searchOf(request).get('topics'))
      const allowed = async () => {
        for (const one of new Set([...topics].map((topic) => NEEDS[topic]))) await authorize(caller, one)
      }
      await allowed()
      const from = topics.has('events') ? (readPosition(request) ?? (await caller.signals.streams.head())) : undefined
      return sse.send(caller, reply, allowed, live(hubOf(caller), topics, from && readLog(caller.signals, from)))
    },
  )
}

/** The log is read by each connection for itself, from where its client stands; everything else is looked at once for all of them. */
function live(hub: LiveHub, topics: ReadonlySet<Topic>, log: ReturnType<typeof readLog> | undefined): Source {
  return async function* (signal) {
    const listener = hub.join(topics)
    try {
      yield log ? [log.start] : []
      while (!signal.aborted) {
        const news = listener.take()
        const said = [...messagesOf(news), ...((await log?.next()) ?? [])]
        if (said.length > 0 || news.beat) yield said
        if (said.length === 0) await listener.news(signal)
      }
    } finally {
      listener.leave()
    }
  }
}

function messagesOf({ loop, streams, signIns, missed }: News): Message[] {
  return [
    ...(loop ? [{ event: 'loop', data: shapeLoop(loop) }] : []),
    ...(streams.length > 0 ? [{ event: 'streams', data: { ids: streams } }] : []),
    ...(missed > 0 ? [{ event: 'missed', data: { topic: 'signIns', count: missed } }] : []),
    ...signIns.map((one) => ({ event: 'signIn', data: shapeSignIn(one) })),
  ]
}

/** @throws GraphError 400 */
function readTopics(text: string | null): ReadonlySet<Topic> {
  const names = (text ?? '').split(',')
  if (names.length > TOPICS.length || !names.every((one): one is Topic => TOPICS.includes(one as Topic)))
    throw badRequest(`topics are some of ${TOPICS.join(', ')}, with commas between them.`)
  return new Set(names as Topic[])
}
