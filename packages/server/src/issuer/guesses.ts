import { html, withWait } from './answer.ts'
import type { IssuerAnswer, IssuerRequest } from './issuer.ts'
import { messagePage, UNKNOWN_CODE } from './pages.ts'
import { ROUTES } from './provider.ts'
import type { Tenant } from './tenant.ts'
import { addressGuesser, type Guesser, type Throttle } from './throttle.ts'
import { appOf } from './trace.ts'

const BY_CLIENT: readonly string[] = [ROUTES.token, ROUTES.introspection, ROUTES.revocation, ROUTES.device_authorization]

/**
 * Answers a request, unless its sender has guessed too often: secrets of clients, or the codes that devices show. Whoever guesses pays by address: for one client,
 * and for all of them. A client has no budget of its own that strangers could use up, so nobody locks one out; where the address is unknown, nobody pays.
 */
export async function answerUnlessGuessing(
  throttle: Throttle,
  tenant: Tenant,
  request: IssuerRequest,
  answer: () => Promise<IssuerAnswer>,
): Promise<IssuerAnswer> {
  const guessers = guessersOf(request)
  if (guessers.length === 0) return answer()
  const wait = await throttle.waitOf(tenant.id, guessers)
  if (wait > 0 && request.path === ROUTES.token) await sayThrottled(tenant, request)
  if (wait > 0) return withWait(request.path === ROUTES.code_verification ? page(tenant, wait) : json(wait), wait)
  const done = await answer()
  const wrong = request.path === ROUTES.code_verification ? done.body.includes(UNKNOWN_CODE) : done.status === 401
  if (wrong) await throttle.count(tenant.id, guessers)
  return done
}

async function sayThrottled(tenant: Tenant, { address, body }: IssuerRequest): Promise<void> {
  const app = await appOf(tenant, new URLSearchParams(body).get('client_id') ?? '')
  tenant.signIns.turnAway({ kind: 'servicePrincipal', grant: 'client_credentials', code: 50053, address, ...(app ? { app } : {}) })
}

function guessersOf({ method, path, body, headers, address }: IssuerRequest): Guesser[] {
  const [from] = method === 'POST' ? addressGuesser(address) : []
  if (!from) return []
  const form = new URLSearchParams(body)
  if (path === ROUTES.code_verification && form.has('user_code')) return [{ kind: 'device', id: from.id }]
  if (!BY_CLIENT.includes(path)) return []
  const basic = /^basic /i.test(headers.authorization as string)
    ? Buffer.from(String(headers.authorization).slice(6), 'base64').toString()
    : undefined
  if (basic === undefined && !form.has('client_secret')) return []
  const client = (basic?.split(':')[0] ?? form.get('client_id') ?? '').slice(0, 256)
  return [
    { kind: 'client', id: `${from.id} ${client}` },
    { kind: 'clients', id: from.id },
  ]
}

function json(wait: number): IssuerAnswer {
  const body = JSON.stringify({
    error: 'invalid_client',
    error_description: `too many wrong credentials came from this address; wait ${wait} seconds`,
  })
  return { status: 429, headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }, body }
}

function page(tenant: Tenant, wait: number): IssuerAnswer {
  return html(429, messagePage(tenant, 'Too many tries', `Too many codes were wrong. Wait ${wait} seconds, then try again.`))
}
