import { isKnownEvent, POLL, PUSH } from '../events.ts'
import { type Answer, isHttps, isJson, isObject, type Json } from '../http.ts'
import { type Session, type Stream, streamOf, type TransmitterModule, withStream } from './session.ts'

const CREATE = 'SSF 1.0 section 8.1.1.1'
const READ = 'SSF 1.0 section 8.1.1.2'
const STATUS = 'SSF 1.0 section 8.1.2'

export const happyPath: TransmitterModule = {
  name: 'openid-ssf-stream-control-happy-path',
  async run(session) {
    const stream = await createAndCheck(session)
    await readAndCheck(session, stream)
    // The interoperability profile asks for neither (section 2.3.8.2).
    if (session.profile === 'default') {
      await change(session, stream, 'PATCH')
      await change(session, stream, 'PUT')
    }
    await readStatus(session, stream)
    if (session.profile === 'default') for (const status of ['enabled', 'paused', 'disabled']) await setStatus(session, stream, status)
    await deleteAndCheck(session, stream)
  },
}

export async function createAndCheck(session: Session): Promise<Stream> {
  const { notes } = session
  const body = await session.body()
  const answer = await session.post({ body })
  const stream = streamOf(answer)
  if (!stream || answer.status >= 300)
    return notes.stop(CREATE, `creating a stream is answered ${answer.status}${stream ? '' : ', without a stream_id'}`)
  session.adopt(stream)
  notes.should(answer.status === 201, CREATE, `creating a stream is answered ${answer.status}, not 201`)
  notes.must(isJson(answer), CREATE, 'the configuration is not application/json')
  checkConfiguration(session, stream.configuration, body)
  return stream
}

/** What every representation of a stream must be like (SSF 1.0 section 8.1.1). */
export function checkConfiguration({ notes, metadata, under, mode }: Session, configuration: Json, asked: Json & { delivery: Json }): void {
  const spec = 'SSF 1.0 section 8.1.1'
  for (const name of ['stream_id', 'iss', 'aud', 'events_delivered', 'delivery']) {
    notes.must(configuration[name] !== undefined, spec, `${name} is missing in the configuration`)
  }
  const { stream_id: id, iss, aud, delivery, events_supported: supported, events_delivered: delivered } = configuration
  notes.should(typeof id === 'string' && /^[\w.~-]+$/.test(id), spec, 'stream_id has characters beyond the unreserved ones')
  notes.must(iss === metadata.issuer, CREATE, 'iss of the configuration is not the issuer')
  const audience = [aud].flat()
  notes.must(audience.length > 0 && audience.every((one) => typeof one === 'string' && one !== ''), spec, 'aud of the configuration names nobody')
  if (under.audience !== undefined) notes.must(audience.includes(under.audience), CREATE, 'aud of the configuration is not the one that is expected')

  if (isObject(delivery)) {
    notes.must(delivery.method === PUSH || delivery.method === POLL, spec, 'the delivery method of the configuration is unknown')
    notes.must(delivery.method === asked.delivery.method, spec, `the delivery method of the configuration is not ${mode}`)
    if (mode === 'push') notes.must(delivery.endpoint_url === asked.delivery.endpoint_url, spec, 'endpoint_url is not the one that was given')
    else notes.must(isHttps(delivery.endpoint_url), 'RFC 8936 section 4', 'endpoint_url of a poll stream is no https URL')
  }

  if (notes.should(Array.isArray(supported), spec, 'events_supported is missing in the configuration')) {
    notes.should((supported as unknown[]).every(isKnownEvent), spec, 'events_supported names an event that no specification has')
  }
  if (notes.must(Array.isArray(delivered), spec, 'events_delivered is no list')) {
    const requested = asked.events_requested
    const within = (list: unknown) => !Array.isArray(list) || (delivered as unknown[]).every((one) => list.includes(one))
    notes.must(within(supported), spec, 'events_delivered holds an event that is not in events_supported')
    notes.must(within(requested), spec, 'events_delivered holds an event that was not requested')
  }
}

export async function readAndCheck(session: Session, { id }: Stream): Promise<void> {
  const { notes, call, url } = session
  const answer = await call('GET', withStream(url('configuration_endpoint'), id))
  notes.must(answer.status === 200, READ, `reading a stream is answered ${answer.status}, not 200`)
  notes.must(isObject(answer.json) && answer.json.stream_id === id, READ, 'reading a stream by its id answers with something else')
  if (isObject(answer.json)) checkConfiguration(session, answer.json, await session.body())
  const all = await call('GET', url('configuration_endpoint'))
  const listed = Array.isArray(all.json) && all.json.some((one) => isObject(one) && one.stream_id === id)
  notes.must(all.status === 200 && listed, READ, 'reading without stream_id does not answer with a list that has the stream')
}

async function change(session: Session, { id }: Stream, method: 'PATCH' | 'PUT'): Promise<void> {
  const { notes } = session
  const spec = method === 'PATCH' ? 'SSF 1.0 section 8.1.1.3' : 'SSF 1.0 section 8.1.1.4'
  const asked = await session.body()
  const description = `changed by ${method}`
  const body = method === 'PATCH' ? { stream_id: id, description } : { ...asked, stream_id: id, description }
  const { status, json } = await session.call(method, session.url('configuration_endpoint'), { body })
  if (!notes.must(status === 200, spec, `${method} is answered ${status}, not 200`)) return
  if (!notes.must(isObject(json), spec, `${method} is not answered with the configuration`)) return
  const changed = json as Json
  notes.must(changed.stream_id === id, spec, `${method} answers with another stream`)
  checkConfiguration(session, changed, asked)
  // A transmitter may cut a description off, and even leave it out.
  const said = changed.description
  const kept = said === undefined || (typeof said === 'string' && description.startsWith(said))
  notes.must(kept, spec, `${method} answers with another description than it was given`)
}

export async function readStatus({ notes, call, url }: Session, { id }: Stream): Promise<void> {
  const { status, json } = await call('GET', withStream(url('status_endpoint'), id))
  notes.must(status === 200, `${STATUS}.1`, `reading the status is answered ${status}, not 200`)
  notes.must(isObject(json) && json.stream_id === id, `${STATUS}.1`, 'the status is not that of the stream')
  notes.must(isObject(json) && json.status === 'enabled', `${STATUS}.1`, 'a new stream is not enabled')
}

async function setStatus({ notes, call, url }: Session, { id }: Stream, wanted: string): Promise<void> {
  const body = { stream_id: id, status: wanted, reason: 'conformance suite' }
  const { status, json } = await call('POST', withStream(url('status_endpoint'), id), { body })
  notes.must(status === 200, `${STATUS}.2`, `setting the status ${wanted} is answered ${status}, not 200`)
  notes.must(isObject(json) && json.stream_id === id && json.status === wanted, `${STATUS}.2`, `setting the status ${wanted} does not echo it`)
}

export async function deleteAndCheck({ notes, remove }: Session, stream: Stream): Promise<void> {
  const { status, text }: Answer = await remove(stream)
  notes.must(status === 204, 'SSF 1.0 section 8.1.1.5', `deleting a stream is answered ${status}, not 204`)
  notes.must(text === '', 'SSF 1.0 section 8.1.1.5', 'deleting a stream is answered with a body')
}
