import type { Decision } from '@caegis/policy'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { admitSignIn } from '../issuer/access.ts'
import { createAdapter, HALF } from '../issuer/adapter.ts'
import { html } from '../issuer/answer.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { admitDevice } from '../issuer/device.ts'
import type { Issuer, IssuerAnswer } from '../issuer/issuer.ts'
import { messagePage } from '../issuer/pages.ts'
import { assessSignIn, isDoubted, passSignIn, type SignInRisk, signalOf } from '../issuer/sign-in-risk.ts'
import { tracePage } from '../issuer/trace.ts'
import { INTERRUPTED } from '../logs/sign-in.ts'
import { newBrowser, readBrowser, rememberBrowser } from './known-browser.ts'
import type { SignInOptions } from './options.ts'

/** One request to the page of a half-done sign-in. */
export interface Visit {
  issuer: Issuer
  request: FastifyRequest
  reply: FastifyReply
  /** Of the sign-in, as the path names it. */
  uid: string
  address: string
  form: URLSearchParams
}

/** Who has proved what so far, in a sign-in that still waits for something. */
export type Half = {
  accountId: string
  /** Seconds: when the first factor was proved. Whatever was cut off since ends the sign-in (threat A3). */
  at: number
  /** The browser's session, where it is what was proved by: it ends the sign-in with it. */
  sid?: string
  username: string
  amr: string[]
  /** What is thought of it, from the first factor on. */
  risk?: SignInRisk
  /** Of a browser that had no cookie: the id that its cookie will have. */
  browser?: string
  /** `done`: something was shown, and nothing is waited for but that it was read. */
  waitsFor: 'second' | 'new-password' | 'register' | 'done'
}

export type Visits = ReturnType<typeof createVisits>

/** Seconds: who signed in longer ago proves again that it is still they, before they change what they prove it by. */
export const FRESH = 30 * 60

/** Seconds for which a half-done sign-in waits. */
const HALF_TTL = 600

/** What the steps of a sign-in have in common. All but `open` and `peek` are for use inside an attempt. */
export function createVisits({ store, secrets, addressOf, log }: SignInOptions) {
  const halves = ({ issuer: { tenant } }: Visit) => createAdapter(store, tenant.id, tenant.artifacts)(HALF)
  const formOf = ({ issuer }: Visit) => `form:${issuer.tenant.id}`

  /** The half-done sign-in that both the link and the browser's cookie name. */
  async function details({ issuer, request, reply, uid }: Visit) {
    const found = await issuer.provider.interactionDetails(request.raw, reply.raw).catch(() => undefined)
    return found?.uid === uid ? found : undefined
  }

  /** Tells the log what became of this step. @param code 0 = somebody is let in */
  async function say(visit: Visit, code: number): Promise<void> {
    const found = await details(visit)
    await tracePage(store, visit.issuer.tenant, currentAttempt(), code, found?.params.client_id as string | undefined)
  }

  /** What is remembered of a sign-in names it by a digest: whoever has its own id could go on with it. */
  const signInOf = ({ issuer: { tenant }, uid }: Visit) => secrets.digest(`risk sign-in:${tenant.id}`, uid)

  /** The browser by the id in its cookie, or by the one that it will have; what is kept is a digest. */
  function browserOf({ issuer: { tenant }, request }: Visit, next: string | undefined) {
    const known = readBrowser(tenant, secrets, request) ?? { ...newBrowser(), ...(next === undefined ? {} : { id: next }) }
    return { known, digest: secrets.digest(`risk browser:${tenant.id}`, known.id) }
  }

  return {
    details,
    say,

    /** Asks what is to be thought of a sign-in whose first factor was proved just now; a second factor answers what is about the sign-in alone. */
    async measure<P extends Omit<Half, 'waitsFor'>>(visit: Visit, proved: P, password?: string): Promise<P & { risk: SignInRisk }> {
      const { tenant } = visit.issuer
      const { accountId: user, amr } = proved
      const passed = amr.includes('mfa')
      const { known, digest } = browserOf(visit, proved.browser)
      const risk = proved.risk
        ? await (passed ? passSignIn(store, tenant, user, proved.risk) : proved.risk)
        : await assessSignIn(store, tenant, log, {
            user,
            passed,
            id: signInOf(visit),
            browser: digest,
            ...(password === undefined ? {} : { password }),
          })
      const attempt = currentAttempt()
      attempt.signInRisk = risk
      attempt.trace.risk = risk
      return { ...proved, risk, browser: known.id }
    },

    /** Somebody tried, and what they gave was wrong. @param code it was not the password */
    missed(visit: Visit, username: string, code = false): void {
      const attempt = currentAttempt()
      const { tenant } = visit.issuer
      // What was typed may be a password in the wrong field: so little of a digest tells names apart, and brings none back.
      const name = secrets.digest(`risk name:${tenant.id}`, username.toLowerCase()).slice(0, 4)
      const who = attempt.trace.user ? { user: attempt.trace.user.id } : { name }
      const cookie = readBrowser(tenant, secrets, visit.request)
      const browser = cookie ? { browser: secrets.digest(`risk browser:${tenant.id}`, cookie.id) } : {}
      attempt.seen = signalOf(store, tenant, { kind: 'interactive', outcome: 'failure', ...who, ...browser, ...(code ? { passwordless: true } : {}) })
    },
    open(issuer: Issuer, request: FastifyRequest, reply: FastifyReply): Visit {
      const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
      const { uid } = request.params as { uid: string }
      return { issuer, request, reply, form, uid: uid.slice(0, 64), address: addressOf(request) }
    },

    async isOwnForm(visit: Visit): Promise<boolean> {
      const found = await details(visit)
      return found !== undefined && secrets.matches(formOf(visit), found.uid, visit.form.get('csrf') ?? '')
    },

    /** What the pages of one sign-in say of where it leads. */
    async about(visit: Visit) {
      const found = await details(visit)
      if (!found) return undefined
      const { client_id: clientId, redirect_uri: redirectUri, login_hint: hint } = found.params as Record<string, string | undefined>
      const app = await visit.issuer.tenant.application(clientId ?? '')
      const target = redirectUri ? URL.parse(redirectUri)?.origin : undefined
      const content = { application: app?.displayName ?? 'an application', csrf: secrets.digest(formOf(visit), found.uid) }
      return { content, hint: hint ?? '', targets: target && target !== 'null' ? [target] : [] }
    },

    /**
     * What somebody who signs in anew comes from: the device that proved itself where the sign-in began, or this browser, by what the page's script signed. Never what
     * the browser's session was given to: it may be a copy of somebody else's, and a key cannot be copied.
     */
    async takeDevice(visit: Visit): Promise<void> {
      await details(visit)
      const attempt = currentAttempt()
      if (attempt.deviceSettled) return
      delete attempt.device
      attempt.deviceSettled = true
      const given = visit.form.get('device_assertion')
      if (given) await admitDevice(store, visit.issuer.tenant, given)
    },

    /** What the policies say of somebody who has proved so much, for what this sign-in leads to. */
    async decide(visit: Visit, { accountId, at, amr }: Omit<Half, 'waitsFor'>): Promise<Decision> {
      const found = await details(visit)
      const request = { params: found?.params ?? {}, device: found?.deviceCode !== undefined }
      return (await admitSignIn(visit.issuer.tenant, store, request, accountId, { at, amr })).decision
    },

    /** What the browser's session has proved, when a policy asks for more than that. */
    async fromSession(visit: Visit): Promise<(Pick<Half, 'accountId' | 'at' | 'amr' | 'risk'> & { sid: string }) | undefined> {
      const found = await details(visit)
      const { at, amr } = (found?.prompt.name === 'access' ? found.prompt.details : {}) as { at?: number; amr?: string[] }
      const { accountId, uid: sid } = found?.session ?? {}
      if (accountId === undefined || sid === undefined || at === undefined || !amr) return undefined
      const { signInRisk: risk } = currentAttempt()
      // The session goes on, and its device with it.
      currentAttempt().deviceSettled = true
      return { accountId, at, amr, sid, ...(risk ? { risk } : {}) }
    },

    /** Outside of an attempt: who this seems to be, to know whose budget a guess is of. */
    async peek({ issuer: { tenant }, uid }: Visit): Promise<Half | undefined> {
      return (await tenant.artifacts.find(store.db, HALF, uid, Math.floor(store.clock())))?.payload as Half | undefined
    },
    async half(visit: Visit): Promise<Half | undefined> {
      const found = (await halves(visit).find(visit.uid)) as unknown as Half | undefined
      if (found?.risk) currentAttempt().signInRisk = found.risk
      return found
    },
    forget: async (visit: Visit) => halves(visit).destroy(visit.uid),

    /** Goes on with the next step of the same sign-in. */
    async wait(visit: Visit, half: Half & { waitsFor: keyof typeof INTERRUPTED }, code: number = INTERRUPTED[half.waitsFor]): Promise<IssuerAnswer> {
      // Only whole sign-ins are told of.
      delete currentAttempt().proved
      await say(visit, code)
      await halves(visit).upsert(visit.uid, half, HALF_TTL)
      return here(visit)
    },

    /** Keeps what is proved while a page shows something. */
    hold: async (visit: Visit, half: Half) => halves(visit).upsert(visit.uid, half, HALF_TTL),

    /** Ends the sign-in without anybody being let in: the application is told why. */
    async giveUp({ issuer, request, reply, uid }: Visit, description: string): Promise<IssuerAnswer> {
      const result = { error: 'access_denied', error_description: description }
      const location = await issuer.provider.interactionResult(request.raw, reply.raw, result, { mergeWithLastSubmission: false })
      await createAdapter(store, issuer.tenant.id, issuer.tenant.artifacts)(HALF).destroy(uid)
      return { status: 303, headers: { location, 'cache-control': 'no-store' }, body: '' }
    },

    async finish(visit: Visit, { accountId, at, username, amr, risk, browser }: Omit<Half, 'waitsFor'>): Promise<IssuerAnswer> {
      const { issuer, request, reply, uid } = visit
      await halves(visit).destroy(uid)
      // Before anything is kept: what comes of this sign-in leads back to its record.
      await say(visit, 0)
      const login = { accountId, ts: at, amr }
      const result = { login, select_account: {} }
      const location = await issuer.provider.interactionResult(request.raw, reply.raw, result, { mergeWithLastSubmission: false })
      const { known, digest } = browserOf(visit, browser)
      const how = { ...(amr.includes('pwd') ? {} : { passwordless: true }), ...(risk && isDoubted(risk) ? { doubted: true } : {}) }
      const signal = signalOf(store, issuer.tenant, { kind: 'interactive', outcome: 'success', user: accountId, browser: digest, ...how })
      // A session that proves more is no other sign-in.
      const id = signInOf(visit)
      if (risk === undefined || risk.id === id) currentAttempt().seen = { ...signal, signIn: id }
      const cookie = rememberBrowser(issuer.tenant, secrets, known, username.toLowerCase())
      return { status: 303, headers: { location, 'cache-control': 'no-store', 'set-cookie': cookie }, body: '' }
    },
  }
}

/** Back to the page of this sign-in, by GET. */
export function here({ issuer: { tenant }, uid }: Visit): IssuerAnswer {
  return { status: 303, headers: { location: `${tenant.base}/signin/${uid}`, 'cache-control': 'no-store' }, body: '' }
}

export function expired({ issuer: { tenant } }: Visit): IssuerAnswer {
  return html(400, messagePage(tenant, 'This sign-in has expired', 'Go back to the application and sign in again.'))
}
