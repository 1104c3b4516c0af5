import { createHash, randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Secret, TOTP } from 'otpauth'
import { renderSVG } from 'uqr'
import { z } from 'zod'
import { judge } from '../access/account.ts'
import { ACCOUNT_APP_ID } from '../directory/account-page.ts'
import { createFactors } from '../directory/factors.ts'
import { html, send } from '../issuer/answer.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { forTenant } from '../issuer/routes.ts'
import { passGate } from '../issuer/stop.ts'
import { asksForCode, makeCodes, normalize, stepOf } from './code.ts'
import { accountPage, codesPage, setupPage } from './pages.ts'
import type { SignInOptions } from './routes.ts'

/** Seconds: who signed in longer ago proves again that it is still they. */
const FRESH = 30 * 60
const SETUP_TTL = 600
const setupSchema = z.strictObject({ secret: z.string(), until: z.number() })

const formOf = ({ tenant }: Issuer) => `account:${tenant.id}`

interface Visitor {
  id: string
  name: string
  /** What its forms carry, and the word of which it is the digest. */
  csrf: string
  form: string
}

/** `/{tenant}/account`: where people register and remove what they prove besides their password. Works without scripts. */
export function registerAccount(app: FastifyInstance, { store, secrets, findIssuer, addressOf }: SignInOptions): void {
  app.get(
    '/:tenant/account',
    forTenant(findIssuer, async (issuer, request, reply) => {
      const query = new URLSearchParams(request.url.split('?')[1] ?? '')
      // Signing in once more would end here again.
      if (query.has('error')) return send(reply, html(403, messagePage(issuer.tenant, 'Your account', 'You cannot sign in to this page now.')))
      // The code has served its purpose, and has no place in the address bar.
      if (query.has('code')) return send(reply, { status: 303, headers: { location: `${issuer.tenant.base}/account` }, body: '' })
      const visitor = await visitorOf(issuer, request, reply)
      return send(reply, visitor ? await show(issuer, visitor) : toSignIn(issuer))
    }),
  )

  app.post(
    '/:tenant/account',
    forTenant(findIssuer, async (issuer, request, reply) => {
      const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
      const visitor = await visitorOf(issuer, request, reply)
      if (!visitor) return send(reply, toSignIn(issuer))
      // Another site's form, or a page of a session that is over: shown anew, nothing done.
      if (!secrets.matches(formOf(issuer), visitor.form, form.get('csrf') ?? ''))
        return send(reply, { ...(await show(issuer, visitor)), status: 400 })
      return send(reply, await act(issuer, visitor, form))
    }),
  )

  async function act(issuer: Issuer, visitor: Visitor, form: URLSearchParams): Promise<IssuerAnswer> {
    const { tenant } = issuer
    const factors = factorsOf(issuer)
    switch (form.get('action')) {
      case 'begin':
        return showSetup(issuer, visitor, new Secret({ size: 20 }).base32)
      case 'confirm': {
        const secret = openSetup(issuer, visitor, form.get('setup') ?? '')
        if (secret === undefined) return show(issuer, visitor, 'That took too long. Set up the app again.')
        const step = stepOf(secret, normalize(form.get('code') ?? ''), store.clock())
        if (step === undefined) return showSetup(issuer, visitor, secret, 'The code is wrong. Look at the app again.')
        const codes = makeCodes()
        await factors.register(visitor.id, { secret, from: step }, codes.map(normalize))
        return html(200, codesPage(tenant, codes))
      }
      case 'remove':
        if (asksForCode(await factors.list(visitor.id))) await factors.unregister(visitor.id)
        return show(issuer, visitor, 'The app was removed.')
      case 'codes': {
        if (!asksForCode(await factors.list(visitor.id))) return show(issuer, visitor)
        const codes = makeCodes()
        await factors.renewCodes(visitor.id, codes.map(normalize))
        return html(200, codesPage(tenant, codes))
      }
      default:
        return show(issuer, visitor)
    }
  }

  /** Who is signed in here, judged as at any mint. Whoever has a second factor must have proved it, or a stolen password could remove it. */
  async function visitorOf(issuer: Issuer, request: FastifyRequest, reply: FastifyReply): Promise<Visitor | undefined> {
    const { tenant, provider } = issuer
    return issuer.attempt(addressOf(request), async () => {
      await passGate(store, tenant, 'somebody')
      const session = await provider.Session.get(provider.createContext(request.raw, reply.raw) as never)
      const { accountId, loginTs, uid, amr } = session as unknown as { accountId?: string; loginTs?: number; uid: string; amr?: string[] }
      if (accountId === undefined || loginTs === undefined || store.clock() - loginTs > FRESH) return undefined
      const user = await readUser(store, tenant, accountId)
      if (!user || judge(user, await readInstants(store, tenant, { sid: uid }), loginTs)) return undefined
      await passGate(store, tenant, { username: accountId })
      if (asksForCode(await factorsOf(issuer).list(accountId)) && !amr?.includes('mfa')) return undefined
      const name = `${user.displayName} · ${user.userPrincipalName}`
      const form = `${uid} ${accountId}`
      return { id: accountId, name, form, csrf: secrets.digest(formOf(issuer), form) }
    })
  }

  /** By way of the provider, so that a sign-in for this page is one like any other. The code that comes back is never redeemed. */
  function toSignIn({ tenant }: Issuer): IssuerAnswer {
    const challenge = createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url')
    const query = new URLSearchParams({
      ...{ client_id: ACCOUNT_APP_ID, response_type: 'code', redirect_uri: `${tenant.base}/account`, scope: 'openid', prompt: 'login' },
      ...{ code_challenge: challenge, code_challenge_method: 'S256' },
    })
    return { status: 303, headers: { location: `${tenant.base}/oauth2/v2.0/authorize?${query}`, 'cache-control': 'no-store' }, body: '' }
  }

  async function show(issuer: Issuer, { id, name, csrf }: Visitor, done?: string): Promise<IssuerAnswer> {
    const { tenant } = issuer
    const list = await factorsOf(issuer).list(id)
    const codes = list.find((one) => one.kind === 'recovery')
    let codesLeft = 0
    for (const index of codes?.digests.keys() ?? []) {
      if (!(await tenant.artifacts.find(store.db, 'SpentCode', `${id} ${codes?.id} code ${index}`, Math.floor(store.clock())))) codesLeft++
    }
    return html(200, accountPage(tenant, { name, csrf, app: asksForCode(list), codesLeft, ...(done === undefined ? {} : { done }) }))
  }

  function showSetup({ tenant }: Issuer, { id, name, csrf }: Visitor, secret: string, wrong?: string): IssuerAnswer {
    const sealed = secrets.seal(`setup:${tenant.id}:${id}`, { secret, until: Math.floor(store.clock()) + SETUP_TTL })
    const label = name.split(' · ').at(-1) as string
    const uri = new TOTP({ secret: Secret.fromBase32(secret), issuer: tenant.displayName, label }).toString()
    const setup = Buffer.from(sealed).toString('base64url')
    const content = { csrf, setup, secret, svg: renderSVG(uri, { ecc: 'M', border: 2 }), ...(wrong === undefined ? {} : { wrong }) }
    return html(wrong === undefined ? 200 : 401, setupPage(tenant, content))
  }

  function openSetup({ tenant }: Issuer, { id }: Visitor, setup: string): string | undefined {
    try {
      const { secret, until } = setupSchema.parse(secrets.open(`setup:${tenant.id}:${id}`, Buffer.from(setup, 'base64url')))
      return until > store.clock() ? secret : undefined
    } catch {
      return undefined
    }
  }

  const factorsOf = ({ tenant }: Issuer) => createFactors(store, secrets, tenant.id, tenant.issuer)
}
