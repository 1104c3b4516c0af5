import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Tenant } from '../issuer/tenant.ts'
import type { Secrets } from '../store/secrets.ts'

/** A browser in which some accounts have signed in before. It proves nobody; it only has a budget of wrong guesses of its own, apart from strangers'. */
export interface KnownBrowser {
  id: string
  /** User names in lower case, latest first. They lie sealed, and are shown to who sits there and asks to choose one. */
  names: string[]
}

const YEAR = 365 * 24 * 3600
const MAX_ACCOUNTS = 5
const payload = z.strictObject({ id: z.string(), names: z.array(z.string()) })

const cookieName = (tenant: Tenant) => `__Host-caegis-${tenant.name}-browser`
const context = (tenant: Tenant) => `browser:${tenant.id}`

/** What the browser's sealed cookie says; whatever cannot be opened is no cookie. */
export function readBrowser(tenant: Tenant, secrets: Secrets, request: FastifyRequest): KnownBrowser | undefined {
  const prefix = `${cookieName(tenant)}=`
  const cookie = (request.headers.cookie ?? '').split(/;\s*/).find((pair) => pair.startsWith(prefix))
  if (cookie === undefined) return undefined
  try {
    return payload.parse(secrets.open(context(tenant), Buffer.from(cookie.slice(prefix.length), 'base64url')))
  } catch {
    return undefined
  }
}

/** A browser that has no cookie, or none that can be opened. */
export const newBrowser = (): KnownBrowser => ({ id: randomBytes(16).toString('base64url'), names: [] })

export function knows(browser: KnownBrowser | undefined, account: string): browser is KnownBrowser {
  return browser?.names.includes(account) === true
}

/** The cookie for a browser in which `account` has just signed in. */
export function rememberBrowser(tenant: Tenant, secrets: Secrets, browser: KnownBrowser, account: string): string {
  const next: KnownBrowser = {
    id: browser.id,
    names: [account, ...browser.names.filter((one) => one !== account)].slice(0, MAX_ACCOUNTS),
  }
  const value = Buffer.from(secrets.seal(context(tenant), next)).toString('base64url')
  return `${cookieName(tenant)}=${value}; Path=/; Max-Age=${YEAR}; HttpOnly; Secure; SameSite=Lax`
}
