import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AccountInfo, CryptoProvider, InteractionRequiredAuthError, PublicClientApplication } from '@azure/msal-node'
import { protect } from '@caegis/guard/node'
import { readClaimsChallenge } from '@caegis/protocol'
import { Agent, fetch as send } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { grant, policy } from './policies-of.ts'

/** Two networks: who comes from one address of the loopback is in the office, who comes from another is not. */
const OFFICE = '127.0.0.2'
const CAFE = '127.0.0.3'
const REDIRECT = 'http://localhost'
const RANGE = (...ranges: string[]) => ranges.map((cidrAddress) => ({ '@odata.type': '#microsoft.graph.iPv4CidrRange', cidrAddress }))

const ways = new Map(
  [OFFICE, CAFE].map((localAddress) => [localAddress, new Agent({ localAddress, autoSelectFamily: false, connect: { family: 4 } as never })]),
)
/** A fetch that leaves from the network of the moment. */
const fetchFrom = (where: () => string) =>
  ((input: string | URL, init?: object) => send(input, { ...init, dispatcher: ways.get(where()) } as never)) as unknown as typeof globalThis.fetch

let loop: Loop
let api: Server
let url: string
let office: string
const admin = async (method: string, path: string, body?: unknown) => {
  const answer = await loop.graph(method, `/identity/conditionalAccess${path}`, body)
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${answer.status} ${text}`)
  return text === '' ? {} : JSON.parse(text)
}

beforeAll(async () => {
  loop = await startLoop({
    tenant: JSON.stringify({
      tenant: { name: 'contoso', displayName: 'Contoso' },
      users: ['alice', 'bob', 'carol', 'dave'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: [REDIRECT], permissions: [SCOPE] },
        {
          appId: 'nightly',
          type: 'daemon',
          clientSecret: SECRET,
          permissions: ['graph/Policy.ReadWrite.ConditionalAccess', 'graph/AuditLog.Read.All'],
        },
      ],
    }),
  })
  const guard = await loop.guard()
  const guarded = protect(guard)
  api = createServer((request, response) => guarded(request, response, () => response.end('the file')))
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/file`
  office = String(
    (
      await admin('POST', '/namedLocations', {
        '@odata.type': '#microsoft.graph.ipNamedLocation',
        displayName: 'Office',
        isTrusted: true,
        ipRanges: RANGE(`${OFFICE}/32`),
      })
    ).id,
  )
})
afterAll(async () => {
  for (const way of ways.values()) await way.close()
  await new Promise((resolve) => api.close(resolve))
  await loop.close()
})

/** Lets one policy hold and no other, and waits until the guard has it. */
async function only(...policies: Record<string, unknown>[]) {
  for (const { id } of (await admin('GET', '/policies')).value) await admin('DELETE', `/policies/${id}`)
  await admin('PATCH', `/namedLocations/${office}`, { '@odata.type': '#microsoft.graph.ipNamedLocation', ipRanges: RANGE(`${OFFICE}/32`) })
  const ids: string[] = []
  for (const one of policies) ids.push(String((await admin('POST', '/policies', one)).id))
  return ids
}
const block = () =>
  policy('Only from the office', {
    conditions: { applications: { includeApplications: ['files-api'] }, locations: { includeLocations: ['All'], excludeLocations: [office] } },
    ...grant('block'),
  })

/** Somebody with unmodified MSAL, on a machine that is carried about. */
async function person(name: string, { capabilities = ['cp1'] } = {}) {
  let where = OFFICE
  const calls: string[] = []
  const way = fetchFrom(() => where)
  const networkClient = {
    sendGetRequestAsync: (to: string, options?: object) => ask('GET', to, options),
    sendPostRequestAsync: (to: string, options?: object) => ask('POST', to, options),
  }
  async function ask(method: string, to: string, { headers, body }: { headers?: Record<string, string>; body?: string } = {}) {
    if (to.includes('/token')) calls.push(new URLSearchParams(body).get('grant_type') ?? '')
    const response = await way(to, { method, ...(headers ? { headers } : {}), ...(body === undefined ? {} : { body }) })
    return { status: response.status, headers: Object.fromEntries(response.headers), body: (await response.json()) as never }
  }
  const msal = new PublicClientApplication({
    auth: { clientId: 'files-native', authority: loop.authority, knownAuthorities: [new URL(loop.authority).host], clientCapabilities: capabilities },
    system: { protocolMode: 'OIDC', networkClient },
  } as never)
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
  const asked = { scopes: [SCOPE], redirectUri: REDIRECT }
  const sign = await msal.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
  const end = await createBrowser(way).signIn(sign, REDIRECT, { username: `${name}@contoso.test`, password: PASSWORD })
  const first = await msal.acquireTokenByCode({ ...asked, code: String(end.searchParams.get('code')), codeVerifier: verifier })
  let token = first.accessToken
  const silent = async (claims?: string) => {
    token = (await msal.acquireTokenSilent({ account: first.account as AccountInfo, scopes: [SCOPE], ...(claims ? { claims } : {}) })).accessToken
  }
  return {
    moveTo(address: string) {
      where = address
    },
    calls,
    silent,
    token: () => token,
    /** One call of the API with the token at hand. */
    async call() {
      const response = await way(url, { headers: { authorization: `Bearer ${token}` } })
      const header = response.headers.get('www-authenticate')
      await response.text()
      return { status: response.status, claims: readClaimsChallenge(header)?.claims }
    },
    /** As an application would: a challenge is answered once. @returns the status of the last answer */
    async use(): Promise<number> {
      const answer = await this.call()
      if (answer.status !== 401 || answer.claims === undefined) return answer.status
      const { nbf } = JSON.parse(answer.claims).access_token
      if (nbf) await new Promise((resolve) => setTimeout(resolve, Math.max(0, Number(nbf.value) * 1000 - Date.now())))
      await silent(answer.claims)
      return (await this.call()).status
    },
  }
}
const record = async (code: number) =>
  eventually(
    async () => (await (await loop.graph('GET', `/auditLogs/signIns?$filter=status/errorCode eq ${code}&$top=1`)).json()).value[0],
    (one) => one !== undefined,
  )

describe('somebody signed in at an allowed address who moves outside', () => {
  it('is refused at the first call by the address that the API sees, is denied a new token by policy, and the log says why', async () => {
    const [id] = await only(block())
    const alice = await person('alice')
    expect(await alice.use()).toBe(200)
    alice.moveTo(CAFE)
    const refused = await alice.call()
    expect(refused.status).toBe(401)
    const asked = JSON.parse(refused.claims as string).access_token
    expect(asked).toMatchObject({ xms_rp_ipaddr: { value: CAFE }, nbf: { essential: true }, caegis_evidence: { value: expect.any(String) } })
    const denied = await alice.silent(refused.claims).catch((error: unknown) => error)
    expect(denied).toBeInstanceOf(InteractionRequiredAuthError)
    expect(denied).toMatchObject({ errorNo: 53003, subError: 'message_only' })
    expect(await record(53003)).toMatchObject({
      ...{ userPrincipalName: 'alice@contoso.test', ipAddress: CAFE, conditionalAccessStatus: 'failure' },
      appliedConditionalAccessPolicies: [expect.objectContaining({ id, result: 'failure', enforcedGrantControls: ['Block'] })],
    })
    alice.moveTo(OFFICE)
    expect(await alice.use()).toBe(200)
  })

  it('is denied in strict mode where only the API sees the other network, and the log shows both addresses', async () => {
    await only({ ...block(), sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } })
    const bob = await person('bob')
    expect(await bob.use()).toBe(200)
    bob.moveTo(CAFE)
    const refused = await bob.call()
    expect(refused.status).toBe(401)
    // The way to the issuer still leads through the office.
    bob.moveTo(OFFICE)
    const denied = await bob.silent(refused.claims).catch((error: unknown) => error)
    expect(denied).toMatchObject({ errorNo: 53003 })
    const found = await eventually(
      () => record(53003),
      (one) => one.userPrincipalName === 'bob@contoso.test',
    )
    expect(found).toMatchObject({ ipAddress: OFFICE, ipAddressFromResourceProvider: CAFE })
  })

  it('T15: is let through in standard mode there, with a token for that one address; it is worth nothing at a third', async () => {
    await only(block())
    const bob = await person('bob')
    bob.moveTo(CAFE)
    const refused = await bob.call()
    bob.moveTo(OFFICE)
    await bob.silent(refused.claims)
    bob.moveTo(CAFE)
    expect((await bob.call()).status).toBe(200)
    const elsewhere = await globalThis.fetch(url, { headers: { authorization: `Bearer ${bob.token()}` } })
    expect(elsewhere.status).toBe(401)
  })
})

describe('a trusted range that is removed while a session lives', () => {
  it('refuses the next request; added back, the next one passes after one silent refresh at most', async () => {
    await only(block())
    const carol = await person('carol')
    expect(await carol.use()).toBe(200)
    await admin('PATCH', `/namedLocations/${office}`, { '@odata.type': '#microsoft.graph.ipNamedLocation', ipRanges: RANGE('192.0.2.0/24') })
    await eventually(
      () => carol.call(),
      ({ status }) => status === 401,
    )
    const denied = await carol.silent((await carol.call()).claims).catch((error: unknown) => error)
    expect(denied).toBeInstanceOf(InteractionRequiredAuthError)

    await admin('PATCH', `/namedLocations/${office}`, {
      '@odata.type': '#microsoft.graph.ipNamedLocation',
      ipRanges: RANGE('192.0.2.0/24', `${OFFICE}/32`),
    })
    const before = carol.calls.length
    expect(
      await eventually(
        () => carol.use().catch(() => 0),
        (status) => status === 200,
      ),
    ).toBe(200)
    expect(carol.calls.length - before).toBeLessThanOrEqual(1)
  })
})

describe('a copied token', () => {
  for (const capabilities of [['cp1'], []]) {
    it(`is refused at its first request from another network, ${capabilities.length > 0 ? 'with' : 'without'} cp1`, async () => {
      await only(block())
      const dave = await person('dave', { capabilities })
      expect((await dave.call()).status).toBe(200)
      const thief = fetchFrom(() => CAFE)
      const answer = await thief(url, { headers: { authorization: `Bearer ${dave.token()}` } })
      expect(answer.status).toBe(401)
      expect((await dave.call()).status).toBe(200)
    })
  }
})
