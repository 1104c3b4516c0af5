/** Where the console lives: `/console/{tenant}/...`; `/console` alone is where the issuer sends people back to. */
export const HOME = '/console'
const NAME = /^[a-z0-9-]{2,40}$/
/** Under which the page remembers where somebody was going, over the way to the issuer and back. */
const GOING = 'caegis.console.going'
const LAST = 'caegis.console.tenant'

/** The tenant that an address names. */
export function tenantOf(path: string): string | undefined {
  const [, first, name] = path.split('/')
  return `/${first}` === HOME && name !== undefined && NAME.test(name.toLowerCase()) ? name.toLowerCase() : undefined
}

export function isTenantName(text: string): boolean {
  return NAME.test(text)
}

/** The base that every route of a tenant stands under. */
export function baseOf(tenant: string): string {
  return `${HOME}/${tenant}`
}

export function rememberGoing(path: string): void {
  sessionStorage.setItem(GOING, path)
}

/** Where somebody was going before the issuer was asked; once. Only ever a path of the console. */
export function takeGoing(): string | undefined {
  const path = sessionStorage.getItem(GOING)
  sessionStorage.removeItem(GOING)
  return path !== null && tenantOf(path) !== undefined ? path : undefined
}

export function rememberTenant(tenant: string): void {
  localStorage.setItem(LAST, tenant)
}

/** The tenant that was looked at last in this browser: a name, nothing secret. */
export function lastTenant(): string | undefined {
  const name = localStorage.getItem(LAST)
  return name !== null && NAME.test(name) ? name : undefined
}
