import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { judge } from '../access/account.ts'
import { html, send } from '../issuer/answer.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { forTenant } from '../issuer/routes.ts'
import { passGate } from '../issuer/stop.ts'
import type { SignInOptions } from './options.ts'
import { consentPage } from './pages.ts'
import { permissionWords } from './permission-words.ts'

const EXPIRED = 'Go back to the application and sign in again.'

/** `/{tenant}/consent/{uid}`: where a user is asked what an application may do. Works without scripts. */
export function registerConsent(app: FastifyInstance, { store, secrets, findIssuer, addressOf }: SignInOptions): void {
  const formOf = ({ tenant }: Issuer) => `consent:${tenant.id}`

  const answering = (answer: (issuer: Issuer, request: FastifyRequest, reply: FastifyReply, open: Open) => Promise<IssuerAnswer>) =>
    forTenant(findIssuer, async (issuer, request, reply) =>
      send(
        reply,
        await issuer.attempt(addressOf(request), async () => {
          await passGate(store, issuer.tenant, 'somebody')
          const open = await openConsent(issuer, request, reply)
          return open ? answer(issuer, request, reply, open) : html(400, messagePage(issuer.tenant, 'This page has expired', EXPIRED))
        }),
      ),
    )

  app.get('/:tenant/consent/:uid', answering(show))
  app.post(
    '/:tenant/consent/:uid',
    answering(async (issuer, request, reply, open) => {
      const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
      // Another site's form, or one of another page: shown anew, nothing done.
      if (!secrets.matches(formOf(issuer), wordOf(open), form.get('csrf') ?? ''))
        return { ...(await show(issuer, request, reply, open)), status: 400 }
      const accepted = form.get('answer') === 'accept'
      if (accepted) currentAttempt().consents.push({ user: open.user, appId: open.clientId, scopes: open.scopes })
      const result = accepted
        ? { consent: {} }
        : { error: 'access_denied', error_description: 'CAE65004: the user declined to consent to the application' }
      const location = await issuer.provider.interactionResult(request.raw, reply.raw, result)
      return { status: 303, headers: { location, 'cache-control': 'no-store' }, body: '' }
    }),
  )

  interface Open {
    uid: string
    user: string
    username: string
    clientId: string
    application: string
    scopes: string[]
    redirectUri: string | undefined
  }

  /** The page that both the link and the browser's cookie name; its session is judged as at any mint, so that a dead one agrees to nothing. */
  async function openConsent({ tenant, provider }: Issuer, request: FastifyRequest, reply: FastifyReply): Promise<Open | undefined> {
    const details = await provider.interactionDetails(request.raw, reply.raw).catch(() => undefined)
    if (!details?.session || details.uid !== (request.params as { uid: string }).uid || details.prompt.name !== 'consent') return undefined
    const { accountId: user, uid: sid = '' } = details.session
    const { client_id: clientId = '', redirect_uri: redirectUri } = details.params as Record<string, string | undefined>
    const session = await provider.Session.findByUid(sid)
    const facts = await readUser(store, tenant, user)
    const app = await tenant.application(clientId)
    if (!facts || !app?.enabled || session?.accountId !== user) return undefined
    if (judge(facts, await readInstants(store, tenant, { sid, appId: clientId, user }), session.loginTs)) return undefined
    const { scopes } = details.prompt.details as { scopes: string[] }
    return { uid: details.uid, user, username: facts.userPrincipalName, clientId, application: app.displayName, scopes, redirectUri }
  }

  async function show(issuer: Issuer, _request: FastifyRequest, _reply: FastifyReply, open: Open): Promise<IssuerAnswer> {
    const { application, username, scopes, redirectUri } = open
    const origin = URL.parse(redirectUri ?? '')?.origin
    const target = origin === undefined || origin === 'null' ? '' : origin
    const permissions = [...(await permissionWords(issuer.tenant, scopes)), { text: 'Keep this access while you are away' }]
    const csrf = secrets.digest(formOf(issuer), wordOf(open))
    return html(200, consentPage(issuer.tenant, { application, username, target, permissions, csrf }), target === '' ? [] : [target])
  }

  /** The form is good for one page, and for the user and the scopes that it showed. */
  const wordOf = ({ uid, user, scopes }: Open) => `${uid} ${user} ${scopes.join(' ')}`
}
