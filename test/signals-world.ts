import { afterEach } from 'vitest'
import { type Loop, type LoopOptions, startLoop } from './loop.ts'
import { openSse, SIGNALS_TENANT } from './signals-tenant.ts'

/** For tests that each begin with a server of their own: how its daemons ask the admin API, and the end of all that was opened, the latest first. */
export function signalsWorld() {
  let loop: Loop
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  /** The admin API, as one of the daemons. */
  const as = (clientId: string) => async (method: string, path: string, body?: object) => {
    const response = await fetch(path.startsWith('https:') ? path : `${loop.origin}/v1.0${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await loop.daemonToken(clientId, `${loop.origin}/.default`)}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any, text }
  }
  return {
    ends,
    as,
    steer: as('nightly'),
    look: as('auditor'),
    async begin(options: LoopOptions = {}): Promise<Loop> {
      const begun = await startLoop({ tenant: SIGNALS_TENANT, ...options })
      loop = begun
      // Whoever began another has ended this one.
      ends.push(() => begun === loop && begun.close())
      return begun
    },
    /** Ends what somebody has open; the change's way. */
    async revoke(name = 'alice'): Promise<string> {
      return (await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)).headers.get('caegis-txn') as string
    },
    async listen(path: string, options: { clientId?: string; token?: string; headers?: Record<string, string> } = {}) {
      const token = options.token ?? (await loop.daemonToken(options.clientId ?? 'auditor', `${loop.origin}/.default`))
      const sse = await openSse(`${loop.origin}/v1.0${path}`, token, options.headers)
      ends.push(() => sse.close())
      return sse
    },
  }
}
