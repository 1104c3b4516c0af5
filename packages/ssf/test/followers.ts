import { SignJWT } from 'jose'
import { afterEach } from 'vitest'
import { es256, type Loop, startGuard } from './loop.ts'

export const running: { close(): Promise<void> }[] = []
/** Ends those of each test after it. */
export function endFollowers(): void {
  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.close()))
  })
}

export function guardOf(loop: Loop, options: Parameters<typeof startGuard>[1] = {}) {
  const guard = startGuard(loop, options)
  running.push(guard.follower)
  return guard
}

export const isPoll = (path: string) => path.includes('/poll/')
export const jwtOf = (payload: Record<string, unknown>, typ = 'secevent+jwt') =>
  new SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ, kid: 'es-1' }).sign(es256.private)

/** Replaces the answers of one endpoint while `when` holds. */
export function answering(
  match: (path: string) => boolean,
  change: (body: Record<string, unknown>) => unknown,
  when: () => boolean = () => true,
): NonNullable<Loop['alter']> {
  return async ({ path }, response) => {
    if (!match(path) || response.status !== 200 || !when()) return response
    return Response.json(await change((await response.json()) as Record<string, unknown>))
  }
}
