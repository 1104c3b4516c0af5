import { sql } from 'kysely'
import { createFlow } from '../test/flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from '../test/loop.ts'
import { type Figure, quantile } from './figure.ts'

const USERS = 100_000
const GROUPS = 1_000
/** Users of each group. */
const MEMBERS = 100
const TENANT = {
  tenant: { name: 'contoso' },
  users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
  ],
}

/** The admin API and the sign-in over TLS, with a directory of one user and with a large one. */
export async function people(emit: (figure: Figure) => void): Promise<void> {
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) =>
    emit({ suite: 'directory', name, value: Number(value.toPrecision(4)), unit, ...rest })
  const loop = await startLoop({ tenant: JSON.stringify(TENANT) })
  try {
    const alone = await signIns(loop)
    const start = performance.now()
    await fill(loop)
    say(
      `${USERS.toLocaleString('en')} users and ${GROUPS.toLocaleString('en')} groups written, with their positions`,
      (performance.now() - start) / 1000,
      's',
    )
    // The connections of before are gone by now.
    await fetch(`${loop.origin}/healthz`).catch(() => undefined)
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const get = async (path: string): Promise<{ value: object[]; [link: string]: unknown }> => {
      const response = await fetch(path.startsWith('https:') ? path : `${loop.origin}/v1.0${path}`, {
        headers: { authorization: `Bearer ${token}`, consistencylevel: 'eventual' },
      })
      if (!response.ok) throw new Error(`${path}: ${response.status}`)
      return (await response.json()) as { value: object[] }
    }
    const next = async (path: string, pages: number) => {
      for (let page = 0; page < pages; page++) path = String((await get(path))['@odata.nextLink'])
      return path
    }
    const filter = (text: string) => `/users?$filter=${encodeURIComponent(text)}`
    const group = String(((await get('/groups?$top=1')).value[0] as { id: string }).id)
    const delta = String((await get('/users/delta?$deltatoken=latest'))['@odata.deltaLink'])
    for (const [name, path] of [
      ['a page of 100', '/users'],
      ['a page of 100, the 60th', await next('/users', 60)],
      ['a page of 100 by name, the 60th', await next('/users?$orderby=displayName', 60)],
      ['one by name (eq)', filter("displayName eq 'Person 77777'")],
      ['100 by the beginning of a name', filter("startsWith(displayName,'Person 7')")],
      ['100 by the end of a name', filter("endsWith(userPrincipalName,'77@contoso.test')")],
      ['100 of the disabled, by creation', `${filter('accountEnabled eq false')}&$orderby=createdDateTime desc`],
      ['search for a word', `/users?$search=${encodeURIComponent('"displayName:77777"')}`],
      ['how many there are', '/users?$top=1&$count=true'],
      ['100 members of a group', `/groups/${group}/members`],
      ['a page of 100 of a delta', '/users/delta?$top=100'],
      ['a delta in which nothing changed', delta],
    ] as const) {
      const times: number[] = []
      for (let index = 0; index < 30; index++) {
        const begin = performance.now()
        await get(path)
        times.push(performance.now() - begin)
      }
      say(`${name}, p95`, quantile(times, 0.95), 'ms')
    }
    const many = await signIns(loop)
    say('sign-in beside 100,000 users, p95', many, 'ms', { peer: 'with one user', ratio: Number((many / alone).toPrecision(3)) })
  } finally {
    await loop.close()
  }
}

async function signIns(loop: Loop): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < 40; index++) {
    const begin = performance.now()
    await createFlow(loop).tokens()
    times.push(performance.now() - begin)
  }
  return quantile(times, 0.95)
}

async function fill({ server, tenant }: Loop): Promise<void> {
  const { store } = server
  await store.transaction({ tenant }, async (db) => {
    await sql`with recursive n(i) as (select 0 union all select i + 1 from n where i < ${USERS - 1})
      insert into users (tenant, id, upn, upn_key, display_name, enabled, roles, created_at)
      select ${tenant}, lower(hex(randomblob(16))), 'p' || i || '@contoso.test', 'p' || i || '@contoso.test', 'Person ' || i, i % 10 > 0, '[]', 1700000000 + i from n`.execute(
      db,
    )
    await sql`with recursive n(i) as (select 0 union all select i + 1 from n where i < ${GROUPS - 1})
      insert into groups (tenant, id, display_name, created_at) select ${tenant}, lower(hex(randomblob(16))), 'Group ' || i, 1700000000 from n`.execute(
      db,
    )
    await sql`insert into members (tenant, group_id, user_id)
      select ${tenant}, g.id, u.id from users u
      join groups g on g.tenant = u.tenant and g.display_name = 'Group ' || ((u.created_at - 1700000000) / ${MEMBERS})
      where u.tenant = ${tenant} and u.upn_key like 'p%'`.execute(db)
  })
}
