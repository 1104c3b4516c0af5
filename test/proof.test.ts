import { afterEach, describe, expect, it } from 'vitest'
import { eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'
import { SIGNALS_TENANT } from './signals-tenant.ts'

interface Proof {
  txn: string
  committedDateTime: string
  events: { seq: number; type: string }[]
  receivers: { appId: string; guard: boolean; complete: boolean; sent?: { at: string; attempt: number }; applied?: { at: string } }[]
}

describe('the proof of a revocation', () => {
  let loop: Loop | undefined
  afterEach(() => loop?.close())

  const proof = async (txn: string | null) => (await (loop as Loop).graph('GET', `/caegis/revocations/${txn}`)).json() as Promise<Proof>
  const revoke = async () => (await (loop as Loop).graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).headers.get('caegis-txn')

  it('names by txn each receiver, when it was sent the event and when it applied it', async () => {
    loop = await startLoop()
    await loop.guard()
    const before = Date.now()
    const txn = await revoke()
    const found = await eventually(
      () => proof(txn),
      ({ receivers }) => receivers[0]?.complete === true && receivers[0].applied !== undefined,
      'the proof',
    )
    expect(found).toMatchObject({
      txn,
      events: [{ type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked' }],
      receivers: [{ appId: 'files-api', guard: true, complete: true, sent: { attempt: 1 } }],
    })
    const [{ sent, applied } = {}] = found.receivers
    // To the millisecond, not the second of its SET: how long the rest took is measured from here.
    const committed = Date.parse(found.committedDateTime)
    expect(committed).toBeGreaterThanOrEqual(before - 1)
    expect(Date.parse(String(sent?.at))).toBeGreaterThanOrEqual(committed)
    expect(Date.parse(String(applied?.at))).toBeGreaterThanOrEqual(Date.parse(String(sent?.at)))
  })

  it('shows a receiver that has not applied it as not complete', async () => {
    loop = await startLoop()
    let deaf = false
    await loop.guard({ fetch: (input, init) => (deaf ? Promise.reject(new TypeError('no network')) : fetch(input, init)) })
    deaf = true
    // The poll that is held was sent before: it hears of this one, and of nothing after.
    await revoke()
    const txn = await revoke()
    const { receivers } = await proof(txn)
    expect(receivers).toMatchObject([{ guard: true, complete: false }])
    expect(receivers[0]).not.toHaveProperty('applied')
  })

  it('is 404 for an unknown txn and 401 without a token', async () => {
    loop = await startLoop()
    expect((await loop.graph('GET', '/caegis/revocations/unknown')).status).toBe(404)
    expect((await fetch(`${loop.origin}/v1.0/caegis/revocations/unknown`)).status).toBe(401)
  })

  it('tells who did what to whom, which API refused first, and what the client did then; sign-ins only to who may read their log', async () => {
    const tenant = JSON.parse(SIGNALS_TENANT)
    const daemon = (appId: string, ...permissions: string[]) => ({
      appId,
      type: 'daemon',
      clientSecret: SECRET,
      permissions: permissions.map((one) => `graph/${one}`),
    })
    tenant.applications.push(daemon('examiner', 'SecurityEvents.Read.All', 'AuditLog.Read.All'), daemon('reader', 'User.Read.All'))
    loop = await startLoop({ tenant: JSON.stringify(tenant) })
    const { origin, daemonToken } = loop
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const txn = await revoke()
    const as = async (clientId: string) => {
      const headers = { authorization: `Bearer ${await daemonToken(clientId, `${origin}/.default`)}` }
      return (await fetch(`${origin}/v1.0/caegis/revocations/${txn}`, { headers })).json() as Promise<any>
    }
    await eventually(
      () => as('examiner'),
      ({ receivers }) => receivers[0].complete,
      'the proof',
    )
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    await alice.signIn()
    const { id } = (await (await loop.graph('GET', '/users/alice@contoso.test')).json()) as { id: string }
    const found = await eventually(
      () => as('examiner'),
      ({ refusals, answers }) => refusals.length === 1 && answers.length > 0,
      'the rest of it',
    )
    expect(found).toMatchObject({
      subject: { kind: 'user', id, displayName: 'Alice', userPrincipalName: 'alice@contoso.test' },
      activity: expect.any(String),
      initiatedBy: { user: null, app: { appId: 'nightly' } },
      receivers: [{ displayName: 'files-api', complete: true }],
      refusals: [{ appId: 'files-api', displayName: 'files-api', milliseconds: expect.any(Number) }],
      answers: [{ application: { id: 'files-native' }, outcome: 'signedIn', policies: [] }],
    })
    const [refusal] = found.refusals
    expect(Date.parse(refusal.atDateTime) - Date.parse(found.committedDateTime)).toBe(refusal.milliseconds)
    expect(found.answers[0].milliseconds).toBeGreaterThanOrEqual(0)
    for (const who of ['auditor', 'reader', 'nightly']) {
      const other = await as(who)
      expect(other).not.toHaveProperty('answers')
      expect(other.subject).toEqual(found.subject)
    }
  })
})
