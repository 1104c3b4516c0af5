import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { verifyPassword } from '../directory/password.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note } from './attempt.ts'
import { readInstants } from './facts.ts'
import type { Issuer, IssuerAnswer } from './issuer.ts'
import { cspFor, messagePage, signInPage } from './pages.ts'
import { ROUTES } from './provider.ts'
import { isStop, passGate } from './stop.ts'

export interface IssuerRoutesOptions {
  store: Store
  /** By name or id. */
  findIssuer(tenant: string): Promise<Issuer | undefined>
  addressOf(request: FastifyRequest): string
}

const DISCOVERY = '/.well-known/openid-configuration'

/** Mounts the OpenID providers of all tenants, and the pages that they send people to. */
export function registerIssuer(app: FastifyInstance, { store, findIssuer, addressOf }: IssuerRoutesOptions): void {
  // The provider reads its own bodies; here they are only bounded.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 64 * 1024 }, (_request, body, done) => done(null, body))

  const withIssuer =
    (handle: (issuer: Issuer, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>) =>
    async (request: FastifyRequest, reply: FastifyReply) => {
      const issuer = await findIssuer((request.params as { tenant: string }).tenant)
      if (!issuer) return reply.code(404).send({ error: 'invalid_request', error_description: 'no such tenant' })
      return handle(issuer, request, reply).catch((error: unknown) => {
        if (isStop(error)) return send(reply, stopped(issuer))
        throw error
      })
    }

  const mount = (url: string, path: (params: Record<string, string>) => string) =>
    app.route({
      method: ['GET', 'POST', 'OPTIONS'],
      url: `/:tenant${url}`,
      handler: withIssuer(async (issuer, request, reply) => {
        // Escaped separators and dots would lead to another endpoint than the one that is looked at here.
        const { uid } = request.params as { uid?: string }
        if (uid !== undefined && !/^[\w-]{1,64}$/.test(uid))
          return reply.code(404).send({ error: 'invalid_request', error_description: 'no such page' })
        const answer = await issuer.answer({
          method: request.method,
          path: path(request.params as Record<string, string>),
          query: request.url.includes('?') ? request.url.slice(request.url.indexOf('?')) : '',
          headers: request.headers,
          body: typeof request.body === 'string' ? request.body : '',
          address: addressOf(request),
        })
        return send(reply, answer)
      }),
    })

  for (const path of Object.values(ROUTES)) mount(path, () => path)
  mount(`${ROUTES.authorization}/:uid`, ({ uid }) => `${ROUTES.authorization}/${uid}`)
  mount(`${ROUTES.code_verification}/:uid`, ({ uid }) => `${ROUTES.code_verification}/${uid}`)
  mount(`${ROUTES.end_session}/confirm`, () => `${ROUTES.end_session}/confirm`)
  mount(`${ROUTES.end_session}/success`, () => `${ROUTES.end_session}/success`)
  mount(DISCOVERY, () => DISCOVERY)
  mount(`/v2.0${DISCOVERY}`, () => DISCOVERY)

  // An attempt may be tried again, so its work answers with a value; it is sent once it has passed the fence.
  const page = (work: (issuer: Issuer, request: FastifyRequest, reply: FastifyReply) => Promise<IssuerAnswer>) =>
    withIssuer(async (issuer, request, reply) => send(reply, await issuer.attempt(addressOf(request), () => work(issuer, request, reply))))

  app.get(
    '/:tenant/signin/:uid',
    page(async (issuer, request, reply) => {
      const isStopped = await passGate(store, issuer.tenant, 'somebody')
      return showSignIn(issuer, request, reply, isStopped ? { wrong: ONLY_EMERGENCY } : undefined)
    }),
  )

  app.post(
    '/:tenant/signin/:uid',
    page(async (issuer, request, reply) => {
      const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
      const username = (form.get('username') ?? '').trim().slice(0, 320)
      await passGate(store, issuer.tenant, { username })
      if (!(await interaction(issuer, request, reply))) return expired(issuer)
      const proof = await prove(issuer, username, form.get('password') ?? '')
      if ('wrong' in proof) return showSignIn(issuer, request, reply, { username, wrong: proof.wrong })
      const location = await issuer.provider.interactionResult(
        request.raw,
        reply.raw,
        { login: { accountId: proof.id, ts: proof.at, amr: ['pwd'] } },
        { mergeWithLastSubmission: false },
      )
      return { status: 303, headers: { location, 'cache-control': 'no-store' }, body: '' }
    }),
  )

  async function showSignIn(
    issuer: Issuer,
    request: FastifyRequest,
    reply: FastifyReply,
    again?: { username?: string; wrong: string },
  ): Promise<IssuerAnswer> {
    const details = await interaction(issuer, request, reply)
    if (!details) return expired(issuer)
    const { client_id: clientId, redirect_uri: redirectUri, login_hint: hint } = details.params as Record<string, string | undefined>
    const app = await issuer.tenant.application(clientId ?? '')
    const target = redirectUri ? URL.parse(redirectUri)?.origin : undefined
    const content = { application: app?.displayName ?? 'an application', username: again?.username ?? hint ?? '' }
    return html(
      again?.username === undefined ? 200 : 401,
      signInPage(issuer.tenant, again ? { ...content, wrong: again.wrong } : content),
      target && target !== 'null' ? [target] : [],
    )
  }

  /** The half-done sign-in that both the link and the browser's cookie name. */
  async function interaction(issuer: Issuer, request: FastifyRequest, reply: FastifyReply) {
    const details = await issuer.provider.interactionDetails(request.raw, reply.raw).catch(() => undefined)
    return details?.uid === (request.params as { uid: string }).uid ? details : undefined
  }

  /**
   * Checks a user name and a password; unknown users cost as much and are told the same. The instant of the proof lies before the stored hash was read and after
   * every cutoff that was known then: a password that is changed meanwhile leaves the proof behind, and the fence notices it besides.
   */
  async function prove(issuer: Issuer, username: string, password: string): Promise<{ id: string; at: number } | { wrong: string }> {
    const attempt = currentAttempt()
    const read = async () => {
      const user = await store.db
        .selectFrom('users')
        .select(['id', 'password', 'enabled', 'break_glass', 'valid_from', 'access_from', 'version'])
        .where('tenant', '=', issuer.tenant.id)
        .where('upn_key', '=', username.toLowerCase())
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      if (user) note(attempt, { table: 'user', id: user.id }, user.version)
      return user
    }
    let at = Math.floor(store.clock())
    let user = await read()
    const [tenant] = await readInstants(store, issuer.tenant, {})
    const cutoff = Math.max(user?.valid_from ?? 0, tenant?.validFrom ?? 0)
    if (user && at <= cutoff) {
      await issuer.waitPast(cutoff)
      at = Math.floor(store.clock())
      user = await read()
      if (user && at <= cutoff) {
        // The clock fell far behind: the next instant after the cutoff, as for a token, and noted like one, so that the next cutoff is placed no earlier.
        at = Math.max(cutoff, user.access_from, tenant?.accessFrom ?? 0) + 1
        attempt.mints.push({ iat: at, exp: 0, appId: '', user: user.id })
      }
    }
    const right = await verifyPassword(password, user?.password ?? null)
    if (!user || !right) return { wrong: 'The user name or the password is wrong.' }
    // Only somebody who knows the password learns that the account is disabled.
    if (user.enabled === 0) return { wrong: 'Your account is disabled. Ask your administrator.' }
    attempt.account = { id: user.id, breakGlass: user.break_glass === 1 }
    attempt.proved = true
    return { id: user.id, at }
  }
}

const ONLY_EMERGENCY = 'An administrator has stopped sign-in. Only the emergency account can sign in now.'

function stopped(issuer: Issuer): IssuerAnswer {
  const { displayName } = issuer.tenant
  const text = `An administrator has stopped ${displayName}. Nobody can sign in until it is resumed; signing in again before that does not help.`
  return html(403, messagePage(issuer.tenant, 'Sign-in is stopped', text), [])
}

function expired(issuer: Issuer): IssuerAnswer {
  return html(400, messagePage(issuer.tenant, 'This sign-in has expired', 'Go back to the application and sign in again.'), [])
}

function html(status: number, body: string, formTargets: string[]): IssuerAnswer {
  return {
    status,
    body,
    headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': cspFor(formTargets), 'cache-control': 'no-store' },
  }
}

function send(reply: FastifyReply, answer: IssuerAnswer): FastifyReply {
  return reply
    .code(answer.status)
    .headers({ 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', ...answer.headers })
    .send(answer.body)
}
