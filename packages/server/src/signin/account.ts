import { createHash, randomBytes } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { judge } from '../access/account.ts'
import { codeOf, EXPLAINED } from '../access/refusal.ts'
import { ACCOUNT_APP_ID } from '../directory/own-pages.ts'
import { changeOwnPassword } from '../directory/own-password.ts'
import { hashPassword, verifyPassword } from '../directory/password.ts'
import { admitRegistration, type Registration } from '../issuer/access.ts'
import { html, send, withWait } from '../issuer/answer.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { forTenant } from '../issuer/routes.ts'
import type { SignInRisk } from '../issuer/sign-in-risk.ts'
import { passGate } from '../issuer/stop.ts'
import { createAuthenticatorSetup } from './authenticator.ts'
import { asksForMore, makeCodes, normalize } from './code.ts'
import { guessersOf, tooMany } from './guessers.ts'
import { readNewPassword, SAME_PASSWORD } from './new-password.ts'
import type { SignInOptions } from './options.ts'
import { createOwnDevices, JUST_NOW, nameOf } from './own-device.ts'
import { accountPage, codesPage, passwordPage } from './pages.ts'
import { createPasskeys } from './passkey.ts'
import { FRESH } from './visit.ts'

const formOf = ({ tenant }: Issuer) => `account:${tenant.id}`

interface Visitor {
  id: string
  displayName: string
  username: string
  /** The session that acts, and when its first factor was proved. */
  proof: { at: number; sid: string }
  amr: readonly string[]
  /** What was thought of the sign-in that the session came of. */
  risk: SignInRisk | undefined
  /** What its forms carry, and the word of which it is the digest. */
  csrf: string
  form: string
  address: string
  /** What the browser is called until somebody has a better name. */
  browser: string
}

/** What a page says of what was just done. */
interface Said {
  done?: string
  wrong?: string
  gone?: string
}

/**
 * `/{tenant}/account`: where people register and remove what they prove besides their password, and what they sign in from. Works without scripts, but for keys that
 * only a browser can make.
 */
export function registerAccount(app: FastifyInstance, { store, secrets, throttle, findIssuer, addressOf }: SignInOptions): void {
  const setup = createAuthenticatorSetup(store, secrets)
  const devices = createOwnDevices(store)

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
      return send(reply, await act(issuer, visitor, form, request).catch((error: unknown) => endOf(issuer, error)))
    }),
  )

  async function act(issuer: Issuer, visitor: Visitor, form: URLSearchParams, request: FastifyRequest): Promise<IssuerAnswer> {
    const { tenant } = issuer
    const factors = factorsOf(issuer)
    switch (form.get('action')) {
      case 'begin':
        return (await forbidden(issuer, visitor)) ?? setup.offer(tenant, { ...visitor, user: visitor.id })
      case 'confirm': {
        const no = await forbidden(issuer, visitor)
        if (no) return no
        const proved = setup.prove(tenant, { ...visitor, user: visitor.id }, form)
        if (!proved) return show(issuer, visitor, { done: 'That took too long. Set up the app again.' })
        if ('answer' in proved) return proved.answer
        const codes = makeCodes()
        await factors.register(visitor.id, visitor.proof, proved, codes.map(normalize))
        return html(200, codesPage(tenant, codes))
      }
      case 'remove':
        for (const { id, kind } of await factors.list(visitor.id)) if (kind === 'totp') await factors.remove(self(visitor), visitor.id, id)
        return show(issuer, visitor, { done: 'The app was removed.' })
      case 'add-passkey':
        return (await forbidden(issuer, visitor)) ?? addPasskey(issuer, visitor, form, request)
      case 'remove-passkey':
        await factors.remove(self(visitor), visitor.id, (form.get('id') ?? '').slice(0, 64), 'passkey')
        return show(issuer, visitor, { done: 'The passkey was removed.' })
      case 'add-device':
        // Whoever finds a browser in which somebody else is signed in has no time to make it theirs.
        if (!isNew(visitor)) return toSignIn(issuer)
        return (await forbidden(issuer, visitor, 'urn:user:registerdevice')) ?? show(issuer, visitor, await devices.add(issuer, visitor, form))
      case 'rename-device':
        return show(issuer, visitor, await devices.rename(issuer, visitor, form))
      case 'remove-device':
        return show(issuer, visitor, await devices.remove(issuer, visitor, form))
      case 'sign-in':
        return toSignIn(issuer)
      case 'codes': {
        const no = await forbidden(issuer, visitor)
        if (no) return no
        if (!asksForMore(await factors.list(visitor.id))) return show(issuer, visitor)
        const codes = makeCodes()
        await factors.renewCodes(visitor.id, visitor.proof, codes.map(normalize))
        return html(200, codesPage(tenant, codes))
      }
      case 'password':
        return showPassword(issuer, visitor)
      case 'new-password':
        return setPassword(issuer, visitor, form, request)
      default:
        return show(issuer, visitor)
    }
  }

  async function addPasskey(issuer: Issuer, visitor: Visitor, form: URLSearchParams, request: FastifyRequest): Promise<IssuerAnswer> {
    const passkeys = createPasskeys(store, secrets, issuer.tenant)
    const name = (form.get('name') ?? '').trim().slice(0, 64) || 'Passkey'
    const challenge = await issuer.attempt(addressOf(request), () => passkeys.spend(visitor.form, form.get('challenge') ?? ''))
    const kept = challenge === undefined ? undefined : await passkeys.register(challenge, form.get('passkey') ?? '')
    if (!kept) return show(issuer, visitor, { wrong: 'The passkey could not be added. Try again.' })
    const codes = makeCodes()
    const { result } = await factorsOf(issuer).addPasskey(visitor.id, visitor.proof, name, kept, codes.map(normalize))
    return result ? html(200, codesPage(issuer.tenant, codes)) : show(issuer, visitor, { done: 'The passkey was added.' })
  }

  /** A revocation, or another change, came between the look at the session and the change. */
  function endOf(issuer: Issuer, error: unknown): IssuerAnswer {
    if (error instanceof CaegisError && (error.code === 'actor_revoked' || error.code === 'user_not_found')) return toSignIn(issuer)
    throw error
  }

  /** Everything of the user ends, but for this session: it proved the old password a moment ago (threat A10). */
  async function setPassword(issuer: Issuer, visitor: Visitor, form: URLSearchParams, request: FastifyRequest): Promise<IssuerAnswer> {
    const { tenant } = issuer
    const next = readNewPassword(form, visitor.username)
    if ('wrong' in next) return showPassword(issuer, visitor, 400, next.wrong)
    const old = form.get('old') ?? ''
    const guessers = guessersOf(tenant, secrets, { request, username: visitor.username, address: addressOf(request) })
    const done = await throttle.attempt(tenant.id, guessers, async () => {
      const row = await store.db
        .selectFrom('users')
        .select('password')
        .where('tenant', '=', tenant.id)
        .where('id', '=', visitor.id)
        .executeTakeFirst()
      const from = row?.password ?? null
      const right = await verifyPassword(old, from)
      return { right, value: right ? from : null }
    })
    const say = (code: number) =>
      tenant.signIns.turnAway({
        ...{ kind: 'interactiveUser', grant: 'account_page', code, address: addressOf(request), session: visitor.proof.sid },
        user: { id: visitor.id, name: visitor.username },
      })
    if ('wait' in done) {
      say(50053)
      return withWait(showPassword(issuer, visitor, 429, tooMany(done.wait)), done.wait)
    }
    const { value: from } = done
    if (from === null) {
      say(50126)
      return showPassword(issuer, visitor, 401, 'The old password is wrong.')
    }
    if (await verifyPassword(next.password, from)) return showPassword(issuer, visitor, 400, SAME_PASSWORD)
    const { id: user, proof, amr } = visitor
    await changeOwnPassword(store, tenant, { user, from, to: await hashPassword(next.password), proof, amr })
    return show(issuer, visitor, { done: 'Your password was changed. You are signed out everywhere else.' })
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
      if (!user || judge(user, await readInstants(store, tenant, { sid: uid, user: accountId }), loginTs)) return undefined
      await passGate(store, tenant, { username: accountId })
      if (asksForMore(await factorsOf(issuer).list(accountId)) && !amr?.includes('mfa')) return undefined
      const form = `${uid} ${accountId}`
      const { displayName, userPrincipalName: username } = user
      const proof = { at: loginTs, sid: uid }
      return {
        ...{ id: accountId, displayName, username, proof, amr: amr ?? [], form, csrf: secrets.digest(formOf(issuer), form) },
        ...{ address: addressOf(request), browser: nameOf(request), risk: currentAttempt().signInRisk },
      }
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

  const isNew = ({ proof }: Visitor) => store.clock() - proof.at <= JUST_NOW

  async function show(issuer: Issuer, visitor: Visitor, said: Said = {}): Promise<IssuerAnswer> {
    const { id, displayName, username, csrf, form } = visitor
    const { tenant } = issuer
    const list = await factorsOf(issuer).list(id)
    const name = `${displayName} · ${username}`
    const codes = list.find((one) => one.kind === 'recovery')
    let codesLeft = 0
    for (const index of codes?.digests.keys() ?? []) {
      if (!(await tenant.artifacts.find(store.db, 'SpentCode', `${id} ${codes?.id} code ${index}`, Math.floor(store.clock())))) codesLeft++
    }
    const passkey = createPasskeys(store, secrets, tenant).offer(form, { id, username, displayName }, list)
    const content = { name, csrf, factors: list, codesLeft, passkey, devices: await tenant.devices.ofOwner(id), now: store.clock(), ...said }
    return html(said.wrong === undefined ? 200 : 400, accountPage(tenant, { ...content, ...(isNew(visitor) ? { browser: visitor.browser } : {}) }))
  }

  function showPassword({ tenant }: Issuer, { username, csrf }: Visitor, status = 200, wrong?: string): IssuerAnswer {
    return html(status, passwordPage(tenant, { username, csrf, asksOld: true, ...(wrong === undefined ? {} : { wrong }) }))
  }

  /** Policies may say from where, and with which proof, somebody registers what they prove later. */
  async function forbidden(issuer: Issuer, visitor: Visitor, action?: Registration): Promise<IssuerAnswer | undefined> {
    const { tenant } = issuer
    const decision = await issuer.attempt(visitor.address, () => {
      if (visitor.risk) currentAttempt().signInRisk = visitor.risk
      return admitRegistration(tenant, store, visitor.id, { at: visitor.proof.at, amr: visitor.amr }, action)
    })
    if (decision.outcome === 'allow') return undefined
    const { what, help } = EXPLAINED[codeOf(decision, {})]
    return show(issuer, visitor, { wrong: `${what} ${help}` })
  }

  const self = ({ id, proof }: Visitor) => ({ kind: 'holder', user: id, proof }) as const
  const factorsOf = ({ tenant }: Issuer) => tenant.factors
}
