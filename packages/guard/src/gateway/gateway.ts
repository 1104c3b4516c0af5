import type { KeyObject } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { compileRanges, parseAddress } from '@caegis/policy'
import type { GuardRequest } from '../credentials.ts'
import { exposedOf } from '../denial.ts'
import type { Checker, Guard } from '../guard.ts'
import { type Log, silent } from '../log.ts'
import { METRICS_TYPE, metricsText } from '../metrics.ts'
import type { Requirement } from '../needs.ts'
import type { Denied, Verdict } from '../verdict.ts'
import { createIdentity, type IdentityHeaders, NOBODY } from './identity.ts'
import { knowsFew, type Original, proxyOf, readOriginal } from './original.ts'
import { readPath } from './path.ts'
import { compileRoutes, type RouteMap, type RouteRequirement } from './routes.ts'

export interface GatewayOptions {
  /** Made with the same `trustedProxies`. */
  guard: Pick<Guard, 'check' | 'require' | 'status'>
  /** Without any, every path needs a good token. */
  routes?: RouteMap
  /** Lets the question of a browser pass that asks, without credentials, whether a page of another origin may call (CORS preflight): the application answers it. */
  preflight?: boolean
  /** Addresses and CIDR ranges of the proxies that may ask, and whose `X-Forwarded-For` is believed. Default none: then anybody may ask, and no caller's address is known. */
  trustedProxies?: readonly string[]
  /** The answer while nothing can be known. 401 is for nginx, which makes a 500 of a 503. */
  unavailable?: 503 | 401
  /** Serves the guard's figures to Prometheus at `/metrics`, default false: to whoever reaches this listener, which no proxy hands on. */
  metrics?: boolean
  /** `iss` and `aud` of the assertion that goes to the application, and the key that signs it (P-256; default: made at the start). */
  assertion: { issuer: string; audience: string; key?: KeyObject }
  /** Milliseconds. */
  now?: () => number
  log?: Log
}

export interface Gateway {
  /** Answers what a proxy asks under `/auth/{nginx,apache,caddy,traefik}` and `/auth/envoy/...`, and `/healthz`, `/readyz`, `/.well-known/jwks.json` and, if asked, `/metrics`. */
  handle(request: IncomingMessage, response: ServerResponse): void
}

/** What goes back to the proxy. */
interface Answer {
  status: number
  headers: Readonly<Record<string, string>>
  body?: object | string
}

const NO_STORE = { 'Cache-Control': 'no-store' }
/** Kept by applications for so long: short, as the key is new after each start. */
const KEYS_FOR = { 'Cache-Control': 'public, max-age=60' }

/**
 * Forward authentication: a proxy asks about each request before it hands it on, and gets a 200 with everything that the application may know of the caller, or
 * the refusal that goes to the client.
 * @throws TypeError for a route, a requirement, a range or a key that is none
 */
export function createGateway(options: GatewayOptions): Gateway {
  const { guard, preflight = false, unavailable = 503, metrics = false, now = Date.now, log = silent } = options
  const checkerOf = compileRoutes(options.routes ?? {}, (requirement) => checker(guard, requirement))
  const proxies = options.trustedProxies ?? []
  const trusted = compileRanges(proxies)
  const identity = createIdentity({ ...options.assertion, now })

  return {
    handle(request, response) {
      request.resume()
      const proxy = proxyOf(request.url ?? '')
      if (proxy === undefined) {
        send(response, other(request))
        return
      }
      const finish = (answer: Answer) => send(response, knowsFew(proxy) ? inFewWords(answer) : answer)
      const answer = judge(request, readOriginal(request, proxy))
      if (answer instanceof Promise) answer.then(finish, (error: unknown) => fail(error, response))
      else finish(answer)
    },
  }

  function judge(request: IncomingMessage, original: Original | undefined): Answer | Promise<Answer> {
    const peer = parseAddress(request.socket.remoteAddress ?? '')
    const known = peer !== undefined && trusted.has(peer)
    if (proxies.length > 0 && !known) return refusal(403, 'not_a_proxy', 'Only the proxies that were named may ask.')
    if (original === undefined) {
      log.warn('a proxy does not say what it was asked: compare its configuration with the documentation')
      return refusal(400, 'request_unknown', 'The proxy does not say what it was asked.')
    }
    const path = readPath(original.target)
    if (path === undefined) return refusal(400, 'path_ambiguous', 'The path can be read in more than one way.')
    const { method } = original
    if (preflight && method === 'OPTIONS' && request.headers.origin !== undefined && request.headers['access-control-request-method'] !== undefined)
      return allowed(NOBODY)
    const checker = checkerOf(method, path)
    const others = readOtherwise(request.headers)
    if (others.length > MOST_METHODS || others.some((other) => checkerOf(other, path) !== checker))
      return refusal(400, 'method_ambiguous', 'The method can be read in more than one way.')
    if (checker === undefined) return allowed(NOBODY)
    const verdict = checker.check(asked(request, original, known))
    return verdict instanceof Promise ? verdict.then(answerTo) : answerTo(verdict)
  }

  function answerTo(verdict: Verdict): Answer {
    if (!verdict.allowed) return denied(verdict)
    // What is asked is answered: nobody here waits for the end of this access.
    verdict.release()
    return allowed(identity.of(verdict.claims))
  }

  function denied({ status, headers, body }: Denied): Answer {
    if (status !== 503 || unavailable === 503) return { status, headers, body }
    // No challenge: a new token would be no better.
    return { status: 401, headers: { 'WWW-Authenticate': `Bearer error="${body.error}"` }, body }
  }

  function other({ url = '', method }: IncomingMessage): Answer {
    if (method !== 'GET' && method !== 'HEAD') return refusal(404, 'not_found', 'There is no such thing.')
    if (url === '/.well-known/jwks.json') return { status: 200, headers: KEYS_FOR, body: identity.jwks }
    if (metrics && url === '/metrics') return { status: 200, headers: { 'Content-Type': METRICS_TYPE }, body: metricsText(guard) }
    if (url === '/healthz') return { status: 200, headers: {}, body: { status: 'ok' } }
    if (url !== '/readyz') return refusal(404, 'not_found', 'There is no such thing.')
    const { hydrated, inSync, age, stale } = guard.status()
    return { status: hydrated ? 200 : 503, headers: {}, body: { ready: hydrated, inSync, stale, age: Number.isFinite(age) ? Math.round(age) : null } }
  }

  function fail(error: unknown, response: ServerResponse): void {
    log.error('a request could not be judged', { error: String(error) })
    send(response, { status: 500, headers: {} })
  }
}

/** Who judges a route; nobody, where it asks for nothing. */
function checker(guard: Pick<Guard, 'check' | 'require'>, { public: open, ...requirement }: RouteRequirement & Requirement): Checker | undefined {
  if (open) return undefined
  return Object.keys(requirement).length === 0 ? guard : guard.require(requirement)
}

/** Applications that take one of these for the method do with a POST what was asked of another one. */
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override'] as const

/** More than anybody who means one would say: each is looked up among the routes. */
const MOST_METHODS = 3

/** What else the method may be to the application. */
function readOtherwise(headers: IncomingMessage['headers']): string[] {
  return OVERRIDES.flatMap((name) => String(headers[name] ?? '').split(',')).flatMap((word) =>
    word.trim() === '' ? [] : [word.trim().toUpperCase()],
  )
}

/** The client's request as the guard shall see it. Whoever asks is a proxy, so that its own address is nobody's: without a caller that it names, the caller is unknown. */
function asked(request: IncomingMessage, { method, url }: Original, trusted: boolean): GuardRequest {
  const { headers, rawHeaders, socket } = request
  const named = trusted && headers['x-forwarded-for'] !== undefined
  const as = { method, url, headers, rawHeaders, socket: named ? { remoteAddress: socket.remoteAddress } : undefined }
  return as
}

function allowed(headers: IdentityHeaders): Answer {
  return { status: 200, headers }
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, headers: {}, body: { error: status === 403 ? 'access_denied' : 'invalid_request', code, message } }
}

/** For proxies that know 401 and 403 only: what they made a 500 of would read as a fault of the server's. A 503 stays one unless it was asked for otherwise. */
function inFewWords(answer: Answer): Answer {
  return answer.status >= 400 && answer.status < 500 && answer.status !== 401 ? { ...answer, status: 403 } : answer
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
  response.writeHead(status, {
    ...NO_STORE,
    ...(status >= 400 ? { 'Access-Control-Expose-Headers': exposedOf(headers) } : {}),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...headers,
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}
