import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaegisError, type ClaimsRequest, parseClaimsRequest } from '@caegis/protocol'
import inject from 'light-my-request'
import type Provider from 'oidc-provider'
import type { Denial } from '../access/account.ts'
import { type Platform, platformOf as readPlatform } from '../access/signals.ts'
import { cacheable, METADATA_MAX_AGE } from '../cacheable.ts'
import { SERVER_ERRORS } from '../errors.ts'
import { type Attempt, createAttempt, runAttempt } from './attempt.ts'
import { admitDevice } from './device.ts'
import { type FenceVerdict, MAX_WAIT, nextInstant, passFence } from './fence.ts'
import { createLoops } from './loops.ts'
import { createProvider, DISCOVERY, type IssuerOptions, ROUTES } from './provider.ts'
import { insertSignal } from './risk-signals.ts'
import { showKeys } from './shown-keys.ts'
import { assessReplay } from './sign-in-risk.ts'
import { isStop, passGate } from './stop.ts'
import type { Tenant } from './tenant.ts'
import { completeDevice, completeTokens, refuseTokens } from './token-answer.ts'
import { traceAuthorization, traceToken } from './trace.ts'

/** A request for the OpenID provider, as the web server in front has read and bounded it. */
export interface IssuerRequest {
  method: string
  /** Canonical path below `https://host/{tenant}` and the query. */
  path: string
  query: string
  headers: Record<string, string | string[] | undefined>
  body: string
  /** The caller's address as trusted proxies tell it; empty when unknown. */
  address: string
}

export interface IssuerAnswer {
  status: number
  headers: Record<string, string | string[]>
  body: string
}

export interface Issuer {
  tenant: Tenant
  /** Built anew when the tenant's keys change, because it takes them at its making; what it keeps lies in the store. */
  readonly provider: Provider
  /** Answers anything under the provider's paths. What it mints has passed the fence. */
  answer(request: IssuerRequest): Promise<IssuerAnswer>
  /** Runs work of a page (sign-in) inside an attempt, and lets its writes through the same fence. */
  attempt<T>(address: string, work: () => Promise<T>): Promise<T>
  /** Tells the clients that ask for it that these browser sessions are over. */
  tellClients(sids: readonly string[]): Promise<void>
  /** Waits until the clock has passed `t`, at most {@link MAX_WAIT} seconds. */
  waitPast(t: number): Promise<void>
}

/** What the provider's types leave out. */
interface LogoutClient {
  backchannelLogout(sub: string, sid: string): Promise<void>
}

const MAX_TRIES = 8
const NO_CLAIMS: ClaimsRequest = { capable: false, acrs: [] }

export function createIssuer(tenant: Tenant, options: IssuerOptions): Issuer {
  const { store, log } = options
  let built: { version: string; provider: Provider; callback: ReturnType<Provider['callback']> } | undefined
  let described: { of: Provider; text: string } | undefined
  const loops = createLoops(store.clock, options.loopLimit)
  const current = () => {
    const { version } = tenant.keys
    if (built?.version === version) return built
    const provider = createProvider(tenant, options, loops)
    built = { version, provider, callback: provider.callback() }
    return built
  }
  const origin = new URL(tenant.issuer)

  /** Tries until an attempt passes; every try decides anew from what is true then. */
  async function settle<T>(
    begin: (attempt: Attempt) => Promise<T>,
    claims: ClaimsRequest,
    address: string,
  ): Promise<{ result: T; attempt: Attempt }> {
    let iat: number | undefined
    let successor: string | undefined
    let replay: Attempt['replay']
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const attempt = createAttempt(iat ?? Math.floor(store.clock()), claims, address)
      iat = undefined
      if (successor !== undefined) attempt.successor = successor
      if (replay !== undefined) attempt.replay = replay
      const result = await runAttempt(attempt, () => begin(attempt))
      if (attempt.restartWith !== undefined) {
        successor = attempt.restartWith
        replay = attempt.replay
        continue
      }
      const verdict = await passFence(store, tenant, attempt)
      options.onFence?.(verdict.outcome)
      if (verdict.outcome === 'stopped') throw new CaegisError('tenant_stopped', SERVER_ERRORS.tenant_stopped)
      if (verdict.outcome === 'passed') {
        tellOf(verdict)
        alarm(attempt)
        if (attempt.signIn && attempt.signIn.code !== 0) tenant.signIns.deny(attempt.signIn)
        const { seen } = attempt
        // Nobody waits for the disk because of somebody who guesses.
        if (seen?.outcome === 'failure') void store.soon((db) => insertSignal(db, tenant.id, seen))
        return { result, attempt }
      }
      if (verdict.outcome === 'moved') await tenant.keys.reload()
      log.debug('an attempt was discarded', { tenant: tenant.name, outcome: verdict.outcome })
      if (verdict.outcome === 'covered') {
        const next = nextInstant(store.clock(), verdict.until, log)
        iat = next.iat
        if (next.waitMs > 0) await sleep(next.waitMs)
      }
    }
    throw new CaegisError('busy', SERVER_ERRORS.busy)
  }

  /** Whoever follows the log, and the clients that ask to hear of sign-outs. */
  function tellOf({ endings, changes }: Extract<FenceVerdict, { outcome: 'passed' }>): void {
    for (const { txn, seq } of changes) log.info('change committed', { tenant: tenant.id, txn, seq })
    if (changes.length > 0) store.wake(tenant.id)
    for (const ending of endings) {
      if (ending.kind === 'logout') options.tell(ending.uri, ending.body)
      // Whoever signed out has no session any more: of that the provider has told.
      if (ending.kind === 'session') void tellClients([ending.sid])
    }
  }

  /** Back-channel logout of sessions that ended without the provider's doing. Nobody waits for it, and nothing depends on it. */
  async function tellClients(sids: readonly string[]): Promise<void> {
    const { provider } = current()
    for (const sid of sids) {
      const attempt = createAttempt(Math.floor(store.clock()), NO_CLAIMS, '')
      await runAttempt(attempt, async () => {
        const session = await provider.Session.findByUid(sid)
        for (const [clientId, { sid: own = '' }] of Object.entries(session?.authorizations ?? {})) {
          const client = await provider.Client.find(clientId)
          if (session?.accountId && client?.backchannelLogoutUri) await (client as unknown as LogoutClient).backchannelLogout(session.accountId, own)
        }
      }).catch((error: Error) => log.warn('clients could not be told of a sign-out', { tenant: tenant.name, name: error.name }))
      for (const ending of attempt.endings) if (ending.kind === 'logout') options.tell(ending.uri, ending.body)
    }
  }

  /** Each use of the emergency account is one that somebody should know of. */
  function alarm({ account, proved, mints }: Attempt): void {
    if (!account?.breakGlass || !(proved || mints.length > 0)) return
    log.error(`the emergency account ${proved ? 'signed in' : 'got a token'}`, { alarm: true, tenant: tenant.name, user: account.id })
  }

  /** A refusal that no attempt was made for. */
  async function traceBare(form: URLSearchParams, address: string, correlation: string, body: object, denial: Denial | undefined): Promise<void> {
    const attempt = createAttempt(Math.floor(store.clock()), NO_CLAIMS, address)
    attempt.trace.correlation = correlation
    if (denial) attempt.denial = denial
    await traceToken(store, tenant, attempt, form, 400, JSON.stringify(body))
    if (attempt.signIn) tenant.signIns.deny(attempt.signIn)
  }

  async function dispatch(request: IssuerRequest, path: string, body: string): Promise<IssuerAnswer> {
    const url = `${path}${request.query}`
    // The provider builds its URLs from these; nothing of the sort is taken from the wire.
    const headers: Record<string, string | string[]> = { 'x-forwarded-proto': 'https', 'x-forwarded-host': origin.host, host: origin.host }
    for (const name of PROVED.has(path) ? [...PASSED, 'dpop'] : PASSED) {
      const value = request.headers[name]
      if (value !== undefined) headers[name] = value
    }
    const answer = await inject(
      (req: unknown, res: unknown) => {
        // The difference of both is the mount path in every URL that the provider makes.
        const raw = req as IncomingMessage & { originalUrl?: string }
        raw.originalUrl = `/${tenant.name}${url}`
        void current().callback(raw, res as ServerResponse)
      },
      { method: request.method as 'GET', url, headers, ...(body === '' ? {} : { payload: body }) },
    )
    const out: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value !== undefined && !DROPPED.has(name)) out[name] = Array.isArray(value) ? value.map(String) : String(value)
    }
    return { status: answer.statusCode, headers: out, body: answer.payload }
  }

  /** What the provider says of itself, said once for each that is built: nothing of it depends on who asks. */
  async function describe(request: IssuerRequest): Promise<IssuerAnswer> {
    const { provider } = current()
    if (described?.of !== provider) {
      const { result } = await settle(() => dispatch({ ...request, query: '' }, DISCOVERY, ''), NO_CLAIMS, request.address)
      if (result.status !== 200) return result
      described = { of: provider, text: result.body }
    }
    const type = 'application/json; charset=utf-8'
    return cacheable({ type, text: described.text, maxAge: METADATA_MAX_AGE, ifNoneMatch: request.headers['if-none-match'] })
  }

  return {
    tenant,
    get provider() {
      return current().provider
    },
    async answer(request) {
      if (request.method === 'GET' && request.path === ROUTES.jwks) return showKeys(tenant.keys, request)
      if (request.method === 'GET' && request.path === DISCOVERY) return describe(request)
      const isToken = request.path === ROUTES.token && request.method === 'POST'
      const isDevice = request.path === ROUTES.device_authorization
      const given = new URLSearchParams(isToken ? request.body : request.query)
      const nul = [...given.values()].some((value) => value.includes('\0'))
      const form = nul && isToken ? new URLSearchParams() : given
      const correlation =
        shortId(form.get('client-request-id') ?? new URLSearchParams(request.query).get('client-request-id') ?? undefined) ?? randomUUID()
      let claims = NO_CLAIMS
      const bare = async (error: string, description: string, denial?: Denial) => {
        const body = { error, error_description: description }
        if (isToken) await traceBare(form, request.address, correlation, body, denial)
        return refusal(refuseTokens(body, form, denial, store.clock(), correlation, claims))
      }
      // Nothing that is stored could be meant by it.
      if (nul && isToken) return bare('invalid_request', 'a parameter holds a NUL character')
      try {
        claims = parseClaimsRequest(form.get('claims') ?? undefined)
      } catch (error) {
        if (!(error instanceof CaegisError)) throw error
        if (isToken) return bare('invalid_request', error.message)
      }
      // A challenge may ask for a token of the second that is just beginning; anything later is a clock that is wrong, and no reason to loop.
      const ahead = (claims.nbf ?? 0) - store.clock()
      if (ahead > MAX_WAIT && isToken) return bare('invalid_request', 'the claims ask for a token that is issued in the future')
      if (ahead > 0 && ahead <= MAX_WAIT) await sleep(Math.ceil(ahead * 1000))

      const { query, userCode } = adjustQuery(request)
      const deviceAssertion = deviceAssertionOf(request)
      const settled = await settle(
        async (attempt) => {
          attempt.trace.correlation = correlation
          if (isToken) await passGate(store, tenant, { form })
          else if (STOPPABLE.some((path) => request.path.startsWith(path))) await passGate(store, tenant, 'somebody')
          if (form.has('client_assertion') || new URLSearchParams(request.body).has('client_assertion')) attempt.assertion = true
          if (userCode !== undefined) attempt.userCode = userCode
          const platform = platformOf(request)
          if (platform !== undefined) attempt.platform = platform
          if (deviceAssertion !== undefined) await admitDevice(store, tenant, deviceAssertion)
          if (isToken && attempt.deviceRefused) {
            attempt.denial = { reason: attempt.deviceRefused }
            const refused = refusal({ error: 'invalid_request' })
            await traceToken(store, tenant, attempt, form, refused.status, refused.body)
            return refused
          }
          const answer = await dispatch({ ...request, query }, request.path, adjustForm(request, attempt))
          if (isToken) await assessReplay(store, tenant, log, answer.status === 200)
          if (isToken) await traceToken(store, tenant, attempt, form, answer.status, answer.body)
          else await traceAuthorization(store, tenant, attempt)
          // A refusal hands out no successor, so it must not spend the refresh token either: its honest holder would look like a thief.
          if (answer.status >= 500) attempt.endings.length = 0
          if (answer.status >= 500 || (isToken && answer.status >= 400 && form.get('grant_type') === 'refresh_token' && !attempt.reused)) {
            forget(attempt)
            attempt.mints.length = 0
          }
          return answer
        },
        claims,
        request.address,
      ).catch((error: unknown) => {
        // People get a page from the routes.
        if ((isToken || isDevice) && isStop(error)) return undefined
        throw error
      })
      if (!settled) return bare('access_denied', '', { reason: 'tenant-stopped' })
      const { result, attempt } = settled
      const body = isToken || isDevice ? asObject(result.body) : undefined
      if (!body) return result
      if (!isToken) return result.status === 200 ? { ...result, body: JSON.stringify(completeDevice(body)) } : result
      if (result.status === 200 && attempt.wish && attempt.successor === undefined) loops.note(attempt.wish)
      if (result.status === 200) return { ...result, body: JSON.stringify(completeTokens(body, form, tenant, attempt)) }
      if (result.status >= 500) return result
      return { ...result, body: JSON.stringify(refuseTokens(body, form, attempt.denial, store.clock(), correlation, claims)) }
    },
    tellClients,
    attempt: async (address, work) => (await settle(work, NO_CLAIMS, address)).result,
    async waitPast(t) {
      const { waitMs } = nextInstant(store.clock(), t, log)
      if (waitMs > 0) await sleep(waitMs)
    },
  }
}

/** What begins or goes on with a sign-in; below them lie the pages of one that is half done. */
const STOPPABLE = [ROUTES.authorization, ROUTES.device_authorization, ROUTES.code_verification]

/** What the provider may see of the request; forwarding headers of the wire are not among it. */
const PASSED = [
  'accept',
  'accept-language',
  'authorization',
  'content-type',
  'cookie',
  'origin',
  'user-agent',
  'access-control-request-method',
  'access-control-request-headers',
]
/** Where a proof of a key means something (RFC 9449 sections 5 and 7); elsewhere anybody could fill the memory of proofs. */
const PROVED: ReadonlySet<string> = new Set([ROUTES.token, ROUTES.userinfo])
const DROPPED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'])

/**
 * `offline_access` is asked for by every MSAL client at every call, and oidc-provider drops it or misses it depending on the prompt; refresh tokens are issued by
 * the client's registration, so it is taken out before either happens.
 */
function withoutOfflineAccess(form: URLSearchParams): void {
  const scope = form.get('scope')
  if (scope !== null)
    form.set(
      'scope',
      scope
        .split(/\s+/)
        .filter((one) => one !== 'offline_access' && one !== '')
        .join(' '),
    )
}

/** What the client says that it runs on: a browser by its name, the Microsoft libraries by a word of their own. */
function platformOf({ headers, path, query, body }: IssuerRequest): Platform | undefined {
  const form = new URLSearchParams(path === ROUTES.token ? body : query)
  return readPlatform(String(headers['user-agent'] ?? '')) ?? readPlatform(form.get('x-client-OS') ?? form.get('x-client-os') ?? undefined)
}

/** What a device proves itself with, where one may; the provider never sees it. */
function deviceAssertionOf({ path, query, body }: IssuerRequest): string | undefined {
  if (path === ROUTES.token) return new URLSearchParams(body).get('device_assertion') ?? undefined
  if (path !== ROUTES.authorization) return undefined
  return new URLSearchParams(query).get('device_assertion') ?? new URLSearchParams(body).get('device_assertion') ?? undefined
}

function adjustForm({ path, headers, body }: IssuerRequest, attempt: Attempt): string {
  if (body === '' || !/^\s*application\/x-www-form-urlencoded\b/i.test(String(headers['content-type']))) return body
  const form = new URLSearchParams(body)
  withoutOfflineAccess(form)
  form.delete('device_assertion')
  // MSAL names the device grant by a bare word.
  if (form.get('grant_type') === 'device_code') form.set('grant_type', 'urn:ietf:params:oauth:grant-type:device_code')
  if (attempt.successor !== undefined) form.set('refresh_token', attempt.successor)
  const token = path === ROUTES.revocation || path === ROUTES.introspection ? form.get('token') : null
  if (token) {
    // The provider checks who asks; it knows opaque tokens only, and a spent refresh token that it looked up would count as used again.
    attempt.presented = token
    form.set('token', 'presented')
  }
  return form.toString()
}

/** The code of a device may stand in its link; the page shows it filled in, so that following a link confirms nothing. */
function adjustQuery(request: IssuerRequest): { query: string; userCode?: string } {
  if (request.query === '') return { query: '' }
  const form = new URLSearchParams(request.query)
  withoutOfflineAccess(form)
  form.delete('device_assertion')
  const userCode = form.get('user_code')
  if (userCode === null || request.method !== 'GET') return { query: `?${form}` }
  form.delete('user_code')
  return { query: form.size > 0 ? `?${form}` : '', userCode: userCode.slice(0, 32) }
}

/** Nothing of a refused attempt comes to be, but that what is good once was shown. */
function forget({ writes }: Attempt): void {
  for (const [key, { model }] of writes) if (model !== 'ReplayDetection') writes.delete(key)
}

/** An answer that the provider had no part in. It tells nothing of anybody, so every page may read it. */
function refusal(body: object): IssuerAnswer {
  return {
    status: 400,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'access-control-allow-origin': '*' },
    body: JSON.stringify(body),
  }
}

function asObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function shortId(text: string | undefined): string | undefined {
  return text !== undefined && /^[A-Za-z0-9-]{1,64}$/.test(text) ? text : undefined
}
