import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { judge } from '../access/account.ts'
import { createFactors } from '../directory/factors.ts'
import { createAdapter } from '../issuer/adapter.ts'
import { html, send, withWait } from '../issuer/answer.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { forTenant } from '../issuer/routes.ts'
import { passGate } from '../issuer/stop.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { asksForCode, proveCode } from './code.ts'
import { guessersOf, tooMany } from './guessers.ts'
import { readBrowser, rememberBrowser } from './known-browser.ts'
import { codePage, signInPage } from './pages.ts'
import { provePassword } from './password.ts'
import type { Throttle } from './throttle.ts'

export interface SignInOptions {
  store: Store
  secrets: Secrets
  throttle: Throttle
  /** By name or id. */
  findIssuer(tenant: string): Promise<Issuer | undefined>
  addressOf(request: FastifyRequest): string
}

const ONLY_EMERGENCY = 'An administrator has stopped sign-in. Only the emergency account can sign in now.'
const MAX_NAME = 320
/** A sign-in whose first factor was proved, and the seconds for which it waits for the second. */
const HALF = 'HalfSignIn'
const HALF_TTL = 600

type Half = {
  accountId: string
  /** Seconds: when the first factor was proved. */
  at: number
  username: string
}

type Login = {
  accountId: string
  ts: number
  amr: string[]
}

/** The pages that the OpenID providers send people to. The scope reads bodies as text, as the providers' own does. */
export function registerSignIn(app: FastifyInstance, { store, secrets, throttle, findIssuer, addressOf }: SignInOptions): void {
  app.get(
    '/:tenant/signin/:uid',
    forTenant(findIssuer, async (issuer, request, reply) =>
      // An attempt may be tried again, so its work answers with a value; it is sent once it has passed the fence.
      send(
        reply,
        await issuer.attempt(addressOf(request), async () => {
          const isStopped = await passGate(store, issuer.tenant, 'somebody')
          const half = await halfOf(issuer).find(uidOf(request))
          if (half) return showCode(issuer, request, reply, 200)
          return showSignIn(issuer, request, reply, 200, isStopped ? { wrong: ONLY_EMERGENCY } : {})
        }),
      ),
    ),
  )

  app.post(
    '/:tenant/signin/:uid',
    forTenant(findIssuer, async (issuer, request, reply) => {
      const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
      const username = (form.get('username') ?? '').trim().slice(0, MAX_NAME)
      const address = addressOf(request)
      if (form.has('code')) return send(reply, await secondStep(issuer, request, reply, form))
      if (form.has('restart')) return send(reply, await issuer.attempt(address, () => restart(issuer, request, reply, form)))
      const done = await throttle.attempt(issuer.tenant.id, guessersOf(issuer.tenant, secrets, { request, username, address }), () =>
        issuer.attempt(address, async () => {
          await passGate(store, issuer.tenant, { username })
          if (!(await isOwnForm(issuer, request, reply, form))) return { right: undefined, value: expired(issuer) }
          const proof = await provePassword(store, issuer, username, form.get('password') ?? '')
          if ('id' in proof) {
            const factors = factorsOf(issuer)
            if (!asksForCode(await factors.list(proof.id))) {
              const login = { accountId: proof.id, ts: proof.at, amr: ['pwd'] }
              return { right: true, value: await finish(issuer, request, reply, username, login) }
            }
            // Only whole sign-ins are told of.
            delete currentAttempt().proved
            await halfOf(issuer).upsert(uidOf(request), { accountId: proof.id, at: proof.at, username } as Half, HALF_TTL)
            return { right: true, value: here(issuer, request) }
          }
          return { right: proof.disabled === true, value: await showSignIn(issuer, request, reply, 401, { username, wrong: proof.wrong }) }
        }),
      )
      if ('value' in done) return send(reply, done.value)
      const wrong = tooMany(done.wait)
      const refused = await issuer.attempt(address, () => showSignIn(issuer, request, reply, 429, { username, wrong }))
      return send(reply, withWait(refused, done.wait))
    }),
  )

  /** The second factor. The sign-in bears the instant of the first, and dies by whatever was cut off since (threat A3). */
  async function secondStep(issuer: Issuer, request: FastifyRequest, reply: FastifyReply, form: URLSearchParams): Promise<IssuerAnswer> {
    const { tenant } = issuer
    const uid = uidOf(request)
    const address = addressOf(request)
    const known = await tenant.artifacts.find(store.db, HALF, uid, Math.floor(store.clock()))
    if (!known) return expired(issuer)
    const { username } = known.payload as unknown as Half
    const guessers = guessersOf(tenant, secrets, { request, username, address }, 'code')
    const done = await throttle.attempt(tenant.id, guessers, () =>
      issuer.attempt(address, async () => {
        const half = (await halfOf(issuer).find(uid)) as unknown as Half | undefined
        if (!half || !(await isOwnForm(issuer, request, reply, form))) return { right: undefined, value: expired(issuer) }
        await passGate(store, tenant, { username: half.accountId })
        const user = await readUser(store, tenant, half.accountId)
        if (judge(user, await readInstants(store, tenant, {}), half.at)) {
          await halfOf(issuer).destroy(uid)
          const wrong = 'Your access changed meanwhile. Sign in again.'
          return { right: undefined, value: await showSignIn(issuer, request, reply, 401, { username, wrong }) }
        }
        const amr = await proveCode(store, tenant, factorsOf(issuer), half.accountId, form.get('code') ?? '')
        if (!amr) return { right: false, value: await showCode(issuer, request, reply, 401, 'The code is wrong or was used before.') }
        await halfOf(issuer).destroy(uid)
        Object.assign(currentAttempt(), { account: { id: half.accountId, breakGlass: user?.breakGlass === true }, proved: true })
        return { right: true, value: await finish(issuer, request, reply, username, { accountId: half.accountId, ts: half.at, amr }) }
      }),
    )
    if ('value' in done) return done.value
    return withWait(await issuer.attempt(address, () => showCode(issuer, request, reply, 429, tooMany(done.wait))), done.wait)
  }

  async function restart(issuer: Issuer, request: FastifyRequest, reply: FastifyReply, form: URLSearchParams): Promise<IssuerAnswer> {
    if (!(await isOwnForm(issuer, request, reply, form))) return expired(issuer)
    await halfOf(issuer).destroy(uidOf(request))
    return here(issuer, request)
  }

  async function finish(issuer: Issuer, request: FastifyRequest, reply: FastifyReply, username: string, login: Login): Promise<IssuerAnswer> {
    const { tenant, provider } = issuer
    const location = await provider.interactionResult(request.raw, reply.raw, { login }, { mergeWithLastSubmission: false })
    const cookie = rememberBrowser(tenant, secrets, readBrowser(tenant, secrets, request), username.toLowerCase())
    return { status: 303, headers: { location, 'cache-control': 'no-store', 'set-cookie': cookie }, body: '' }
  }

  async function showCode(issuer: Issuer, request: FastifyRequest, reply: FastifyReply, status: number, wrong?: string): Promise<IssuerAnswer> {
    const about = await aboutOf(issuer, request, reply)
    if (!about) return expired(issuer)
    return html(status, codePage(issuer.tenant, { ...about.content, ...(wrong === undefined ? {} : { wrong }) }), about.targets)
  }

  async function showSignIn(
    issuer: Issuer,
    request: FastifyRequest,
    reply: FastifyReply,
    status: number,
    again: { username?: string; wrong?: string },
  ): Promise<IssuerAnswer> {
    const about = await aboutOf(issuer, request, reply)
    if (!about) return expired(issuer)
    return html(status, signInPage(issuer.tenant, { ...about.content, username: about.hint, ...again }), about.targets)
  }

  /** What the pages of one sign-in say of where it leads. */
  async function aboutOf(issuer: Issuer, request: FastifyRequest, reply: FastifyReply) {
    const details = await interaction(issuer, request, reply)
    if (!details) return undefined
    const { client_id: clientId, redirect_uri: redirectUri, login_hint: hint } = details.params as Record<string, string | undefined>
    const app = await issuer.tenant.application(clientId ?? '')
    const target = redirectUri ? URL.parse(redirectUri)?.origin : undefined
    const content = { application: app?.displayName ?? 'an application', csrf: csrfOf(issuer, details.uid) }
    return { content, hint: hint ?? '', targets: target && target !== 'null' ? [target] : [] }
  }

  /** The half-done sign-in that both the link and the browser's cookie name. */
  async function interaction(issuer: Issuer, request: FastifyRequest, reply: FastifyReply) {
    const details = await issuer.provider.interactionDetails(request.raw, reply.raw).catch(() => undefined)
    return details?.uid === (request.params as { uid: string }).uid ? details : undefined
  }

  async function isOwnForm(issuer: Issuer, request: FastifyRequest, reply: FastifyReply, form: URLSearchParams): Promise<boolean> {
    const details = await interaction(issuer, request, reply)
    return details !== undefined && secrets.matches(formOf(issuer), details.uid, form.get('csrf') ?? '')
  }

  const halfOf = ({ tenant }: Issuer) => createAdapter(store, tenant.id, tenant.artifacts)(HALF)
  const factorsOf = ({ tenant }: Issuer) => createFactors(store, secrets, tenant.id, tenant.issuer)
  const formOf = ({ tenant }: Issuer) => `form:${tenant.id}`
  const csrfOf = (issuer: Issuer, uid: string) => secrets.digest(formOf(issuer), uid)
}

const uidOf = (request: FastifyRequest) => (request.params as { uid: string }).uid.slice(0, 64)

/** Back to the page of this sign-in, by GET. */
function here({ tenant }: Issuer, request: FastifyRequest): IssuerAnswer {
  return { status: 303, headers: { location: `${tenant.base}/signin/${uidOf(request)}`, 'cache-control': 'no-store' }, body: '' }
}

function expired(issuer: Issuer): IssuerAnswer {
  return html(400, messagePage(issuer.tenant, 'This sign-in has expired', 'Go back to the application and sign in again.'))
}
