import { randomUUID } from 'node:crypto'
import { PASSWORD } from '../../test/loop.ts'
import { attempt, type Doing, daemonForm, fresh, insist, jsonOf, refreshForm, type Stage } from './stage.ts'

const GOOD = new Set([200, 201, 204])
/** Seconds. */
const PATIENCE = 90
const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** A guard that starts on the bad line (metadata, token, stream, snapshot, keys): it knows nothing and says so until it knows everything. */
export const joinAnew: Doing = async ({ world, watch, until }) => {
  const guard = world.newcomer()
  watch.add({ name: 'newcomer', guard, strict: true })
  return async () => {
    await until('the newcomer is in sync', PATIENCE, () => fresh(guard.status()))
    watch.remove('newcomer')
    await guard.close()
  }
}

/** A client whose answers get lost asks again with what it holds, as MSAL does: that leads to one successor, whoever else asked meanwhile. */
export const callToken: Doing = async (stage, good) => {
  const { world, fault } = stage
  const { lineage, user } = await stage.person()
  const url = `${world.authority}/oauth2/v2.0/token`
  const successors = new Map<string, Set<string>>()
  const { messages, fetch } = world.links.token
  const report = messages.onAnswer
  messages.onAnswer = (one) => {
    report?.(one)
    const given = new URLSearchParams(one.asked).get('refresh_token')
    const next = jsonOf(one.body)?.refresh_token
    if (given === null || one.status !== 200 || typeof next !== 'string') return
    successors.set(given, (successors.get(given) ?? new Set()).add(next))
  }
  let holds = lineage.refreshToken
  let since = performance.now()
  const ask = async (seconds: number, daemon: boolean) => {
    const answer = await attempt(fetch, url, { method: 'POST', body: daemon ? daemonForm() : refreshForm(holds), seconds })
    const body = jsonOf(answer?.text ?? '')
    if (answer?.status === 200 && !daemon && typeof body?.refresh_token === 'string') {
      holds = body.refresh_token
      since = performance.now()
    }
    // The grace is 30 s: a client that comes later than that is a thief, for all that anybody knows.
    if (answer?.status === 400 && body?.error === 'invalid_grant' && performance.now() - since < 25_000)
      fault('an honest client was locked out of its session')
    return answer?.status === 200 && body !== undefined
  }
  const asking = (async () => {
    for (let turn = 0; !good(); turn++) {
      await ask(2, turn % 3 === 2)
      await pause(20)
    }
  })()
  return async () => {
    await asking
    for (const daemon of [true, false]) await stage.until('the token endpoint answers again', PATIENCE, () => ask(10, daemon))
    messages.onAnswer = report
    for (const [, all] of successors) if (all.size > 1) fault(`a refresh token of ${user} has ${all.size} successors`)
    const { status } = await lineage.refresh(holds)
    if (status !== 200 && performance.now() - since < 25_000) fault(`the lineage of an honest client ended (${status})`)
  }
}

/** What an administrator does not hear of is asked for again: it is there once, and whole. */
export const callAdmin: Doing = async (stage, good) => {
  const { world, fault } = stage
  const mark = randomUUID().slice(0, 8)
  const token = await insist(() => world.daemonToken('nightly', `${world.origin}/.default`))
  const authorization = `Bearer ${token}`
  const { fetch } = world.links.admin
  const call = (method: string, path: string, body: object | undefined, seconds: number) =>
    attempt(fetch, `${world.origin}/v1.0${path}`, {
      ...{ method, seconds, headers: { authorization, ...(body && { 'content-type': 'application/json' }) } },
      ...(body && { body: JSON.stringify(body) }),
    })
  const group = await made(stage, '/groups', { displayName: `staff ${mark}` })
  const done: { name: string; id?: string }[] = []
  let at = 0

  /** Until it was heard that it is so. */
  const order = async (method: string, path: string, body: object | undefined, there: (status: number, text: string) => boolean) => {
    const end = performance.now() + PATIENCE * 1000
    for (;;) {
      const answer = await call(method, path, body, good() ? 10 : 2)
      if (answer && (GOOD.has(answer.status) || there(answer.status, answer.text))) return answer
      if (answer && answer.status < 500 && answer.status !== 429)
        fault(
          `${method} ${path.replace(/[\w-]{36}/g, '..')} was answered ${answer.status}: ${jsonOf(answer.text)?.error ? JSON.stringify(jsonOf(answer.text)?.error).slice(0, 160) : ''}`,
        )
      if (performance.now() > end) return void fault(`${method} was never heard to be done`)
      await pause(20)
    }
  }
  const working = (async () => {
    do {
      const name = `n${at++}.${mark}@contoso.test`
      const whole = { accountEnabled: true, displayName: name, mailNickname: name.split('@')[0], userPrincipalName: name }
      await order(
        'POST',
        '/users',
        { ...whole, passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: false } },
        (status, text) => status === 409 || (status === 400 && /exist/i.test(text)),
      )
      const id = await idOf(stage, name)
      if (id === undefined) {
        fault(`a user is said to be there and is not: ${name}`)
        continue
      }
      done.push({ name, id })
      await order('PATCH', `/users/${id}`, { displayName: `${name} 2` }, () => false)
      await order(
        'POST',
        `/groups/${group}/members/$ref`,
        { '@odata.id': `${world.origin}/v1.0/directoryObjects/${id}` },
        (status, text) => status === 400 && /exist/i.test(text),
      )
      await order('POST', `/users/${id}/revokeSignInSessions`, undefined, () => false)
    } while (!good())
  })()
  return async () => {
    await working
    const { db } = world.truth.store
    for (const { name, id } of done) {
      const users = await db.selectFrom('users').select(['id', 'display_name']).where('upn_key', '=', name).execute()
      if (users.length !== 1 || users[0]?.display_name !== `${name} 2`) fault(`${name} is there ${users.length} times, as ${users[0]?.display_name}`)
      const events = await db
        .selectFrom('events')
        .select('seq')
        .where('user_id', '=', id as string)
        .where('type', 'like', '%session-revoked')
        .execute()
      if (events.length === 0) fault(`I2: a revocation of ${name} was acknowledged, and there is no event`)
    }
    const members = await stage.graph('GET', `/groups/${group}/members?$top=999`)
    const ids = ((await members.json()) as { value: { id: string }[] }).value.map(({ id }) => id)
    if (new Set(ids).size !== ids.length || done.some(({ id }) => !ids.includes(id as string))) fault('a membership is missing, or there twice')
  }
}

/** Requests to an API: what is dead is refused, what lives is served, half a request is no request, and a response that goes on ends when its token does. */
export const callApi: Doing = async (stage, good) => {
  const { world, fault, watch } = stage
  const [living, ending] = [await stage.person(), await stage.person()]
  const { fetch } = world.links.api
  const strict = world.guards[0] as (typeof world.guards)[number]
  const origin = 'https://localhost'
  const name = `/stream/${randomUUID()}`
  const stream = new AbortController()
  const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
  const reading = fetch(`${origin}${name}`, { headers: bearer(ending.held.text), signal: stream.signal })
    .then((answer) => answer.text())
    .catch(() => {})
  watch.hold(living.held, ending.held)
  const asking = (async () => {
    while (!good()) {
      for (const { held } of [living, ending]) {
        const gateway = stage.random.next() < 0.3
        const asked = {
          'x-forwarded-method': 'GET',
          'x-forwarded-uri': '/files',
          'x-forwarded-proto': 'https',
          'x-forwarded-host': 'files.test',
          'x-forwarded-for': '198.51.100.7',
        }
        const head = strict.guard.status().head?.seq ?? -1
        const dead = held.dead
        const answer = await attempt(fetch, `${origin}${gateway ? '/auth/caddy' : '/files'}`, {
          headers: { ...bearer(held.text), ...(gateway && asked) },
          seconds: 2,
        })
        if (!answer) continue
        if (answer.status === 200 && dead && head >= dead.seq) fault(`I1: the API served ${held.whose} (${gateway ? 'gateway' : 'node'})`)
        if (answer.status < 500 && answer.status !== 200 && !held.asked)
          fault(`the API refused ${held.whose}: ${answer.status} (${gateway ? 'gateway' : 'node'})`)
      }
      await pause(10)
    }
  })()
  await pause(300)
  await stage.revokeUser(ending.user, ending.held)
  return async () => {
    await asking
    await stage.until('the response that goes on has ended', 10, () => !world.streams.has(name))
    stream.abort()
    await reading
    await stage.until(
      'the API answers again',
      PATIENCE,
      async () => (await attempt(fetch, `${origin}/files`, { headers: bearer(living.held.text) }))?.status === 200,
    )
    const refused = await attempt(fetch, `${origin}/files`, { headers: bearer(ending.held.text), seconds: 10 })
    if (refused?.status !== 401) fault(`the API answers ${refused?.status} to whom it must refuse`)
    watch.forget(living.held, ending.held)
  }
}

/** Changes by the server whose database is far away: each is done, with its event, or not done at all; and what was acknowledged is done. */
export const changeThroughDatabase: Doing = async (stage, good) => {
  const { world, fault, random } = stage
  const token = await insist(() => world.daemonToken('nightly', `${world.origin}/.default`))
  const users = await Promise.all([0, 1, 2].map(async () => made(stage, '/users', userOf(`d${randomUUID().slice(0, 8)}@contoso.test`))))
  const acknowledged = new Map<string, number>(users.map((id) => [id, 0]))
  const asked = new Map<string, number>(users.map((id) => [id, 0]))
  // No fault on the way to the server itself.
  const { fetch } = world.links.admin
  const revoke = async (id: string, seconds: number) => {
    asked.set(id, (asked.get(id) ?? 0) + 1)
    const answer = await attempt(fetch, `${world.origin}/v1.0/users/${id}/revokeSignInSessions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      seconds,
    })
    if (answer?.status === 200) acknowledged.set(id, (acknowledged.get(id) ?? 0) + 1)
    else if (answer && answer.status !== 503 && answer.status !== 429) fault(`I7: a change without a database was answered ${answer.status}`)
    return answer?.status === 200
  }
  const working = (async () => {
    while (!good()) {
      await revoke(random.pick(users), 4)
      await pause(50)
    }
  })()
  return async () => {
    await working
    await stage.until('the server changes things again', PATIENCE, () => revoke(users[0] as string, 10))
    const { db } = world.truth.store
    for (const id of users) {
      const events = await db
        .selectFrom('events')
        .select(['seq', 'at'])
        .where('user_id', '=', id)
        .where('type', 'like', '%session-revoked')
        .orderBy('seq')
        .execute()
      const [least, most] = [acknowledged.get(id) as number, asked.get(id) as number]
      if (events.length < least || events.length > most) fault(`I2: ${events.length} events of ${least} acknowledged and ${most} asked revocations`)
      const user = await db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
      const from = Number((user as unknown as { valid_from: number }).valid_from)
      if (events.length > 0 && from < Number(events.at(-1)?.at)) fault('I2: an event of a revocation without the revocation')
    }
  }
}

const userOf = (name: string) => ({
  ...{ accountEnabled: true, displayName: name, mailNickname: name.split('@')[0], userPrincipalName: name },
  passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: false },
})

async function made(stage: Stage, path: string, body: object): Promise<string> {
  const answer = await stage.graph('POST', path, body)
  if (answer.status !== 201) throw new Error(`POST ${path} past all proxies was answered ${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { id: string }).id
}

async function idOf(stage: Stage, name: string): Promise<string | undefined> {
  const row = await stage.world.truth.store.db.selectFrom('users').select('id').where('upn_key', '=', name).executeTakeFirst()
  return row?.id
}
