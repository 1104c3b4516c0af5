import { describe, expect, it } from 'vitest'
import { hasChromium } from './chromium.ts'
import { axe } from './console.ts'
import { admin, administer, loop } from './console-admin.ts'
import { createFlow } from './flow.ts'
import { eventually, PASSWORD, SCOPE, SECRET } from './loop.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['admin', 'alice', 'bob'].map((name) => ({
    ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD },
    ...(name === 'admin' ? { roles: ['admin'] } : {}),
  })),
  applications: [
    { appId: 'files-api', displayName: 'Files', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
  ],
})

describe.skipIf(!hasChromium())('the overview', () => {
  let ahead = 0
  administer({ tenant: TENANT, now: () => Date.now() + ahead * 1000 })
  const hop = (name: string) => admin.page.getByRole('listitem').filter({ has: admin.page.getByRole('heading', { level: 3, name, exact: true }) })
  const says = async (name: string, ...texts: string[]) => {
    for (const text of texts) await hop(name).getByText(text).waitFor()
  }

  it('says what to do first where no API listens yet', async () => {
    const { page } = admin
    expect(await page.title()).toBe('Overview · CAEgis')
    await page.getByRole('heading', { name: 'No API listens yet' }).waitFor()
    for (const name of ['Change', 'Log', 'Streams', 'Guards', '401', 'New sign-in']) await says(name, 'Idle')
    expect(await page.getByRole('link', { name: 'Applications' }).last().getAttribute('href')).toBe('/console/contoso/applications')
    expect(await axe(page)).toEqual([])
  })

  it('shows a revocation go round, hop by hop, without being loaded again, and leads to its proof', async () => {
    const { page } = admin
    await page.evaluate(() => Object.assign(globalThis, { sameDocument: true }))
    const guard = await loop.guard()
    const { accessToken } = await createFlow(loop).tokens()
    const txn = (await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).headers.get('caegis-txn') as string
    await eventually(
      async () => (await guard.check({ headers: { authorization: `Bearer ${accessToken}` } })).allowed,
      (allowed) => !allowed,
      'the refusal',
    )
    for (const name of ['Change', 'Log', 'Streams', 'Guards', '401']) await says(name, 'Working')
    for (const name of ['Log', 'Streams', 'Guards', '401']) await says(name, 'Half within', '95% within')
    await says('Guards', '1 of one guard live')
    await says('New sign-in', 'Not back yet')
    await createFlow(loop).tokens()
    await says('New sign-in', 'Half within')
    expect(
      await page
        .getByRole('link', { name: /^See it arrive/ })
        .first()
        .getAttribute('href'),
    ).toBe(`/console/contoso/revocations/${txn}`)
    await page.getByRole('heading', { name: 'No API listens yet' }).waitFor({ state: 'detached' })
    expect(await page.evaluate(() => (globalThis as { sameDocument?: boolean }).sameDocument)).toBe(true)
    await guard.close()
  })

  it('draws decisions over time, and says the same in a table and in words', async () => {
    const { page } = admin
    await loop.token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: 'wrong', scope: `${loop.origin}/.default` })
    const chart = page.getByRole('img', { name: /^In the last 24 hours: \d+ allowed, 0 blocked, \d+ challenged, 1 failed\.$/ })
    await chart.waitFor()
    await chart.locator('svg.recharts-surface').first().waitFor()
    await page.getByRole('radiogroup', { name: 'Time range' }).getByText('1 h').click()
    await page.getByRole('img', { name: /^In the last hour/ }).waitFor()
    await page.getByRole('radiogroup', { name: 'Show as' }).getByText('Table').click()
    await page.getByRole('table', { name: 'Sign-ins and denials' }).waitFor()
    expect(new URL(page.url()).search).toBe('?hours=1&view=table')
    expect(await axe(page)).toEqual([])
  })

  it('says in words which receiver is stale, and where its stream is', async () => {
    const { page } = admin
    let deaf = false
    const guard = await loop.guard({ fetch: (input, init) => (deaf ? Promise.reject(new TypeError('no network')) : fetch(input, init)) })
    await says('Guards', '1 of one guard live')
    deaf = true
    ahead += 60
    await loop.graph('POST', '/users/bob@contoso.test/revokeSignInSessions')
    const alert = page.getByRole('alert').filter({ hasText: 'A receiver may not hear of a revocation' })
    await alert.waitFor()
    await says('Guards', 'Stale', '0 of one guard live')
    const { id } = await loop.server.store.db.selectFrom('streams').select('id').executeTakeFirstOrThrow()
    expect(await alert.getByRole('link', { name: 'Files' }).getAttribute('href')).toBe(`/console/contoso/streams/${id}`)
    expect(await axe(page)).toEqual([])
    await loop.server.store.db.updateTable('tenants').set({ stopped_at: 1 }).execute()
    await page.getByRole('alert').filter({ hasText: 'This tenant is stopped' }).waitFor()
    expect(await axe(page)).toEqual([])
    await guard.close()
  })
})
