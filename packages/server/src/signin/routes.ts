import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { html, send } from '../issuer/answer.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { forTenant } from '../issuer/routes.ts'
import { passGate } from '../issuer/stop.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { knows, readBrowser, rememberBrowser } from './known-browser.ts'
import { signInPage } from './pages.ts'
import { provePassword } from './password.ts'
import { addressGuesser, createThrottle, type Guesser } from './throttle.ts'

export interface SignInOptions {
  store: Store
  secrets: Secrets
  /** By name or id. */
  findIssuer(tenant: string): Promise<Issuer | undefined>
  addressOf(request: FastifyRequest): string
}

const ONLY_EMERGENCY = 'An administrator has stopped sign-in. Only the emergency account can sign in now.'
const MAX_NAME = 320

/** The pages that the OpenID providers send people to. The scope reads bodies as text, as the providers' own does. */
export function registerSignIn(app: FastifyInstance, { store, secrets, findIssuer, addressOf }: SignInOptions): void {
  const throttle = createThrottle(store, secrets)

  app.get(
    '/:tenant/signin/:uid',
    forTenant(findIssuer, async (issuer, request, reply) =>
      // An attempt may be tried again, so its work answers with a value; it is sent once it has passed the fence.
      send(
        reply,
        await issuer.attempt(addressOf(request), async () => {
          const isStopped = await passGate(store, issuer.tenant, 'somebody')
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
      const done = await throttle.attempt(issuer.tenant.id, guessersOf(issuer, request, username, address), () =>
        issuer.attempt(address, async () => {
          await passGate(store, issuer.tenant, { username })
          if (!(await isOwnForm(issuer, request, reply, form))) return { right: undefined, value: expired(issuer) }
          const proof = await provePassword(store, issuer, username, form.get('password') ?? '')
          if ('id' in proof) return { right: true, value: await finish(issuer, request, reply, username, proof) }
          return { right: proof.disabled === true, value: await showSignIn(issuer, request, reply, 401, { username, wrong: proof.wrong }) }
        }),
      )
      if ('value' in done) return send(reply, done.value)
      const wait = done.wait
      const refused = await issuer.attempt(address, () =>
        showSignIn(issuer, request, reply, 429, { username, wrong: `Too many tries. Wait ${inWords(wait)}, then try again.` }),
      )
      return send(reply, { ...refused, headers: { ...refused.headers, 'retry-after': String(wait) } })
    }),
  )

  /** Strangers share the budget of the account; a browser that knows it has its own, so that strangers cannot lock its holder out. */
  function guessersOf({ tenant }: Issuer, request: FastifyRequest, username: string, address: string): Guesser[] {
    const account = username.toLowerCase()
    const browser = readBrowser(tenant, secrets, request)
    const first: Guesser = knows(tenant, secrets, browser, account)
      ? { kind: 'browser', id: `${browser.id} ${account}` }
      : { kind: 'account', id: account }
    return [first, ...addressGuesser(address)]
  }

  async function finish(
    issuer: Issuer,
    request: FastifyRequest,
    reply: FastifyReply,
    username: string,
    proof: { id: string; at: number },
  ): Promise<IssuerAnswer> {
    const { tenant, provider } = issuer
    const login = { accountId: proof.id, ts: proof.at, amr: ['pwd'] }
    const location = await provider.interactionResult(request.raw, reply.raw, { login }, { mergeWithLastSubmission: false })
    const cookie = rememberBrowser(tenant, secrets, readBrowser(tenant, secrets, request), username.toLowerCase())
    return { status: 303, headers: { location, 'cache-control': 'no-store', 'set-cookie': cookie }, body: '' }
  }

  async function showSignIn(
    issuer: Issuer,
    request: FastifyRequest,
    reply: FastifyReply,
    status: number,
    again: { username?: string; wrong?: string },
  ): Promise<IssuerAnswer> {
    const details = await interaction(issuer, request, reply)
    if (!details) return expired(issuer)
    const { client_id: clientId, redirect_uri: redirectUri, login_hint: hint } = details.params as Record<string, string | undefined>
    const app = await issuer.tenant.application(clientId ?? '')
    const target = redirectUri ? URL.parse(redirectUri)?.origin : undefined
    const content = { application: app?.displayName ?? 'an application', username: hint ?? '', csrf: csrfOf(issuer, details.uid), ...again }
    return html(status, signInPage(issuer.tenant, content), target && target !== 'null' ? [target] : [])
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

  const formOf = ({ tenant }: Issuer) => `form:${tenant.id}`
  const csrfOf = (issuer: Issuer, uid: string) => secrets.digest(formOf(issuer), uid)
}

function expired(issuer: Issuer): IssuerAnswer {
  return html(400, messagePage(issuer.tenant, 'This sign-in has expired', 'Go back to the application and sign in again.'))
}

function inWords(seconds: number): string {
  if (seconds < 60) return seconds === 1 ? 'a second' : `${seconds} seconds`
  const minutes = Math.ceil(seconds / 60)
  return minutes === 1 ? 'a minute' : `${minutes} minutes`
}
