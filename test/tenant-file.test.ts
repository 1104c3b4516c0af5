import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { claimsOf, eventually, type Loop, startLoop } from './loop.ts'
import { freePorts, temporaryFolder } from './process.ts'
import { blockOf, runShown, type Shown, STARTED, startShown } from './shown.ts'

const PAGE = 'docs/tenant-file.md'
const EXAMPLE = readFileSync(fileURLToPath(new URL('../examples/tenant.yaml', import.meta.url)), 'utf8')
/** Another one than that of the file. */
const PASSWORD = 'what the administrator chose'

describe('docs/tenant-file.md', () => {
  const folder = temporaryFolder()
  const shown: Shown[] = []
  let loop: Loop | undefined
  afterEach(async () => {
    for (const one of shown.splice(0)) one.kill()
    await loop?.close()
    loop = undefined
    folder.remove()
  })

  it('leads in five steps from nothing to an API that answers', async () => {
    const [port, api] = [await freePorts(2), await freePorts(1)]
    const data = `${folder.path}/data`
    const here = { '$PWD/data': data, './data': data, '8443': String(port), '3000': String(api) }
    const block = (text: string) => blockOf(PAGE, text, here)
    // The origin and the config folder are not those that everybody has.
    const env = {
      CAEGIS_ORIGIN: `https://localhost:${port}`,
      XDG_CONFIG_HOME: folder.path,
      CAEGIS_DATA: data,
      NODE_EXTRA_CA_CERTS: `${data}/tls/ca.pem`,
      PORT: String(api),
    }
    const start = (commands: string) => {
      const one = startShown(commands, { env })
      shown.push(one)
      return one
    }

    start(block('caegis serve'))
    const answers = () => runShown(`curl -s --cacert ${data}/tls/ca.pem https://localhost:${port}/readyz`).catch(() => '')
    await eventually(answers, (text) => text.includes('ready'), 'the server', STARTED)
    const made = await runShown(`${block('tenant create').trimEnd()} --json`, { env })
    const { username, password } = JSON.parse(made) as { username: string; password: string }

    trustLocalCa(data)
    const [login, apply] = block('caegis login').trim().split('\n') as [string, string]
    const signingIn = start(login)
    const asked = await eventually(signingIn.output, (text) => /code [A-Z-]+/.test(text), 'the code', STARTED)
    const [, page, code] = /(https:\S+) .*code ([A-Z]+-[A-Z]+)/.exec(asked) as unknown as [string, string, string]
    const browser = createBrowser()
    const entered = await browser.open(page)
    const confirm = await browser.open(entered.url.href, { user_code: code })
    const signIn = await browser.open(confirm.url.href, { confirm: 'yes', user_code: code })
    const choose = await browser.open(signIn.url.href, { username, password })
    expect((await browser.open(choose.url.href, { new: PASSWORD, again: PASSWORD })).text).toContain('You are signed in')
    expect(await signingIn.exited, signingIn.output()).toBe(0)

    const plan = await runShown(`${apply} --yes`, { env })
    expect(plan).toContain('+ application files-api')
    expect(await runShown(`${apply} --yes`, { env })).toContain('Nothing to change.')

    start(block('npm start'))
    const request = block('TOKEN=$(')
    const answer = await eventually(
      () => runShown(request).catch(() => ''),
      (text) => text.includes('200 OK'),
      'the API',
      STARTED,
    )
    expect(JSON.parse(answer.split('\r\n\r\n')[1] as string)).toMatchObject({ files: [] })
    const token = await runShown(request.replace(/^curl -si .*$/m, 'echo "$TOKEN"'))
    expect(claimsOf(token)).toMatchObject({ aud: 'api://files', roles: ['Files.Read'] })
  })

  it('says what an entry that leaves something out means: of an application the default, of a user what there is', async () => {
    loop = await startLoop({ tenant: EXAMPLE })
    const { server } = loop
    const { db } = server.store
    const application = () => db.selectFrom('applications').selectAll().where('app_id', '=', 'files-nightly').executeTakeFirstOrThrow()
    const user = (upn: string) => db.selectFrom('users').selectAll().where('upn', '=', upn).executeTakeFirstOrThrow()
    const held = () => db.selectFrom('assignments').select('app_id').where('app_id', '=', 'files-api').execute()
    const [bob, alice] = [await user('bob@acme.test'), await user('alice@acme.test')]
    const roles = await held()
    expect(bob).toMatchObject({ enabled: 0, roles: '["admin"]' })
    expect(roles.length).toBe(2)

    await server.apply(`
tenant: { name: acme }
users: [{ userPrincipalName: bob@acme.test }, { userPrincipalName: alice@acme.test, password: not-the-one-before }]
applications:
  - { appId: files-nightly, type: daemon, clientSecret: the-secret-of-files-nightly }
  - { appId: files-api, identifierUris: [api://files], clientSecret: the-secret-of-files-api }
`)
    expect(await user('bob@acme.test')).toEqual(bob)
    expect(await user('alice@acme.test')).toEqual(alice)
    expect(await application()).toMatchObject({ permissions: '[]', display_name: 'files-nightly', enabled: 1 })
    expect(await held()).toEqual(roles)
    expect(await db.selectFrom('applications').select('app_id').where('app_id', '=', 'files-web').execute()).toHaveLength(1)
    expect(await db.selectFrom('policies').select('name').execute()).toHaveLength(1)

    await server.apply(
      'tenant: { name: acme }\nusers: [{ userPrincipalName: alice@acme.test, groups: [] }]\napplications: [{ appId: files-api, appRoles: [] }]',
    )
    expect(await db.selectFrom('members').select('user_id').where('user_id', '=', alice.id).execute()).toEqual([])
    expect(await held()).toEqual([])
  })
})
