import type { FastifyRequest } from 'fastify'
import type { Tenant } from '../issuer/tenant.ts'
import { addressGuesser, type Guesser } from '../issuer/throttle.ts'
import type { Secrets } from '../store/secrets.ts'
import { knows, readBrowser } from './known-browser.ts'

/**
 * Who pays for a wrong guess. Strangers share the budget of the account; a browser that knows it has its own, so that strangers cannot lock its holder out.
 * @param what a code has a budget apart from that of the password: who fills one does not fill the other
 */
export function guessersOf(
  tenant: Tenant,
  secrets: Secrets,
  { request, username, address }: { request: FastifyRequest; username: string; address: string },
  what: 'password' | 'code' = 'password',
): Guesser[] {
  const account = username.toLowerCase()
  const browser = readBrowser(tenant, secrets, request)
  const prefix = what === 'code' ? 'code ' : ''
  const first: Guesser = knows(browser, account)
    ? { kind: 'browser', id: `${prefix}${browser.id} ${account}` }
    : { kind: 'account', id: `${prefix}${account}` }
  return [first, ...addressGuesser(address)]
}

export const tooMany = (wait: number) => `Too many tries. Wait ${inWords(wait)}, then try again.`

function inWords(seconds: number): string {
  if (seconds < 60) return seconds === 1 ? 'a second' : `${seconds} seconds`
  const minutes = Math.ceil(seconds / 60)
  return minutes === 1 ? 'a minute' : `${minutes} minutes`
}
