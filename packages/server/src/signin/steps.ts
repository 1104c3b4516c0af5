import type { Decision } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { judge } from '../access/account.ts'
import { codeOf, EXPLAINED } from '../access/refusal.ts'
import { changeOwnPassword } from '../directory/own-password.ts'
import { hashPassword, verifyPassword } from '../directory/password.ts'
import { admitRegistration } from '../issuer/access.ts'
import { html, withWait } from '../issuer/answer.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { IssuerAnswer } from '../issuer/issuer.ts'
import { passGate } from '../issuer/stop.ts'
import type { Proof } from '../store/change.ts'
import { createAuthenticatorSetup } from './authenticator.ts'
import { asksForMore, makeCodes, normalize, proveCode } from './code.ts'
import { guessersOf, tooMany } from './guessers.ts'
import { readBrowser } from './known-browser.ts'
import { readNewPassword, SAME_PASSWORD } from './new-password.ts'
import type { SignInOptions } from './options.ts'
import { codePage, codesPage, lostDevicePage, passwordPage, pickerPage, signInPage, stopPage } from './pages.ts'
import { createPasskeys } from './passkey.ts'
import { provePassword, proveWithout, type SignInFor } from './password.ts'
import { expired, FRESH, type Half, here, type Visit, type Visits } from './visit.ts'

const ONLY_EMERGENCY = 'An administrator has stopped sign-in. Only the emergency account can sign in now.'
const CHANGED = 'Your access changed meanwhile. Sign in again.'
const MUST_CHANGE = 'Your password has to be changed. Choose one that only you know.'
const MAX_NAME = 320

/** The steps of a sign-in: a first factor, a second where there is one, a new password where the old one must go. Nothing is issued before the last. */
export function createSteps({ store, secrets, throttle }: SignInOptions, visits: Visits) {
  const factorsOf = ({ issuer: { tenant } }: Visit) => tenant.factors
  const guessers = ({ issuer, request, address }: Visit, username: string, what: 'password' | 'code') =>
    guessersOf(issuer.tenant, secrets, { request, username, address }, what)
  const passkeysOf = ({ issuer: { tenant } }: Visit) => createPasskeys(store, secrets, tenant)
  const setup = createAuthenticatorSetup(store, secrets)
  const attempt = <T>({ issuer, address }: Visit, work: () => Promise<T>) => issuer.attempt(address, work)

  /** After the first factor. A browser that could not prove what it was registered as goes on without it, and is told so first. */
  async function enter(visit: Visit, first: Omit<Half, 'waitsFor'>, password?: string): Promise<IssuerAnswer> {
    const { deviceRefused } = currentAttempt()
    if (!deviceRefused) return goOn(visit, first, password)
    const proved = await visits.measure(visit, first, password)
    await visits.hold(visit, { ...proved, waitsFor: 'done' })
    return html(200, lostDevicePage(visit.issuer.tenant, { why: deviceRefused, next: visit.uid, now: store.clock() }))
  }

  /** The step after `proved`: another question, or the end. */
  async function goOn(visit: Visit, before: Omit<Half, 'waitsFor'>, password?: string): Promise<IssuerAnswer> {
    const proved = await visits.measure(visit, before, password)
    const known = await factorsOf(visit).list(proved.accountId)
    if (!proved.amr.includes('mfa') && asksForMore(known)) return visits.wait(visit, { ...proved, waitsFor: 'second' })
    if (await mustChange(visit, proved)) return make(visit, { ...proved, waitsFor: 'new-password' })
    const decision = await visits.decide(visit, proved)
    const canProve = known.some(({ kind }) => kind === 'passkey') && !proved.amr.includes('fido')
    switch (decision.outcome === 'require' ? decision.next : undefined) {
      case 'mfa':
        return make(visit, { ...proved, waitsFor: 'register' })
      case 'authenticationStrength':
        if (canProve) return visits.wait(visit, { ...proved, waitsFor: 'second' })
        if (!asksForMore(known)) return make(visit, { ...proved, waitsFor: 'register' })
        return stop(visit, decision)
      case 'passwordChange':
        // Only who proved more than the old password may choose the new one: it may be known to others.
        return make(visit, { ...proved, waitsFor: 'new-password' }, 50135)
      case 'signIn':
        return anew(visit, proved)
    }
    return decision.outcome === 'allow' ? visits.finish(visit, proved) : stop(visit, decision)
  }

  /**
   * What somebody proves by from now on is made by who has proved it a moment ago: a session may be a copy, or be open in front of somebody else. A password, which takes
   * the place of another, by nobody who has not just given that one.
   */
  async function make(visit: Visit, half: Half & { waitsFor: 'register' | 'new-password' }, code?: number): Promise<IssuerAnswer> {
    const isOld = half.sid !== undefined && (half.waitsFor === 'new-password' || store.clock() - half.at > FRESH)
    return isOld ? anew(visit, half) : visits.wait(visit, half, code)
  }

  /** Nothing of what was proved is worth being added to. */
  async function anew(visit: Visit, { username }: Pick<Half, 'username'>): Promise<IssuerAnswer> {
    await visits.forget(visit)
    return showSignIn(visit, 200, { username })
  }

  /** Whether the password that was given has to go before anything is issued. */
  async function mustChange({ issuer: { tenant } }: Visit, { accountId, amr }: Pick<Half, 'accountId' | 'amr'>): Promise<boolean> {
    const rows = store.db.selectFrom('users').select('password_expired').where('tenant', '=', tenant.id)
    return amr.includes('pwd') && (await rows.where('id', '=', accountId).executeTakeFirst())?.password_expired === 1
  }

  /** A policy stands in the way of whoever has proved everything. */
  async function stop(visit: Visit, decision: Decision): Promise<IssuerAnswer> {
    const code = codeOf(decision, {})
    delete currentAttempt().proved
    await visits.forget(visit)
    await visits.say(visit, code)
    const about = await visits.about(visit)
    if (!about) return expired(visit)
    const at = `${new Date(store.clock() * 1000).toISOString().slice(0, 19)}Z`
    const content = { ...about.content, ...EXPLAINED[code], code, at, txn: currentAttempt().trace.correlation }
    return html(403, stopPage(visit.issuer.tenant, content), about.targets)
  }

  /** Somebody is signed in already, and a policy asks for more than that. */
  async function fromSession(visit: Visit): Promise<IssuerAnswer | undefined> {
    const proved = await visits.fromSession(visit)
    if (!proved) return undefined
    const { tenant } = visit.issuer
    const user = await readUser(store, tenant, proved.accountId)
    if (!user || judge(user, await readInstants(store, tenant, { user: proved.accountId, sid: proved.sid }), proved.at)) return undefined
    const half = { ...proved, username: user.userPrincipalName }
    const { next, unmet } = await visits.decide(visit, half)
    // What would be asked for again at the end is asked for now.
    const changes = unmet.some(({ controls }) => controls.includes('passwordChange')) || (await mustChange(visit, half))
    return next === 'signIn' || changes ? anew(visit, half) : goOn(visit, half)
  }

  /** The half-done sign-in if it is still good; else what to answer. */
  async function resume(visit: Visit, step: Half['waitsFor']): Promise<{ half: Half; breakGlass: boolean } | { answer: IssuerAnswer }> {
    const { tenant } = visit.issuer
    const half = await visits.half(visit)
    if (half?.waitsFor !== step || !(await visits.isOwnForm(visit))) return { answer: expired(visit) }
    await passGate(store, tenant, { username: half.accountId })
    const user = await readUser(store, tenant, half.accountId)
    const instants = await readInstants(store, tenant, { user: half.accountId, sid: half.sid })
    if (!judge(user, instants, half.at)) return { half, breakGlass: user?.breakGlass === true }
    return { answer: await refuse(visit, half) }
  }

  /** What was proved is no longer good. */
  async function refuse(visit: Visit, { username, accountId }: Half): Promise<IssuerAnswer> {
    await visits.forget(visit)
    currentAttempt().trace.user ??= { id: accountId }
    await visits.say(visit, 50133)
    return showSignIn(visit, 401, { username, wrong: CHANGED })
  }

  /** Somebody who proves nothing here, and may not try. Their name is told to the log where it is somebody's. */
  const turnAway = <T>(visit: Visit, username: string, code: number, answer: () => Promise<T>): Promise<T> =>
    attempt(visit, async () => {
      const user = await visit.issuer.tenant.directory.user(username)
      if (user) currentAttempt().trace.user = { id: user.id, name: user.userPrincipalName }
      await visits.say(visit, code)
      return answer()
    })

  async function showSignIn(visit: Visit, status: number, again: { username?: string; wrong?: string }): Promise<IssuerAnswer> {
    const about = await visits.about(visit)
    if (!about) return expired(visit)
    return html(
      status,
      signInPage(visit.issuer.tenant, {
        ...{ ...about.content, username: about.hint, passkey: passkeysOf(visit).ask(visit.uid), now: store.clock(), ...again },
      }),
      about.targets,
    )
  }

  /** The accounts to choose from, where the application asks for a choice and names none itself: the one that is signed in, and those that were before. */
  async function choices(visit: Visit): Promise<string[] | undefined> {
    const details = await visits.details(visit)
    if (details?.prompt.name !== 'select_account' || details.params.login_hint) return undefined
    const { tenant } = visit.issuer
    const user = details.session?.accountId === undefined ? undefined : await readUser(store, tenant, details.session.accountId)
    const names = readBrowser(tenant, secrets, visit.request)?.names ?? []
    const all = [...new Set([...(user ? [user.userPrincipalName.toLowerCase()] : []), ...names])]
    return all.length > 0 ? all : undefined
  }

  async function showPicker(visit: Visit, accounts: readonly string[]): Promise<IssuerAnswer> {
    const about = await visits.about(visit)
    return about ? html(200, pickerPage(visit.issuer.tenant, { ...about.content, accounts }), about.targets) : expired(visit)
  }

  /** Asks for what the user has registered; the password was proved, so that this tells no stranger anything. */
  async function showSecond(visit: Visit, status: number, wrong?: string): Promise<IssuerAnswer> {
    const about = await visits.about(visit)
    const half = await visits.half(visit)
    if (!about || !half) return expired(visit)
    const known = await factorsOf(visit).list(half.accountId)
    const passkey = known.some(({ kind }) => kind === 'passkey') ? passkeysOf(visit).ask(visit.uid, known) : undefined
    const content = { ...about.content, app: known.some(({ kind }) => kind === 'totp'), ...(passkey ? { passkey } : {}) }
    return html(status, codePage(visit.issuer.tenant, { ...content, ...(wrong === undefined ? {} : { wrong }) }), about.targets)
  }

  /** What a sign-in is for. */
  async function purpose(visit: Visit): Promise<SignInFor> {
    const details = await visits.details(visit)
    return { appId: details?.params.client_id as string | undefined, sid: details?.session?.uid }
  }

  async function showNewPassword(visit: Visit, username: string, status: number, wrong?: string): Promise<IssuerAnswer> {
    const about = await visits.about(visit)
    if (!about) return expired(visit)
    const content = { username, csrf: about.content.csrf, asksOld: false, reason: MUST_CHANGE, ...(wrong === undefined ? {} : { wrong }) }
    return html(status, passwordPage(visit.issuer.tenant, content), about.targets)
  }

  const whoRegisters = async (visit: Visit, { accountId, username }: Half) => ({
    ...{ user: accountId, username, why: 'Your organization asks for a second factor, and you have none yet.' },
    csrf: (await visits.about(visit))?.content.csrf ?? '',
  })

  /** Policies may say from where somebody registers what they prove later: or whoever has a password first would be who registers. */
  async function mayRegister(visit: Visit, half: Half): Promise<IssuerAnswer | undefined> {
    const decision = await admitRegistration(visit.issuer.tenant, store, half.accountId, half)
    return decision.outcome === 'allow' ? undefined : stop(visit, decision)
  }

  const showRegister = async (visit: Visit, half: Half): Promise<IssuerAnswer> =>
    (await mayRegister(visit, half)) ?? setup.offer(visit.issuer.tenant, await whoRegisters(visit, half))

  return {
    show: (visit: Visit) =>
      attempt(visit, async () => {
        const isStopped = await passGate(store, visit.issuer.tenant, 'somebody')
        const half = await visits.half(visit)
        if (half?.waitsFor === 'second') return showSecond(visit, 200)
        if (half?.waitsFor === 'register') return showRegister(visit, half)
        if (half?.waitsFor === 'new-password') return showNewPassword(visit, half.username, 200)
        if (half) return goOn(visit, half)
        const more = await fromSession(visit)
        if (more) return more
        const accounts = await choices(visit)
        if (accounts) return showPicker(visit, accounts)
        return showSignIn(visit, 200, isStopped ? { wrong: ONLY_EMERGENCY } : {})
      }),

    /** The tenant is stopped, and this is not its emergency account: told at the cost of one row, however many come. */
    async stopped({ issuer: { tenant }, form, address }: Visit): Promise<void> {
      const user = await tenant.directory.user((form.get('username') ?? '').trim().slice(0, MAX_NAME))
      const who = user ? { user: { id: user.id, name: user.userPrincipalName } } : {}
      tenant.signIns.turnAway({ kind: 'interactiveUser', grant: 'sign_in_page', code: 5000224, address, ...who })
    },

    restart: (visit: Visit) =>
      attempt(visit, async () => {
        if (!(await visits.isOwnForm(visit))) return expired(visit)
        await visits.forget(visit)
        // Where a session is signed in already, its page would only come again.
        return (await visits.fromSession(visit)) ? showSignIn(visit, 200, {}) : here(visit)
      }),

    /** Back to the application, which is told that nobody is let in. */
    leave: (visit: Visit) =>
      attempt(visit, async () => {
        if (!(await visits.isOwnForm(visit))) return expired(visit)
        const code = Number(visit.form.get('leave'))
        return visits.giveUp(visit, code in EXPLAINED ? `CAE${code}: ${EXPLAINED[code as keyof typeof EXPLAINED].what}` : 'the sign-in was given up')
      }),

    /** A second factor is registered in the midst of a sign-in, because a policy asks for one and there is none. */
    async register(visit: Visit): Promise<IssuerAnswer> {
      const { tenant } = visit.issuer
      const begun = await attempt(visit, async () => {
        const found = await resume(visit, 'register')
        if ('answer' in found) return found
        const { half } = found
        const forbidden = await mayRegister(visit, half)
        if (forbidden) return { answer: forbidden }
        const proved = setup.prove(tenant, await whoRegisters(visit, half), visit.form)
        if (!proved) return { answer: await showRegister(visit, half) }
        return 'answer' in proved ? proved : { half, proved }
      })
      if ('answer' in begun) return begun.answer
      const codes = makeCodes()
      const { half, proved } = begun
      const done = await unlessRevoked(() => factorsOf(visit).register(half.accountId, proofOf(half), proved, codes.map(normalize)))
      if (!done) return attempt(visit, () => refuse(visit, half))
      return attempt(visit, async () => {
        const found = await resume(visit, 'register')
        if ('answer' in found) return found.answer
        Object.assign(currentAttempt(), { account: { id: half.accountId, breakGlass: found.breakGlass } })
        await visits.hold(visit, { ...half, amr: ['pwd', 'otp', 'mfa'], waitsFor: 'done' })
        return html(200, codesPage(tenant, codes, { href: visit.uid, text: 'Go on' }))
      })
    },

    /** An account was chosen: the one that is signed in goes on, if its session is still good; any other signs in. */
    pick: (visit: Visit) =>
      attempt(visit, async () => {
        const { issuer, request, reply, form } = visit
        await passGate(store, issuer.tenant, 'somebody')
        if (!(await visits.isOwnForm(visit))) return expired(visit)
        const username = (form.get('pick') ?? '').slice(0, MAX_NAME)
        const details = await visits.details(visit)
        const session = details?.prompt.name === 'select_account' ? details.session?.accountId : undefined
        const user = session === undefined ? undefined : await readUser(store, issuer.tenant, session)
        if (user?.userPrincipalName.toLowerCase() !== username) return showSignIn(visit, 200, { username })
        const location = await issuer.provider.interactionResult(request.raw, reply.raw, { select_account: {} })
        return { status: 303, headers: { location, 'cache-control': 'no-store' }, body: '' }
      }),

    async password(visit: Visit): Promise<IssuerAnswer> {
      const { issuer, form } = visit
      const username = (form.get('username') ?? '').trim().slice(0, MAX_NAME)
      const done = await throttle.attempt(issuer.tenant.id, guessers(visit, username, 'password'), () =>
        attempt(visit, async () => {
          await passGate(store, issuer.tenant, { username })
          if (!(await visits.isOwnForm(visit))) return { right: undefined, value: expired(visit) }
          await visits.takeDevice(visit)
          const password = form.get('password') ?? ''
          const proof = await provePassword(store, issuer, username, password, await purpose(visit))
          if ('id' in proof) {
            const proved = { accountId: proof.id, at: proof.at, username, amr: ['pwd'] }
            return { right: true, value: await enter(visit, proved, password) }
          }
          if (!proof.disabled) visits.missed(visit, username)
          await visits.say(visit, proof.code)
          return { right: proof.disabled === true, value: await showSignIn(visit, 401, { username, wrong: proof.wrong }) }
        }),
      )
      if ('value' in done) return done.value
      return withWait(await turnAway(visit, username, 50053, () => showSignIn(visit, 429, { username, wrong: tooMany(done.wait) })), done.wait)
    },

    /** The second factor. The sign-in bears the instant of the first. */
    async code(visit: Visit): Promise<IssuerAnswer> {
      const { tenant } = visit.issuer
      const known = await visits.peek(visit)
      if (!known) return expired(visit)
      let used: string | undefined
      const done = await throttle.attempt(tenant.id, guessers(visit, known.username, 'code'), () =>
        attempt(visit, async () => {
          used = undefined
          const found = await resume(visit, 'second')
          if ('answer' in found) return { right: undefined, value: found.answer }
          const { half, breakGlass } = found
          const proof = await proveCode(store, tenant, factorsOf(visit), half.accountId, visit.form.get('code') ?? '')
          if (!proof) {
            visits.missed(visit, half.username, true)
            await visits.say(visit, 500121)
            return { right: false, value: await showSecond(visit, 401, 'The code is wrong or was used before.') }
          }
          Object.assign(currentAttempt(), { account: { id: half.accountId, breakGlass }, proved: true })
          used = proof.id
          return { right: true, value: await goOn(visit, { ...half, amr: proof.amr }) }
        }),
      )
      if (used !== undefined) await factorsOf(visit).touch(known.accountId, used)
      if ('value' in done) return done.value
      return withWait(await turnAway(visit, known.username, 50053, () => showSecond(visit, 429, tooMany(done.wait))), done.wait)
    },

    /** A passkey: alone, or after a password. It asked for the person itself (user verification), so it is two factors at once. */
    async passkey(visit: Visit): Promise<IssuerAnswer> {
      const { issuer, form } = visit
      const given = form.get('passkey') ?? ''
      const sealed = form.get('challenge') ?? ''
      const prove = (user: string) => passkeysOf(visit).prove(factorsOf(visit), user, visit.uid, sealed, given)
      const done = await attempt(visit, async (): Promise<{ answer: IssuerAnswer; used?: { user: string; id: string } }> => {
        if (await visits.half(visit)) {
          const found = await resume(visit, 'second')
          if ('answer' in found) return found
          const { half, breakGlass } = found
          const id = await prove(half.accountId)
          if (id === undefined) {
            await visits.say(visit, 500121)
            return { answer: await showSecond(visit, 401, 'The passkey did not prove it. Try again.') }
          }
          Object.assign(currentAttempt(), { account: { id: half.accountId, breakGlass }, proved: true })
          return { answer: await goOn(visit, { ...half, amr: ['pwd', 'fido', 'mfa'] }), used: { user: half.accountId, id } }
        }
        const user = passkeysOf(visit).claimant(given) ?? ''
        await passGate(store, issuer.tenant, { username: user })
        if (!(await visits.isOwnForm(visit))) return { answer: expired(visit) }
        await visits.takeDevice(visit)
        let id: string | undefined
        const check = async () => {
          id = await prove(user)
          return id !== undefined
        }
        const proof = await proveWithout(store, issuer, user, check, await purpose(visit))
        if ('wrong' in proof) {
          await visits.say(visit, proof.code)
          return { answer: await showSignIn(visit, 401, { wrong: proof.wrong }) }
        }
        const { username, at } = proof
        const answer = await enter(visit, { accountId: user, at, username, amr: ['fido', 'mfa'] })
        return { answer, ...(id === undefined ? {} : { used: { user, id } }) }
      })
      if (done.used) await factorsOf(visit).touch(done.used.user, done.used.id)
      return done.answer
    },

    /** A password that must go: everything of the user ends by the change, but this sign-in, which goes on as of the second after it (threat A10). */
    async newPassword(visit: Visit): Promise<IssuerAnswer> {
      const { issuer, form } = visit
      const { tenant } = issuer
      const found = await attempt(visit, () => resume(visit, 'new-password'))
      if ('answer' in found) return found.answer
      const { half, breakGlass } = found
      const row = await store.db
        .selectFrom('users')
        .select(['upn', 'password'])
        .where('tenant', '=', tenant.id)
        .where('id', '=', half.accountId)
        .executeTakeFirst()
      const from = row?.password
      const next = readNewPassword(form, row?.upn ?? '')
      if ('wrong' in next) return attempt(visit, () => showNewPassword(visit, half.username, 400, next.wrong))
      if (await verifyPassword(next.password, from ?? null)) return attempt(visit, () => showNewPassword(visit, half.username, 400, SAME_PASSWORD))
      if (from == null) return attempt(visit, () => refuse(visit, half))
      const to = await hashPassword(next.password)
      const change = { user: half.accountId, from, to, proof: proofOf(half), amr: half.amr }
      const t = await unlessRevoked(() => changeOwnPassword(store, tenant, change))
      if (t === undefined) return attempt(visit, () => refuse(visit, half))
      return attempt(visit, async () => {
        // Read once more: what the sign-in is made from is the attempt's to know.
        if (!(await visits.half(visit)) || !(await visits.isOwnForm(visit))) return expired(visit)
        await passGate(store, tenant, { username: half.accountId })
        const user = await readUser(store, tenant, half.accountId)
        if (judge(user, await readInstants(store, tenant, { user: half.accountId, sid: half.sid }), t + 1)) return refuse(visit, half)
        Object.assign(currentAttempt(), { account: { id: half.accountId, breakGlass }, proved: true })
        return goOn(visit, { ...half, at: t + 1 })
      })
    },
  }
}

const proofOf = ({ at, sid }: Half): Proof => ({ at, ...(sid === undefined ? {} : { sid }) })

/** @returns `undefined` where the proof was cut off between the look at it and the change */
async function unlessRevoked<T>(change: () => Promise<T>): Promise<T | undefined> {
  try {
    return await change()
  } catch (error) {
    if (error instanceof CaegisError && error.code === 'actor_revoked') return undefined
    throw error
  }
}
