import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'

const folder = temporaryFolder()
afterAll(async () => {
  await killPrograms()
  folder.remove()
})
const file = (name: string, text: string) => {
  const path = join(folder.path, name)
  writeFileSync(path, text)
  return path
}

const CASES = `
locations:
  - { id: office, displayName: Office, isTrusted: true, ipRanges: [198.51.100.0/24] }
policies:
  - id: only-the-office
    conditions: { users: { includeUsers: [All] }, applications: { includeApplications: [All] }, locations: { includeLocations: [All], excludeLocations: [office] } }
    grantControls: { operator: OR, builtInControls: [block] }
signals: { user: { id: alice, groups: [], roles: [] }, application: files-api }
cases:
  - { name: in the office, signals: { address: 198.51.100.7 }, want: { outcome: allow } }
  - { name: outside, signals: { address: 203.0.113.9 }, want: { outcome: OUTCOME } }
`

describe('policy test', () => {
  it('runs the cases of the package itself, which are of the same form', async () => {
    const vectors = new URL('../packages/policy/test/vectors/', import.meta.url).pathname
    const files = readdirSync(vectors).filter((name) => name.endsWith('.yaml'))
    const ended = await runProgram(['policy', 'test', ...files.map((name) => join(vectors, name))], {})
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[1-9]\d* passed, 0 failed\n$/) })
  })

  it('says what a case wanted and what it got, and ends with 1', async () => {
    const right = await runProgram(['policy', 'test', file('right.yaml', CASES.replace('OUTCOME', 'block'))], {})
    expect(right).toMatchObject({ code: 0, stdout: '2 passed, 0 failed\n' })
    const wrong = await runProgram(['policy', 'test', file('wrong.yaml', CASES.replace('OUTCOME', 'allow'))], {})
    expect(wrong.code).toBe(1)
    expect(wrong.stdout).toContain('wrong.yaml: outside\n    /outcome: wanted "allow", got "block"\n1 passed, 1 failed\n')
    const json = await runProgram(['policy', 'test', '--json', file('wrong.yaml', CASES.replace('OUTCOME', 'allow'))], {})
    expect(JSON.parse(json.stdout)).toMatchObject({
      passed: 1,
      failed: 1,
      files: [{ cases: [{ passed: true }, { passed: false, differences: [{ path: '/outcome' }] }] }],
    })
  })

  it('names the line of what cannot be run', async () => {
    const ended = await runProgram(['policy', 'test', file('bad.yaml', CASES.replace('OUTCOME', 'maybe').replace('builtInControls', 'controls'))], {})
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toMatch(/bad\.yaml line 7: \/policies\/0\/grantControls\/controls /)
    const broken = await runProgram(['policy', 'test', file('broken.yaml', 'cases: [')], {})
    expect(broken).toMatchObject({ code: 2, stderr: expect.stringMatching(/broken\.yaml line 1: /) })
  })
})

describe('policy what-if', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso', displayName: 'Contoso' },
        users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
        applications: [
          { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Policy.Read.All', 'graph/User.Read.All'] },
        ],
      }),
    })
  })
  afterAll(() => loop.close())
  const run = (...args: string[]) =>
    runProgram(['policy', 'what-if', ...args], {
      env: {
        CAEGIS_DATA: loop.data,
        CAEGIS_ORIGIN: loop.origin,
        CAEGIS_TENANT: 'contoso',
        CAEGIS_CLIENT_ID: 'nightly',
        CAEGIS_CLIENT_SECRET: SECRET,
      },
    })

  it('asks about somebody, about a draft, and about what a draft would have meant', async () => {
    const OUTSIDE = { locations: { includeLocations: ['All'], excludeLocations: ['office'] } }
    await setPolicies(
      loop,
      [policy('MFA outside', { conditions: OUTSIDE, ...grant('mfa') })],
      [{ id: 'office', trusted: true, ranges: ['198.51.100.0/24'] }],
    )
    const asked = ['--user', 'alice@contoso.test', '--app', 'files-api']
    const outside = await run(...asked, '--ip', '203.0.113.9')
    expect(outside).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^asks for mfa\n\nPOLICY +STATE +APPLIES +WHY\nMFA outside +on +yes +failure mfa\n$/),
    })
    expect((await run(...asked, '--ip', '198.51.100.7')).stdout).toMatch(/^allow\n\n.*\nMFA outside +on +no +location\n$/)

    await setPolicies(loop, [])
    await createFlow(loop).tokens()
    const draft = file(
      'draft.yaml',
      'conditions: { users: { includeUsers: [All] }, applications: { includeApplications: [files-api] } }\ngrantControls: { operator: OR, builtInControls: [block] }\n',
    )
    expect((await run(...asked, '--draft', draft)).stdout).toMatch(/^block\n\n.*\nDraft +on +yes +failure\n$/)
    expect((await run('--draft', draft, '--impact')).stdout).toMatch(/^would have changed 1 of the last \d+ sign-ins: 1 blocked, 0 asked for more\n$/)
    // The names of a tenant file, too; what names nobody would say that nothing happens.
    const named = 'conditions: { users: { includeUsers: [alice@contoso.test] }, applications: { includeApplications: [api://files] } }\n'
    const block = 'grantControls: { operator: OR, builtInControls: [block] }\n'
    expect((await run(...asked, '--draft', file('named.yaml', named + block))).stdout).toMatch(/^block\n/)
    const nobody = await run(...asked, '--draft', file('nobody.yaml', named.replace('alice', 'zoe') + block))
    expect(nobody).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('there is no such user') })
    expect(await run(...asked, '--draft', file('wrong-draft.yaml', 'colour: red\n'))).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('400'),
    })
  })

  it('never says that somebody is let in where nothing was asked: to no API, from no address, as nobody', async () => {
    await setPolicies(loop, [policy('Nobody at Files', { conditions: { applications: { includeApplications: ['files-api'] } }, ...grant('block') })])
    const alice = ['--user', 'alice@contoso.test']
    for (const app of ['files-api', 'api://files']) expect((await run(...alice, '--app', app)).stdout).toMatch(/^block\n/)
    for (const [args, words] of [
      [[...alice, '--app', 'nope'], 'There is no application "nope"'],
      [[...alice, '--app', 'files-api', '--ip', '300.1.1.1'], 'must be an IPv4 or IPv6 address'],
      [[...alice, '--app', 'files-api', '--context', 'c1'], "option '--context <c1>' cannot be used with option '--app <id or URI>'"],
      [[...alice, '--app', 'files-api', '--platform', 'beos'], 'Allowed choices are android'],
      [alice, 'say what for, with --app, --context or --action'],
      [['--app', 'files-api'], 'say who signs in, with --user or --service-principal'],
      [['--impact'], 'name its file with --draft'],
    ] as const) {
      const { code, stdout, stderr } = await run(...args)
      expect([args, code, stdout, stderr]).toEqual([args, 2, '', expect.stringContaining(words)])
    }
    await setPolicies(loop, [])
  })
})
