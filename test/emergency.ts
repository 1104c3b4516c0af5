import { createLog, recover } from '@caegis/server'
import { expect } from 'vitest'
import { createPerson, type Person } from '../packages/cli/src/demo/person.ts'
import { type Callers, type Loop, SECRET } from './loop.ts'

/** What the token endpoint answers while the tenant is stopped. */
export const STOPPED = { status: 400, body: { error: 'access_denied', error_codes: [5000224] } }
export const log = createLog('silent')

/** The admin API as somebody who has signed in with everything that an administrator may. */
export async function asPerson(loop: Pick<Callers, 'origin'>, person: Person) {
  const token = await person.signIn()
  return {
    token,
    async call(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
      const response = await fetch(`${loop.origin}/v1.0${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      return { status: response.status, headers: response.headers, body: (await response.json().catch(() => undefined)) as any }
    },
  }
}

export const administrator = (loop: Loop) => asPerson(loop, loop.person('admin', { scopes: [`${loop.origin}/.default`] }))

/** The emergency account, made on the host while the server runs. */
export async function emergency(loop: Loop): Promise<Person> {
  const { username, password } = await recover({ data: loop.data, database: loop.settings.database, tenant: 'contoso', log })
  return createPerson({ authority: loop.authority, clientId: 'caegis-cli', scopes: [`${loop.origin}/.default`], username, password })
}

export const ORGANIZATION = '/caegis/organization'
export const CONFIRMED = { confirmation: 'contoso' }

export async function stop(loop: Loop, headers?: Record<string, string>) {
  const answer = await (await administrator(loop)).call('POST', `${ORGANIZATION}/stop`, CONFIRMED, headers)
  expect(answer.status).toBe(200)
  return answer
}

export async function resume(loop: Loop) {
  const answer = await (await asPerson(loop, await emergency(loop))).call('POST', `${ORGANIZATION}/resume`)
  expect(answer).toMatchObject({ status: 200, body: { state: 'running', changed: true } })
}

export const tenantRow = (loop: Loop) =>
  loop.server.store.db.selectFrom('tenants').selectAll().where('id', '=', loop.tenant).executeTakeFirstOrThrow()
export const daemon = (loop: Loop, scope = 'api://files/.default') =>
  loop.token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope })
export const streams = (loop: Loop, token: string, path = '/streams') =>
  fetch(`${loop.authority}/ssf${path}`, { headers: { authorization: `Bearer ${token}` } })
