import { VERIFICATION } from '../events.ts'
import { type Answer, isJson, isObject, type Json, until } from '../http.ts'
import { checkSet, eventOf } from '../set.ts'
import type { Pushed } from './endpoint.ts'
import { AUTHORIZATION, type Session, type Stream } from './session.ts'

/** A SET that came, checked as all of them are. */
export interface Arrived {
  jti: string
  claims: Json
}

export interface PollRequest {
  maxEvents?: number
  ack?: string[]
}

/** Receives the SETs of one stream as its mode wants it, and checks every one. */
export interface Delivery {
  /** Everything so far, in order of arrival. */
  arrived: Arrived[]
  /** Poll: one short poll (RFC 8936 section 2.4). */
  poll(request?: PollRequest): Promise<Arrived[]>
  /** Waits for a SET; undefined when it does not come in time. Polled ones are acknowledged if `acknowledge` says so. */
  wait(milliseconds: number, wanted: (one: Arrived) => boolean, options?: { acknowledge?: boolean }): Promise<Arrived | undefined>
}

export async function createDelivery(session: Session, { id, configuration }: Stream, { authorized = true } = {}): Promise<Delivery> {
  const { notes, timing, mode, profile, metadata } = session
  const keys = await session.keys()
  const expectation = { issuer: String(metadata.issuer), audience: configuration.aud, keys, profile, skew: timing.skew }
  const arrived: Arrived[] = []
  let looked = 0

  const take = (jwt: string, name?: string): Arrived | undefined => {
    const claims = checkSet(notes, jwt, expectation)
    if (!claims) return undefined
    const jti = String(claims.jti)
    if (name !== undefined) notes.must(jti === name, 'RFC 8936 section 2.3', 'a SET stands under another name than its jti')
    const one = { jti, claims }
    if (eventOf(claims, VERIFICATION)) checkAboutStream(session, one, id)
    arrived.push(one)
    return one
  }

  const poll: Delivery['poll'] = async ({ maxEvents = 10, ack } = {}) => {
    const url = (configuration.delivery as Json).endpoint_url as string
    const body = { maxEvents, returnImmediately: true, ...(ack && { ack }) }
    const answer = await session.call('POST', url, { body })
    return readPoll(session, answer).flatMap(([jti, jwt]) => take(jwt, jti) ?? [])
  }

  const look = async (): Promise<void> => {
    const { pushed } = await session.endpoint()
    for (const one of pushed.slice(looked)) {
      checkPush(session, one, authorized)
      take(one.body.trim())
    }
    looked = pushed.length
  }

  return {
    arrived,
    poll,
    wait: (milliseconds, wanted, { acknowledge = false } = {}) =>
      until(milliseconds, timing.every, async () => {
        if (mode === 'push') await look()
        else {
          const some = await poll()
          if (acknowledge && some.length > 0) await poll({ maxEvents: 0, ack: some.map(({ jti }) => jti) })
        }
        return arrived.find(wanted)
      }),
  }
}

function checkAboutStream({ notes }: Session, { claims }: Arrived, id: string): void {
  const { sub_id: subject } = claims
  const own = isObject(subject) && subject.format === 'opaque' && subject.id === id
  notes.must(own, 'SSF 1.0 section 8.1.4.1', 'sub_id of a verification event is not the opaque stream_id')
}

/** RFC 8936 section 2.3. @returns the SETs by jti */
function readPoll({ notes }: Session, answer: Answer): [jti: string, jwt: string][] {
  const spec = 'RFC 8936 section 2.3'
  const { status, json } = answer
  if (status !== 200) return notes.stop(spec, `a poll is answered ${status}, not 200`)
  notes.must(isJson(answer), spec, 'the answer to a poll is not application/json')
  if (!isObject(json) || !isObject(json.sets)) return notes.stop(spec, 'the answer to a poll has no object sets')
  const { moreAvailable: more } = json
  notes.must(more === undefined || typeof more === 'boolean', spec, 'moreAvailable is neither true nor false')
  const sets = Object.entries(json.sets)
  notes.must(
    sets.every(([, jwt]) => typeof jwt === 'string'),
    spec,
    'sets holds something that is no text',
  )
  return sets.filter((one): one is [string, string] => typeof one[1] === 'string')
}

/** RFC 8935 section 2.1, and the header that the stream was made with (SSF 1.0 section 8.1.1). */
function checkPush({ notes }: Session, { method, headers }: Pushed, authorized: boolean): void {
  const spec = 'RFC 8935 section 2.1'
  notes.must(method === 'POST', spec, `a push comes by ${method}, not POST`)
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  notes.must(type === 'application/secevent+jwt', spec, `a push is ${type ?? 'without a type'}, not application/secevent+jwt`)
  notes.must(/application\/json|\*\/\*/i.test(headers.accept ?? ''), spec, 'a push does not accept application/json')
  if (authorized) {
    notes.must(headers.authorization === AUTHORIZATION, 'SSF 1.0 section 8.1.1', 'a push does not carry the authorization_header of the stream')
  } else {
    notes.should(headers.authorization === undefined, 'SSF 1.0 section 8.1.1', 'a push carries an Authorization header that nobody configured')
  }
}
