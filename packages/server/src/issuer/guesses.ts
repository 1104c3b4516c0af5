import { createHmac, randomBytes } from 'node:crypto'
import { html, withWait } from './answer.ts'
import type { IssuerAnswer, IssuerRequest } from './issuer.ts'
import { messagePage, UNKNOWN_CODE } from './pages.ts'
import { ROUTES } from './provider.ts'
import type { Tenant } from './tenant.ts'
import { addressGuesser, type Guesser, type Throttle } from './throttle.ts'
import { appOf } from './trace.ts'

const BY_CLIENT: readonly string[] = [ROUTES.token, ROUTES.introspection, ROUTES.revocation, ROUTES.device_authorization]

/** Secrets that were right lately. Which they are stands nowhere: only what they digest to. */
const MOST_KNOWN = 10_000

/** Answers a request, unless its sender has guessed too often. */
export type AnswerUnlessGuessing = (tenant: Tenant, request: IssuerRequest, answer: () => Promise<IssuerAnswer>) => Promise<IssuerAnswer>

/**
 * Bounds guesses of the secrets of clients, and of the codes that devices show. Whoever guesses pays by address: for one client, and for all of them. A client has no
 * budget of its own that strangers could use up, so nobody locks one out; where the address is unknown, nobody pays. What was never right here is tried one after the
 * other, and counts before it is known to be wrong: many at once are no way around. A secret that was right is no guess, and its clients need not wait for each other.
 * Being right gives nothing back of what was wrong: whoever guesses may have a client of their own.
 */
export function createGuesses(throttle: Throttle): AnswerUnlessGuessing {
  const key = randomBytes(32)
  const known = new Set<string>()
  /** Secrets that are looked at for the first time: a fleet that begins anew behind one address is one try. */
  const looking = new Map<string, Promise<unknown>>()
  const remember = (one: string) => {
    known.delete(one)
    known.add(one)
    if (known.size > MOST_KNOWN) known.delete(known.values().next().value as string)
  }

  return async (tenant, request, answer) => {
    const { guessers, secret } = guessOf(request)
    if (guessers.length === 0) return answer()
    const digest = secret && createHmac('sha256', key).update(`${tenant.id} ${secret}`).digest('base64url')
    const isDevice = request.path === ROUTES.code_verification
    const isWrong = ({ body, status }: IssuerAnswer) => (isDevice ? body.includes(UNKNOWN_CODE) : status === 401)
    const refuse = async (wait: number) => {
      if (request.path === ROUTES.token) await sayThrottled(tenant, request)
      return withWait(isDevice ? page(tenant, wait) : json(wait), wait)
    }
    if (digest !== undefined) await looking.get(digest)
    if (digest !== undefined && known.has(digest)) {
      const wait = await throttle.waitOf(tenant.id, guessers)
      if (wait > 0) return refuse(wait)
      const done = await answer()
      // It was removed, or has expired.
      if (isWrong(done)) {
        known.delete(digest)
        await throttle.count(tenant.id, guessers)
      }
      return done
    }
    const looked = throttle.attempt(tenant.id, guessers, async () => {
      const value = await answer()
      // Others than these may come of a request that was refused before its secret was looked at.
      if (digest !== undefined && value.status === 200) remember(digest)
      return { right: isWrong(value) ? false : undefined, value }
    })
    if (digest !== undefined && !looking.has(digest)) {
      const over = looked.then(
        () => void looking.delete(digest),
        () => void looking.delete(digest),
      )
      looking.set(digest, over)
    }
    const done = await looked
    return 'value' in done ? done.value : refuse(done.wait)
  }
}

async function sayThrottled(tenant: Tenant, { address, body }: IssuerRequest): Promise<void> {
  const app = await appOf(tenant, new URLSearchParams(body).get('client_id') ?? '')
  tenant.signIns.turnAway({ kind: 'servicePrincipal', grant: 'client_credentials', code: 50053, address, ...(app ? { app } : {}) })
}

/** Who guesses, and which secret of which client, as one text. The address is first: so much of it is tried at a time. */
function guessOf({ method, path, body, headers, address }: IssuerRequest): { guessers: Guesser[]; secret?: string } {
  const none = { guessers: [] }
  const [from] = method === 'POST' ? addressGuesser(address) : []
  if (!from) return none
  const form = new URLSearchParams(body)
  if (path === ROUTES.code_verification && form.has('user_code')) return { guessers: [{ kind: 'device', id: from.id }] }
  if (!BY_CLIENT.includes(path)) return none
  const basic = /^basic /i.test(headers.authorization as string)
    ? Buffer.from(String(headers.authorization).slice(6), 'base64').toString()
    : undefined
  if (basic === undefined && !form.has('client_secret')) return none
  const client = (basic?.split(':')[0] ?? form.get('client_id') ?? '').slice(0, 256)
  const secret = basic ?? JSON.stringify([form.getAll('client_id'), form.getAll('client_secret')])
  return {
    secret,
    guessers: [
      { kind: 'clients', id: from.id },
      { kind: 'client', id: `${from.id} ${client}` },
    ],
  }
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
