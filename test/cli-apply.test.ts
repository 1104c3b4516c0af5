import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'

const daemon = (appId: string, ...permissions: string[]) => ({ appId, type: 'daemon', clientSecret: SECRET, permissions })
const person = (name: string, more: object = {}) => ({ userPrincipalName: `${name}@contoso.test`, displayName: name, ...more })
const START = {
  tenant: { name: 'contoso' },
  groups: [{ displayName: 'staff' }],
  users: [person('admin', { password: PASSWORD, roles: ['admin'] }), person('alice', { password: PASSWORD, groups: ['staff'] }), person('bob')],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    daemon('everything', 'graph/.default'),
    daemon('people', 'graph/User.ReadWrite.All'),
    daemon('apps', 'graph/Application.ReadWrite.All', 'graph/AppRoleAssignment.ReadWrite.All'),
    { appId: 'gone', clientSecret: SECRET },
  ],
}
const OTHER_SECRET = 'another-secret-that-is-long-enough'
const NEXT_PASSWORD = 'a password that nobody may see'
/** What the tests make of it, step by step as a plan tells it. */
const NEXT = {
  tenant: { name: 'contoso' },
  groups: [{ displayName: 'staff' }, { displayName: 'finance' }],
  users: [
    person('alice', { displayName: 'Alice A.', groups: ['finance'] }),
    person('carol', { password: NEXT_PASSWORD, groups: ['staff', 'finance'] }),
    person('bob', { enabled: false }),
  ],
  applications: [
    { ...START.applications[0], scopes: ['Files.Read', 'Files.Write'], clientSecret: OTHER_SECRET },
    { appId: 'gone', clientSecret: SECRET },
  ],
  namedLocations: [{ '@odata.type': '#microsoft.graph.ipNamedLocation', displayName: 'office', isTrusted: true, ipRanges: ['198.51.100.0/24'] }],
  conditionalAccessPolicies: [
    {
      displayName: 'finance at the office',
      state: 'enabled',
      conditions: {
        users: { includeGroups: ['finance'] },
        applications: { includeApplications: ['files-api'] },
        locations: { includeLocations: ['All'], excludeLocations: ['office'] },
      },
      grantControls: { operator: 'OR', builtInControls: ['block'] },
    },
  ],
}
const PLAN = `+ group finance
    displayName  "finance"
~ application files-api
    scopes       [Files.Read] -> [Files.Read, Files.Write]
    credentials  (secret)
~ user alice@contoso.test
    displayName  "alice" -> "Alice A."
+ user carol@contoso.test
    displayName  "carol"
    password     (secret)
~ user bob@contoso.test
    enabled  true -> false
~ membership alice@contoso.test
    groups  [staff] -> [finance]
~ membership carol@contoso.test
    groups  [] -> [finance, staff]
`

interface Plan {
  count: number
  digest: string
  same: number
  left: object[]
  wouldBlockAuthor: string[]
  steps: { kind: string; operation: string; name: string; changes: object[] }[]
}

let loop: Loop
const folder = temporaryFolder()
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(START) })
  await call('DELETE', '/applications/gone')
})
afterAll(async () => {
  await killPrograms()
  await loop.close()
  folder.remove()
})

const file = (name: string, content: unknown) => {
  const path = join(folder.path, name)
  writeFileSync(path, typeof content === 'string' ? content : stringify(content))
  return path
}
const env = (clientId = 'everything') => ({
  ...{ CAEGIS_DATA: loop.data, CAEGIS_ORIGIN: loop.origin, CAEGIS_TENANT: 'contoso', XDG_CONFIG_HOME: folder.path },
  ...{ CAEGIS_CLIENT_ID: clientId, CAEGIS_CLIENT_SECRET: SECRET },
})
const apply = (path: string, ...args: string[]) => runProgram(['apply', '-f', path, ...args], { env: env() })
async function call(method: string, path: string, body?: object, { as = 'everything', token }: { as?: string; token?: string } = {}) {
  const response = await fetch(`${loop.origin}/v1.0${path}`, {
    method,
    headers: { authorization: `Bearer ${token ?? (await loop.daemonToken(as, `${loop.origin}/.default`))}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text), text }
}
const plan = async (content: object, who: { as?: string; token?: string } = {}) => {
  const { status, body, text } = await call('POST', '/caegis/tenantFile/plan', { file: content }, who)
  expect(status, text).toBe(200)
  return body as Plan
}

describe('caegis apply', () => {
  it('says what a file says in vain: permissions that nobody offers, roles that nobody gets', async () => {
    const warned = {
      tenant: { name: 'contoso' },
      applications: [
        { appId: 'notes-api', identifierUris: ['api://notes'], scopes: ['Notes.Read'], appRoles: [{ value: 'Auditor' }] },
        {
          ...{ appId: 'notes-job', type: 'daemon', clientSecret: SECRET },
          permissions: ['api://notes/Notes.Read', 'api://notes/.default', 'api://notes/Notes.Nope', 'api://ghost/Notes.Read', 'graph/User.Raed.All'],
        },
      ],
    }
    const { stdout } = await apply(file('vain.yaml', warned))
    expect(stdout.split('\n').filter((one) => one.startsWith('!'))).toEqual([
      '! application notes-api: Nobody gets its role Auditor: name the users and groups that hold it.',
      '! application notes-job: Its permission api://notes/Notes.Nope is no scope of that API.',
      '! application notes-job: Its permission api://ghost/Notes.Read is of no API that the file or the directory has.',
      '! application notes-job: Its permission graph/User.Raed.All is none of the admin API.',
    ])
    const { warnings } = JSON.parse((await apply(file('vain.yaml', warned), '--json')).stdout)
    expect(warnings).toHaveLength(4)
  })

  it('shows what would change, and does nothing where nobody is there to agree', async () => {
    const path = file('next.yaml', NEXT)
    const before = await loop.server.store.position(loop.tenant)
    const shown = await apply(path)
    expect(shown).toMatchObject({ code: 8, stderr: 'Nobody is there to ask. To go on, add: --yes (not_confirmed)\n' })
    expect(shown.stdout.startsWith(PLAN), shown.stdout).toBe(true)
    expect(shown.stdout).toContain('+ named location office\n')
    expect(shown.stdout).toMatch(/ conditions\.users\.includeGroups +\[finance\]\n/)
    expect(shown.stdout).toMatch(/ conditions\.locations\.excludeLocations +\[office\]\n/)
    expect(shown.stdout).toContain('! application gone is left alone. It was deleted here')
    expect(shown.stdout).toContain('\n4 to add, 5 to change; 1 is as the file says.\n')
    for (const secret of [SECRET, OTHER_SECRET, NEXT_PASSWORD, PASSWORD]) expect(shown.stdout + shown.stderr).not.toContain(secret)
    const json = await apply(path, '--json')
    expect(json.code).toBe(8)
    expect(JSON.parse(json.stdout)).toMatchObject({ tenant: 'contoso', count: 9, same: 1, applied: 0, txns: [] })
    for (const secret of [SECRET, OTHER_SECRET, NEXT_PASSWORD]) expect(json.stdout).not.toContain(secret)
    expect(await loop.server.store.position(loop.tenant)).toMatchObject({ seq: before.seq })
  })

  it('does what it showed, as whoever asked for it, and finds nothing to change the next time', async () => {
    const path = file('next.yaml', NEXT)
    const done = await apply(path, '--yes')
    expect(done).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/\nDone: 9 steps\.\n$/) })
    const again = await apply(path)
    expect(again).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/\nNothing to change\. \(10 are as the file says\)\n$/) })
    const start = await plan(NEXT)
    expect(start).toMatchObject({ count: 0, steps: [] })
    // The same walk as at the start of a server: neither sees anything that the other has left.
    const { seq } = await loop.server.store.position(loop.tenant)
    const audits = async () =>
      (await call('GET', '/auditLogs/directoryAudits?$top=999')).body.value as { initiatedBy: { app: { displayName: string } | null } }[]
    const before = (await audits()).length
    await loop.server.apply(JSON.stringify(NEXT))
    expect((await loop.server.store.position(loop.tenant)).seq).toBe(seq)
    expect(await audits()).toHaveLength(before)
    const records = (await audits()) as unknown as {
      activityDisplayName: string
      initiatedBy: { app: { displayName: string } | null }
      targetResources: { displayName: string }[]
    }[]
    const by = (activity: string, name: string) =>
      records.find(
        (one) =>
          one.activityDisplayName === activity && one.targetResources.some(({ displayName }) => displayName === name) && one.initiatedBy.app !== null,
      )
    for (const [activity, name] of [
      ['Add user', 'carol@contoso.test'],
      ['Disable account', 'bob@contoso.test'],
      ['Add group', 'finance'],
      ['Update application', 'files-api'],
      ['Add conditional access policy', 'finance at the office'],
    ] as const)
      expect(by(activity, name)?.initiatedBy.app?.displayName, activity).toBe('everything')
    expect(
      (await call('GET', '/users/carol@contoso.test/memberOf')).body.value.map((one: { displayName: string }) => one.displayName).sort(),
    ).toEqual(['finance', 'staff'])
    const { body } = await call('GET', '/identity/conditionalAccess/policies')
    const { id: group } = (await call('GET', "/groups?$filter=displayName eq 'finance'")).body.value[0]
    const { id: location } = (await call('GET', '/identity/conditionalAccess/namedLocations')).body.value[0]
    expect(body.value[0].conditions).toMatchObject({ users: { includeGroups: [group] }, locations: { excludeLocations: [location] } })
  })

  it('shows one property as it was and as it will be, of policies and locations too', async () => {
    const [policy] = NEXT.conditionalAccessPolicies
    const changed = await plan({
      tenant: NEXT.tenant,
      groups: NEXT.groups,
      namedLocations: [{ ...NEXT.namedLocations[0], ipRanges: ['198.51.100.0/24', '203.0.113.7'] }],
      conditionalAccessPolicies: [{ ...policy, conditions: { ...policy?.conditions, users: { includeGroups: ['staff'] } } }],
    })
    expect(changed.steps.map(({ name, changes }) => ({ name, changes }))).toEqual([
      { name: 'office', changes: [{ property: 'ipRanges', old: [], new: ['203.0.113.7'] }] },
      { name: 'finance at the office', changes: [{ property: 'conditions.users.includeGroups', old: ['finance'], new: ['staff'] }] },
    ])
  })

  it('names the line of every mistake, whoever found it', async () => {
    const lines = (content: string) => apply(file('wrong.yaml', content))
    const unknown = await lines(
      'tenant:\n  name: contoso\nusers:\n  - userPrincipalName: x@contoso.test\n    colour: red\n  - userPrincipalName: nobody\n',
    )
    expect(unknown).toMatchObject({ code: 2, stdout: '' })
    expect(unknown.stderr).toContain('wrong.yaml line 5: users.0.colour: unknown key\n')
    expect(unknown.stderr).toContain('wrong.yaml line 6: users.1.userPrincipalName: must look like alice@contoso.test')
    const missing = await lines(
      'tenant: { name: contoso }\nusers:\n  - userPrincipalName: x@contoso.test\n    groups:\n      - staff\n      - nobody\ngroups: [{ displayName: staff }]\n',
    )
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('line 6: users.0.groups.1: no group of that name in the file') })
    const policy = await lines('tenant: { name: contoso }\nconditionalAccessPolicies:\n  - displayName: x\n    state: on\n')
    expect(policy).toMatchObject({ code: 2, stderr: expect.stringContaining('line 4: conditionalAccessPolicies.0.state') })
    for (const empty of ['', '# nothing\n', '---\n'])
      expect(await lines(empty)).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/cannot be applied:\n {2}\S+wrong\.yaml line 1: the file is empty \(/),
      })
    expect(await lines('- contoso\n')).toMatchObject({ code: 2, stderr: expect.stringContaining('this is no tenant file') })
    const other = await lines('users: []\ntenant:\n  name: fabrikam\n')
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/line 3: tenant\.name: .*you are signed in to "contoso".*caegis login --tenant fabrikam/),
    })
    expect(await lines('tenant: [\n')).toMatchObject({ code: 2, stderr: expect.stringContaining('wrong.yaml line 2: ') })
    expect(await apply(join(folder.path, 'absent.yaml'))).toMatchObject({ code: 2, stdout: '' })
  })

  it('asks at a terminal, with colours and a bar, and takes no for an answer', async () => {
    const program = fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))
    const path = file('dave.yaml', { tenant: { name: 'contoso' }, users: [person('dave'), person('erin')] })
    const typed = (answer: string, more: Record<string, string> = {}) =>
      new Promise<{ text: string; code: number | null }>((resolve) => {
        const child = spawn('script', ['-qec', `"${process.execPath}" "${program}" apply -f "${path}"`, '/dev/null'], {
          env: { PATH: process.env.PATH ?? '', TERM: 'xterm', ...env(), ...more },
        })
        let text = ''
        child.stdout.on('data', (bytes) => {
          text += bytes
          if (text.includes('[y/N]')) child.stdin.end(`${answer}\n`)
        })
        child.once('close', (code) => resolve({ text, code }))
      })
    const no = await typed('n', { NO_COLOR: '1' })
    expect(no).toMatchObject({ code: 8, text: expect.stringContaining('Nothing was done.') })
    expect(no.text).not.toContain('\u001b[32m')
    expect((await call('GET', '/users/dave@contoso.test')).status).toBe(404)
    const yes = await typed('y')
    expect(yes).toMatchObject({ code: 0, text: expect.stringContaining('Done: 2 steps.') })
    expect(yes.text).toContain('\u001b[32m+\u001b[39m user dave@contoso.test')
    expect(yes.text).toMatch(/Applying █+ 2 of 2/)
    expect((await call('GET', '/users/dave@contoso.test')).status).toBe(200)
  })
})

describe('a tenant file over the admin API', () => {
  it('I: is what was shown, or nothing: a plan that is old is refused', async () => {
    const wanted = { tenant: START.tenant, users: [person('alice', { displayName: 'Alice B.' })] }
    const { digest } = await plan(wanted)
    expect((await call('PATCH', '/users/alice@contoso.test', { displayName: 'Somebody else' })).status).toBe(204)
    expect(await call('POST', '/caegis/tenantFile/apply', { file: wanted, digest })).toMatchObject({
      status: 412,
      body: { error: { code: 'PreconditionFailed' } },
    })
    const other = { ...wanted, users: [person('alice', { displayName: 'Another' })] }
    expect((await call('POST', '/caegis/tenantFile/apply', { file: other, digest: (await plan(wanted)).digest })).status).toBe(412)
    expect((await call('GET', '/users/alice@contoso.test')).body.displayName).toBe('Somebody else')
    expect(await call('POST', '/caegis/tenantFile/apply', { file: wanted, digest: (await plan(wanted)).digest })).toMatchObject({
      status: 200,
      body: { done: 1, left: 0, digest: null },
    })
  })

  it('I: and inside each change once more: what changed between the look and the deed is not overwritten', async () => {
    const wanted = { tenant: START.tenant, users: [person('alice', { displayName: 'Alice C.' })] }
    const { digest } = await plan(wanted)
    const { store } = loop.server
    const real = store.commit
    store.commit = (async (change: Parameters<typeof real>[0]) => {
      store.commit = real
      await call('PATCH', '/users/alice@contoso.test', { displayName: 'In between' })
      return real(change)
    }) as typeof real
    expect((await call('POST', '/caegis/tenantFile/apply', { file: wanted, digest })).status).toBe(412)
    expect((await call('GET', '/users/alice@contoso.test')).body.displayName).toBe('In between')
  })

  it('C3: needs the permission of every part, for one tenant, and never reaches further than the caller does', async () => {
    const tries: [string, object, number, RegExp][] = [
      ['people', { users: [person('frank')] }, 200, /"count":1/],
      ['people', { users: [person('frank')], groups: [{ displayName: 'x' }] }, 403, /Insufficient/],
      ['people', { users: [person('frank', { roles: ['admin'] })] }, 403, /Insufficient/],
      ['people', { conditionalAccessPolicies: NEXT.conditionalAccessPolicies }, 403, /Insufficient/],
      ['people', { tenant: { name: 'fabrikam' }, users: [person('frank')] }, 400, /signed in to \\"contoso\\"/],
      ['apps', { applications: [{ appId: 'new-api' }] }, 200, /"count":1/],
      ['apps', { applications: [{ appId: 'new-api', appRoles: [{ value: 'R', users: ['alice@contoso.test'] }] }] }, 200, /"count":2/],
    ]
    for (const [as, part, status, text] of tries) {
      const answer = await call('POST', '/caegis/tenantFile/plan', { file: { tenant: START.tenant, ...part } }, { as })
      expect(answer.status, `${as} ${JSON.stringify(part)} ${answer.text}`).toBe(status)
      expect(answer.text).toMatch(text)
    }
    // Nor to the audience of the server's own APIs, by an application that is called as they are.
    for (const [property, name] of [
      ['identifierUris', loop.origin],
      ['identifierUris', `${loop.origin}/contoso/ssf`],
      ['permissions', `${loop.origin}/contoso/ssf/ssf.manage`],
    ] as const) {
      const named = { tenant: START.tenant, applications: [{ appId: 'impostor', clientSecret: SECRET, [property]: [name] }] }
      const answer = await call('POST', '/caegis/tenantFile/plan', { file: named }, { as: 'apps' })
      expect(answer, name).toMatchObject({ status: 400, body: { error: { details: [{ target: `/applications/0/${property}/0` }] } } })
    }
    // To rights in the admin API that it has not itself: by its own entry, by a new one, or by the secret of one that has them.
    for (const entry of [
      daemon('apps', 'graph/Application.ReadWrite.All', 'graph/AppRoleAssignment.ReadWrite.All', 'graph/User.ReadWrite.All'),
      daemon('minion', 'graph/.default'),
      { ...daemon('everything', 'graph/.default'), clientSecret: OTHER_SECRET },
      { appId: 'people', type: 'web', redirectUris: ['https://evil.example/'] },
    ]) {
      const content = { tenant: START.tenant, applications: [entry] }
      const { digest } = await plan(content, { as: 'apps' })
      const answer = await call('POST', '/caegis/tenantFile/apply', { file: content, digest }, { as: 'apps' })
      expect(answer, entry.appId).toMatchObject({ status: 403, body: { error: { code: 'Authorization_RequestDenied' } } })
    }
    expect((await call('GET', '/users/admin@contoso.test', undefined, { as: 'everything' })).status).toBe(200)
  })

  it('C3: lets nobody lock themselves out by a slip, nor take the last administrator away', async () => {
    const admin = await loop.person('admin', { scopes: [`${loop.origin}/.default`] }).signIn()
    const [policy] = NEXT.conditionalAccessPolicies
    const everybody = {
      ...policy,
      displayName: 'nobody at all',
      conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] } },
    }
    const mine = { tenant: START.tenant, conditionalAccessPolicies: [everybody] }
    const shown = await plan(mine, { token: admin })
    expect(shown.wouldBlockAuthor).toEqual(['nobody at all'])
    const refused = await call('POST', '/caegis/tenantFile/apply', { file: mine, digest: shown.digest }, { token: admin })
    expect(refused).toMatchObject({ status: 409, body: { error: { code: 'wouldBlockAuthor' } } })
    // By a group that the same file puts them into: it is looked at once more when they are in it, before any policy is saved.
    const grouped = {
      tenant: START.tenant,
      groups: [{ displayName: 'trapped' }],
      users: [{ userPrincipalName: 'admin@contoso.test', groups: ['trapped'] }],
      conditionalAccessPolicies: [
        { ...everybody, conditions: { users: { includeGroups: ['trapped'] }, applications: { includeApplications: ['All'] } } },
      ],
    }
    const first = await call(
      'POST',
      '/caegis/tenantFile/apply',
      { file: grouped, digest: (await plan(grouped, { token: admin })).digest },
      { token: admin },
    )
    expect(first).toMatchObject({ status: 200, body: { done: 2, left: 1, digest: expect.any(String) } })
    const second = await call('POST', '/caegis/tenantFile/apply', { file: grouped, digest: first.body.digest }, { token: admin })
    expect(second).toMatchObject({ status: 409, body: { error: { code: 'wouldBlockAuthor' } } })

    const last = { tenant: START.tenant, users: [{ userPrincipalName: 'admin@contoso.test', roles: [] }] }
    const { digest } = await plan(last)
    expect(await call('POST', '/caegis/tenantFile/apply', { file: last, digest })).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining('administrator') } },
    })
    // Whoever confirms gets what they asked for.
    const confirmed = await call(
      'POST',
      '/caegis/tenantFile/apply?confirm=true',
      { file: mine, digest: (await plan(mine, { token: admin })).digest },
      { token: admin },
    )
    expect(confirmed).toMatchObject({ status: 200, body: { done: 1, left: 0 } })
  })
})
