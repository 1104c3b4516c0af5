import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Guard } from '@caegis/guard'
import { EVENT } from '@caegis/protocol'
import { createLog, createTenant } from '@caegis/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { createCallers, eventually, type Loop, PASSWORD, startLoop, verdictOf } from './loop.ts'
import { type ForeignTransmitter, startTransmitter, TOKEN } from './transmitter.ts'
import { countOf, email, logOf, shown, tenantFile, userOf } from './upstream-world.ts'

describe.each(['poll', 'push'] as const)('an upstream that is heard by %s, and names people by e-mail', (delivery) => {
  // What happens behind both is the same.
  const polled = (name: string, work: () => Promise<void>) => void (delivery === 'poll' && it(name, work))
  const folder = mkdtempSync(join(tmpdir(), 'caegis-upstream-'))
  let them: ForeignTransmitter
  let loop: Loop
  let guard: Guard

  beforeAll(async () => {
    them = await startTransmitter(folder)
    const upstream = {
      ...{ issuer: them.issuer, displayName: 'Identity Inc.', delivery, audience: them.audience, domains: ['contoso.test'] },
      credentials: { accessToken: TOKEN },
    }
    loop = await startLoop({ tenant: tenantFile([upstream]), environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    guard = await loop.guard()
    await eventually(
      () => shown(loop),
      ({ status }) => status.state === 'running',
      'a stream',
    )
  })
  afterAll(async () => {
    await loop?.close()
    await them?.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const tokenOf = async (name: string) => {
    const flow = createFlow(loop, { username: `${name}@contoso.test` })
    const code = await flow.code()
    const { body } = await flow.redeem(code)
    return String(body.access_token)
  }
  /** Tells something and waits until it was dealt with. */
  const told = async (type: string, subject: object, outcome: string, payload?: object, more?: object) => {
    const before = await countOf(loop, outcome, type)
    const row = them.tell(type, subject, payload, more)
    await eventually(
      () => countOf(loop, outcome, type),
      (count) => count === before + 1,
      `${outcome} of ${type}`,
    )
    return row
  }

  it('a RISC account-disabled ends the access of a user at the APIs, and the sign-in', async () => {
    const token = await tokenOf('alice')
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const { txn } = them.tell(EVENT.accountDisabled, email('alice'))
    await eventually(
      () => verdictOf(guard, token),
      ({ allowed }) => !allowed,
      'the refusal',
    )
    expect((await userOf(loop, 'alice')).accountEnabled).toBe(false)
    const rows = (await logOf(loop)).filter((row) => row.txn === txn)
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({ type: EVENT.accountDisabled })
    expect(JSON.parse(rows[0]?.payload as string)).toMatchObject({
      initiating_entity: 'system',
      reason_admin: { en: 'Identity Inc.: account-disabled' },
    })
  })

  polled('A6: our second is the one in which we commit, whatever the event says about time', async () => {
    const before = Math.floor(Date.now() / 1000)
    const { txn } = await told(EVENT.sessionRevoked, email('bob'), 'committed', { event_timestamp: 4_070_908_800, caegis_until: 1 })
    const [row] = (await logOf(loop)).filter((one) => one.txn === txn)
    const { event_timestamp: t } = JSON.parse(row?.payload as string)
    expect(t).toBeGreaterThanOrEqual(before)
    expect(t).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 1)
    expect(await tokenOf('bob')).toMatch(/^ey/)
  })

  it('A5: it may not speak of other domains, issuers, tenants or applications, nor of the emergency account', async () => {
    const { store } = loop.server
    await store.db.updateTable('users').set({ break_glass: 1 }).where('upn', '=', 'judy@contoso.test').execute()
    const seq = (await logOf(loop)).at(-1)?.seq
    const refused = async () => (await shown(loop)).status.counts.refused as number
    const before = await refused()
    const ours = { format: 'iss_sub', iss: loop.issuer, sub: (await userOf(loop, 'carol')).id }
    for (const subject of [
      { format: 'email', email: 'carol@elsewhere.test' },
      { format: 'account', uri: 'acct:carol@elsewhere.test' },
      ours,
      { format: 'aliases', identifiers: [email('carol'), ours] },
      { format: 'complex', tenant: { format: 'opaque', id: loop.tenant } },
      { format: 'complex', application: { format: 'opaque', id: 'files-api' } },
    ])
      them.tell(EVENT.sessionRevoked, subject)
    await eventually(refused, (count) => count === before + 6, 'six refusals')
    await told(EVENT.accountDisabled, email('judy'), 'exempt')
    expect((await logOf(loop)).at(-1)?.seq).toBe(seq)
    expect((await userOf(loop, 'judy')).accountEnabled).toBe(true)
    await store.db.updateTable('users').set({ break_glass: 0 }).where('upn', '=', 'judy@contoso.test').execute()
  })

  it('refuses what was signed for somebody else or by another issuer, and acts on the next', async () => {
    const seq = (await logOf(loop)).at(-1)?.seq
    const refused = async () => (await shown(loop)).status.counts.refused as number
    for (const wrong of [{ aud: 'urn:somebody:else' }, { iss: 'https://elsewhere.test' }, { iat: Math.floor(Date.now() / 1000) + 3600 }]) {
      const before = await refused()
      them.tamper = (claims) => ({ ...claims, ...wrong })
      them.tell(EVENT.sessionRevoked, email('carol'))
      await eventually(refused, (count) => count > before, JSON.stringify(wrong))
      them.tamper = (claims) => claims
    }
    expect((await logOf(loop)).at(-1)?.seq).toBe(seq)
    await told(EVENT.sessionRevoked, email('carol'), 'committed')
  })

  polled('A7: counts and shows whom it does not know, and what it cannot read', async () => {
    await told(EVENT.sessionRevoked, email('nobody'), 'unknown')
    const { outcomes } = (await shown(loop)).status
    expect(outcomes).toContainEqual(expect.objectContaining({ outcome: 'unknown', lastSubject: email('nobody') }))
    await told(EVENT.sessionRevoked, { format: 'phone_number', phone_number: '+1' }, 'unmapped')
    await told(EVENT.sessionRevoked, { format: 'complex', device: { format: 'opaque', id: 'd' } }, 'unmapped')
    await told(EVENT.sessionRevoked, { format: 'aliases', identifiers: [email('carol'), email('dave')] }, 'ambiguous')
  })

  polled('A7: a session or device of theirs beside the user means the user, and an improvement means nothing', async () => {
    const complex = { format: 'complex', user: email('dave'), session: { format: 'opaque', id: 'theirs' } }
    const { txn } = await told(EVENT.sessionRevoked, complex, 'committed')
    const [row] = (await logOf(loop)).filter((one) => one.txn === txn)
    expect(JSON.parse(row?.subject as string).complex).toEqual({
      format: 'complex',
      user: { format: 'iss_sub', iss: loop.issuer, sub: (await userOf(loop, 'dave')).id },
    })
    for (const [type, payload] of [
      [EVENT.riskLevelChange, { principal: 'USER', current_level: 'LOW' }],
      [EVENT.deviceComplianceChange, { previous_status: 'not-compliant', current_status: 'compliant' }],
      [EVENT.assuranceLevelChange, { namespace: 'NIST-AAL', current_level: 'nist-aal2', change_direction: 'increase' }],
    ] as const)
      await told(type, email('dave'), 'ignored', payload)
  })

  polled('asks again, and no more, after bad news that a sign-in can answer; what is passed on holds nothing of theirs', async () => {
    const token = await tokenOf('erin')
    const { txn } = await told(EVENT.riskLevelChange, email('erin'), 'committed', {
      ...{ principal: 'SESSION', current_level: 'HIGH', risk_reason: '<b>free text</b>', caegis_depth: 'sign-in', more: { a: 1 } },
    })
    await eventually(
      () => verdictOf(guard, token),
      ({ allowed }) => !allowed,
    )
    const [row] = (await logOf(loop)).filter((one) => one.txn === txn)
    const { event_timestamp, initiating_entity, reason_admin, caegis_until, ...rest } = JSON.parse(row?.payload as string)
    expect(rest).toEqual({ principal: 'USER', current_level: 'HIGH' })
    const cutoff = await loop.server.store.db
      .selectFrom('cutoffs')
      .selectAll()
      .where('id', '=', (await userOf(loop, 'erin')).id)
      .execute()
    expect(cutoff).toMatchObject([{ kind: 'user', depth: 'access' }])
  })

  polled('lifts what it disabled, and never what somebody here disabled', async () => {
    const enabled = async () => (await userOf(loop, 'frank')).accountEnabled
    await told(EVENT.accountDisabled, email('frank'), 'committed')
    expect(await enabled()).toBe(false)
    await told(EVENT.accountEnabled, email('frank'), 'committed')
    expect(await enabled()).toBe(true)
    // A local word on top takes over.
    await told(EVENT.accountDisabled, email('frank'), 'committed')
    expect((await loop.graph('PATCH', '/users/frank@contoso.test', { accountEnabled: false })).ok).toBe(true)
    await told(EVENT.accountEnabled, email('frank'), 'unchanged')
    expect(await enabled()).toBe(false)
    // And was there first.
    await told(EVENT.accountDisabled, email('frank'), 'unchanged')
    await told(EVENT.accountEnabled, email('frank'), 'unchanged')
    expect(await enabled()).toBe(false)
    // What was enabled here is not its to disable twice.
    expect((await loop.graph('PATCH', '/users/frank@contoso.test', { accountEnabled: true })).ok).toBe(true)
    await told(EVENT.accountEnabled, email('frank'), 'unchanged')
    expect(await enabled()).toBe(true)
  })

  it('acts once for a cause, whatever comes again', async () => {
    const { txn } = await told(EVENT.sessionRevoked, email('grace'), 'committed')
    await told(EVENT.sessionRevoked, email('grace'), 'duplicate', {}, { txn })
    await told(EVENT.sessionRevoked, { format: 'account', uri: 'acct:Grace@contoso.test' }, 'duplicate', {}, { txn })
    // Something else of the same cause, or of the same cause to somebody else, is no repetition.
    await told(EVENT.accountDisabled, email('grace'), 'committed', {}, { txn })
    await told(EVENT.sessionRevoked, email('heidi'), 'committed', {}, { txn })
    expect((await logOf(loop)).filter((row) => row.txn === txn)).toHaveLength(3)
  })

  polled('ignores a cause that began here', async () => {
    const done = await loop.graph('POST', '/users/ivan@contoso.test/revokeSignInSessions')
    const txn = done.headers.get('caegis-txn') as string
    const seq = (await logOf(loop)).at(-1)?.seq
    await told(EVENT.sessionRevoked, email('ivan'), 'returned', {}, { txn })
    await told(EVENT.accountDisabled, email('ivan'), 'returned', {}, { txn })
    expect((await logOf(loop)).at(-1)?.seq).toBe(seq)
  })
})

describe('an upstream in trouble', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-upstream-'))
  let them: ForeignTransmitter
  const running: Loop[] = []
  const start = async (more: object, options: Parameters<typeof startLoop>[0] = {}) => {
    const entry = { issuer: them.issuer, domains: ['contoso.test'], credentials: { accessToken: TOKEN }, ...more }
    const loop = await startLoop({ tenant: tenantFile([entry]), environment: { CAEGIS_DIAL_ALLOW: 'localhost' }, ...options })
    running.push(loop)
    return loop
  }
  const end = (loop: Loop) => {
    running.splice(running.indexOf(loop), 1)
    return loop.close()
  }
  const runs = (loop: Loop) =>
    eventually(
      () => shown(loop),
      ({ status }) => status.state === 'running' && !status.stale,
      'a stream',
    )

  beforeAll(async () => {
    them = await startTransmitter(folder)
  })
  afterAll(async () => {
    for (const loop of running) await loop.close()
    await them.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it.each(['poll', 'push'] as const)('comes back to what it had received and not committed when it stopped (%s): once', async (delivery) => {
    const data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    const first = await start({ delivery }, { data })
    await runs(first)
    const { store } = first.server
    const failed = Promise.withResolvers<void>()
    store.commit = () => {
      failed.resolve()
      return Promise.reject(new Error('the disk is full'))
    }
    const { txn } = them.tell(EVENT.sessionRevoked, email('alice'))
    await failed.promise
    // Pushed, it was accepted: the transmitter has forgotten it.
    if (delivery === 'push')
      await eventually(
        () => them.store.deliveries().at(-1)?.state,
        (state) => state === 'acked',
        'the acceptance',
      )
    await end(first)
    const second = await start({ delivery }, { data })
    await eventually(
      () => countOf(second, 'committed'),
      (count) => count === 1,
      'the change',
    )
    expect((await logOf(second)).filter((row) => row.txn === txn)).toHaveLength(1)
    await end(second)
    rmSync(data, { recursive: true, force: true })
  })

  it('does not do again what it had committed and not acknowledged when it stopped', async () => {
    const data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    const first = await start({}, { data })
    await runs(first)
    const { store } = first.server
    const commit = store.commit
    const done = Promise.withResolvers<void>()
    store.commit = async (change) => {
      await commit(change)
      done.resolve()
      throw new Error('killed behind the commit')
    }
    const { txn } = them.tell(EVENT.sessionRevoked, email('bob'))
    await done.promise
    await end(first)
    const second = await start({}, { data })
    await eventually(
      () => countOf(second, 'duplicate'),
      (count) => count === 1,
      'the second time',
    )
    expect((await logOf(second)).filter((row) => row.txn === txn)).toHaveLength(1)
    // Acknowledged by now; and known by its name, should it come all the same.
    const seen = await second.server.store.db.selectFrom('upstream_sets').selectAll().execute()
    expect(seen.filter((one) => one.event === null)).toHaveLength(1)
    await end(second)
    rmSync(data, { recursive: true, force: true })
  })

  it('shows that its stream was lost, over a restart too', async () => {
    const data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    const first = await start({}, { data })
    const { status } = await runs(first)
    await them.store.deleteStream(status.stream)
    await eventually(
      () => shown(first),
      (one) => one.status.gaps === 1 && one.status.stream !== status.stream,
      'the gap',
    )
    const { stream } = (await runs(first)).status
    await end(first)
    await them.store.deleteStream(stream)
    const second = await start({}, { data })
    const after = await eventually(
      () => shown(second),
      (one) => one.status.gaps === 2,
      'the second gap',
    )
    expect(after.status.lastGapDateTime).toMatch(/Z$/)
    await end(second)
    rmSync(data, { recursive: true, force: true })
  })

  it('E5: is not reached at an address inside, nor where a redirect leads', async () => {
    const asked = them.asked.length
    const inside = await start({}, { environment: {} })
    expect(
      await eventually(
        () => shown(inside),
        ({ status }) => status.error !== null,
        'the failure',
      ),
    ).toMatchObject({
      status: { state: 'starting', stale: true, error: 'unavailable' },
    })
    expect(them.asked.length).toBe(asked)
    await end(inside)
    them.intercept = (path) => (path.startsWith('/.well-known') ? 302 : undefined)
    const redirected = await start({})
    await eventually(
      () => shown(redirected),
      ({ status }) => status.error === 'metadata_refused',
      'the refusal',
    )
    them.intercept = undefined
    await end(redirected)
  })

  it('is listened to by a tenant that came while the server was running', async () => {
    const loop = await start({}, { tenant: tenantFile([]) })
    const entry = { issuer: them.issuer, domains: ['contoso.test'], credentials: { accessToken: TOKEN } }
    const before = them.store.streams().length
    const { tenant } = await loop.server.apply(tenantFile([entry]).replace('"name":"contoso"', '"name":"fabrikam"'))
    await eventually(
      () => them.store.streams().length,
      (count) => count > before,
      'the stream',
    )
    const { txn } = them.tell(EVENT.sessionRevoked, email('dave'))
    const { db } = loop.server.store
    await eventually(
      () => db.selectFrom('events').select('tenant').where('txn', '=', txn).execute(),
      (found) => found.length === 1 && found[0]?.tenant === tenant,
      'the change',
    )
    await loop.server.apply(tenantFile([{ ...entry, enabled: false }]).replace('"name":"contoso"', '"name":"fabrikam"'))
    await end(loop)
  })

  it('is listened to by a tenant that was made beside the running server', async () => {
    const loop = await start({}, { tenant: tenantFile([]) })
    const { data, database } = loop.settings
    const made = await createTenant({ data, database, name: 'tailspin', admin: 'admin@tailspin.test', log: createLog('silent') })
    const callers = createCallers(loop.origin, `${loop.origin}/tailspin/v2.0`)
    const flow = createFlow(callers, { clientId: 'caegis-cli', scope: `${loop.origin}/.default` })
    const page = await flow.browser.open(flow.url)
    const next = await flow.browser.open(page.url.href, { username: made.username, password: made.password })
    const back = await flow.browser.open(next.url.href, { action: 'new-password', new: PASSWORD, again: PASSWORD }, 'http://localhost')
    const { body } = await flow.redeem(String(back.url.searchParams.get('code')))
    const ask = (init?: object) =>
      fetch(`${loop.origin}/v1.0/caegis/upstreams`, {
        headers: { authorization: `Bearer ${body.access_token}`, 'content-type': 'application/json' },
        ...init,
      })
    const entry = { issuer: them.issuer, domains: ['tailspin.test'], credentials: { accessToken: TOKEN } }
    expect((await ask({ method: 'POST', body: JSON.stringify(entry) })).status).toBe(201)
    await eventually(
      async () => ((await (await ask()).json()) as any).value[0].status,
      ({ state, stale }) => state === 'running' && !stale,
      'a stream',
    )
    them.tell(EVENT.sessionRevoked, { format: 'email', email: made.username })
    await eventually(
      async () => (await ask()).status,
      (status) => status === 401,
      'the refusal',
    )
    await end(loop)
  })

  it('shows that its credentials are refused, and goes on with others', async () => {
    const loop = await start({ credentials: { accessToken: 'not-the-one' } })
    await eventually(
      () => shown(loop),
      ({ status }) => status.error === 'unauthorized' && status.stale,
      'the refusal',
    )
    const { id } = await shown(loop)
    expect((await loop.graph('PATCH', `/caegis/upstreams/${id}`, { credentials: { accessToken: TOKEN } })).status).toBe(200)
    await runs(loop)
    const streams = () => them.store.streams().length
    const before = streams()
    // Switched off, its stream goes on holding events; deleted, it is no more.
    const { status } = (await (await loop.graph('PATCH', `/caegis/upstreams/${id}`, { enabled: false })).json()) as any
    expect(status).toMatchObject({ state: 'closed', stale: false })
    expect(streams()).toBe(before)
    them.tell(EVENT.sessionRevoked, email('carol'))
    await loop.graph('PATCH', `/caegis/upstreams/${id}`, { enabled: true })
    await eventually(
      () => countOf(loop, 'committed'),
      (count) => count === 1,
      'what was held',
    )
    expect((await loop.graph('DELETE', `/caegis/upstreams/${id}`)).status).toBe(204)
    expect(streams()).toBe(before - 1)
    expect(await shown(loop)).toBeUndefined()
    await end(loop)
  })
})
