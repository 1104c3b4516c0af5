import type { Answer } from '../http.ts'
import { BROKEN, invalidToken, type Session, streamOf, type TransmitterModule, withStream } from './session.ts'

const SECTION = {
  create: 'SSF 1.0 section 8.1.1.1',
  read: 'SSF 1.0 section 8.1.1.2',
  update: 'SSF 1.0 section 8.1.1.3',
  replace: 'SSF 1.0 section 8.1.1.4',
  delete: 'SSF 1.0 section 8.1.1.5',
}
type Verb = keyof typeof SECTION
const CHANGING = { update: 'PATCH', replace: 'PUT' } as const

const named = (what: string, run: TransmitterModule['run']): TransmitterModule => ({ name: `openid-ssf-stream-control-error-${what}`, run })

function expectStatus({ notes }: Session, verb: Verb, { status }: Answer, wanted: number, when: string): void {
  notes.must(status === wanted, SECTION[verb], `${verb} ${when} is answered ${status}, not ${wanted}`)
}

/** 401, and which scheme is asked for (RFC 9110 section 11.6.1), as RFC 6750 section 3 puts it for bearer tokens. */
function expectUnauthorized(session: Session, verb: Verb, answer: Answer): void {
  const { notes } = session
  expectStatus(session, verb, answer, 401, 'with an invalid token')
  if (answer.status !== 401) return
  const challenge = answer.headers.get('www-authenticate')
  if (!notes.must(challenge !== null, 'RFC 6750 section 3', `${verb} with an invalid token is answered without WWW-Authenticate`)) return
  notes.should(/^bearer\b/i.test(challenge as string), 'RFC 6750 section 3', 'WWW-Authenticate does not ask for a bearer token')
  notes.should(/error="?invalid_token/i.test(challenge as string), 'RFC 6750 section 3.1', 'WWW-Authenticate does not say invalid_token')
}

const createBroken = named('create-stream-with-broken-input', async (session) => {
  const answer = await session.post({ raw: BROKEN })
  const made = streamOf(answer)
  if (made) session.adopt(made)
  expectStatus(session, 'create', answer, 400, 'with a body that is no JSON')
})

const createUnauthorized = named('create-stream-with-invalid-token', async (session) => {
  const answer = await session.post({ body: await session.body(), token: invalidToken() })
  const made = streamOf(answer)
  if (made) session.adopt(made)
  expectUnauthorized(session, 'create', answer)
})

const createTwice = named('create-stream-with-duplicate-config', async (session) => {
  const { notes } = session
  const body = await session.body()
  for (const allowed of [[201], [201, 409]]) {
    const answer = await session.post({ body })
    const made = streamOf(answer)
    if (made) session.adopt(made)
    const which = allowed.length === 1 ? 'the first stream' : 'a second stream with the same configuration'
    notes.must(allowed.includes(answer.status), SECTION.create, `creating ${which} is answered ${answer.status}, not ${allowed.join(' or ')}`)
  }
})

const readUnauthorized = named('read-stream-with-invalid-token', async (session) => {
  const { id } = await session.create()
  const answer = await session.call('GET', withStream(session.url('configuration_endpoint'), id), { token: invalidToken() })
  expectUnauthorized(session, 'read', answer)
})

const readUnknown = named('read-unknown-stream', async (session) => {
  const { id } = await session.gone()
  expectStatus(session, 'read', await session.call('GET', withStream(session.url('configuration_endpoint'), id)), 404, 'of a stream that was deleted')
})

const deleteUnauthorized = named('delete-stream-with-invalid-token', async (session) => {
  const { id } = await session.create()
  const url = withStream(session.url('configuration_endpoint'), id)
  expectUnauthorized(session, 'delete', await session.call('DELETE', url, { token: invalidToken() }))
  const { status } = await session.call('GET', url)
  session.notes.must(status === 200, SECTION.delete, 'a stream is gone after somebody tried to delete it with an invalid token')
})

const deleteUnknown = named('delete-unknown-stream', async (session) => {
  const stream = await session.gone()
  expectStatus(session, 'delete', await session.remove(stream), 404, 'of a stream that was deleted')
})

/** PATCH and PUT are refused in the same three ways. */
function changing(verb: keyof typeof CHANGING) {
  const send = async (session: Session, id: string, more: { token?: string; raw?: string }) => {
    const body = verb === 'update' ? { description: 'changed' } : await session.body()
    return session.call(CHANGING[verb], session.url('configuration_endpoint'), { body: { ...body, stream_id: id }, ...more })
  }
  return {
    unauthorized: named(`${verb}-stream-with-invalid-token`, async (session) => {
      const { id } = await session.create()
      expectUnauthorized(session, verb, await send(session, id, { token: invalidToken() }))
    }),
    broken: named(`${verb}-stream-with-invalid-body`, async (session) => {
      const { id } = await session.create()
      expectStatus(session, verb, await send(session, id, { raw: BROKEN }), 400, 'with a body that is no JSON')
    }),
    unknown: named(`${verb}-unknown-stream`, async (session) => {
      const { id } = await session.gone()
      expectStatus(session, verb, await send(session, id, {}), 404, 'of a stream that was deleted')
    }),
  }
}

const update = changing('update')
const replace = changing('replace')

/** Refusals of update and replace, which the interoperability profile does not ask for (section 2.3.8.2). */
export const CHANGE_ERRORS = [update.unauthorized, update.broken, update.unknown, replace.broken, replace.unauthorized, replace.unknown]
export const BEFORE_CHANGE_ERRORS = [createBroken, createUnauthorized, createTwice, readUnauthorized, readUnknown]
export const AFTER_CHANGE_ERRORS = [deleteUnauthorized, deleteUnknown]
