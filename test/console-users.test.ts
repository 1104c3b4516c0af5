import { describe, expect, it } from 'vitest'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { createFactors } from '../packages/server/src/directory/factors.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { hasChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { admin, administer, chromium, loop } from './console-admin.ts'
import { emergency } from './emergency.ts'
import { eventually, PASSWORD, SCOPE, SECRET, verdictOf } from './loop.ts'

const LONG = { timeout: 20_000 }
const CROWD = 105
const someone = (name: string, displayName: string, more: object = {}) => ({
  ...{ userPrincipalName: `${name}@contoso.test`, displayName, password: PASSWORD },
  ...more,
})
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  groups: [{ displayName: 'Staff' }, { displayName: 'Finance' }],
  users: [
    someone('admin', 'Ada Admin', { roles: ['admin'] }),
    someone('second', 'Sam Second', { roles: ['admin'] }),
    someone('third', 'Tom Third', { roles: ['admin'] }),
    someone('alice', 'Alice Novak', { groups: ['Staff'] }),
    someone('bob', 'Bob Martin'),
    ...Array.from({ length: CROWD }, (_, at) => ({
      ...{ userPrincipalName: `p${at}@contoso.test`, displayName: `Person ${String(at).padStart(3, '0')}`, enabled: at % 10 > 0 },
    })),
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', displayName: 'Files on the desktop', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
  ],
})

describe.skipIf(!hasChromium())('users in the console', () => {
  // What the server refuses is refused on purpose here.
  administer({ path: '/users', tenant: TENANT, refused: /status of (400|409)/ })

  const idOf = async (name: string) => ((await (await loop.graph('GET', `/users/${name}@contoso.test`)).json()) as { id: string }).id
  const dialog = (window = admin) => window.page.getByRole('dialog')
  const names = async () => (await admin.page.getByRole('table').getByRole('link').allTextContents()).map((text) => text.trim())
  /** Presses a button of the page, and the one that says yes. */
  const confirm = async (button: string, yes: string, typed?: string) => {
    await admin.page.getByRole('button', { name: button, exact: true }).click()
    if (typed !== undefined) await dialog().getByRole('textbox').fill(typed)
    await dialog().getByRole('button', { name: yes, exact: true }).click()
    await dialog().waitFor({ state: 'hidden' })
  }

  it('are listed page by page, each once, found by the beginnings of names, and filtered in the address', async () => {
    const { page, goto } = admin
    await expect.poll(async () => (await names()).length, LONG).toBe(50)
    await page.getByText(`${CROWD + 5} users`).waitFor()
    expect(await axe(page)).toEqual([])
    for (const length of [100, CROWD + 5]) {
      await page.getByRole('button', { name: 'Show more' }).click()
      await expect.poll(async () => (await names()).length, LONG).toBe(length)
    }
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0)
    expect(new Set(await names()).size).toBe(CROWD + 5)
    expect(await names()).toEqual([...(await names())].sort())

    await page.getByRole('searchbox').fill('al')
    await expect.poll(names, LONG).toEqual(['Alice Novak'])
    expect(page.url()).toContain('?q=al')
    // Not the beginning of a name, but of a word in it.
    await page.getByRole('searchbox').fill('nov')
    await page.getByRole('button', { name: 'Look at every word of the names' }).click()
    await expect.poll(names, LONG).toEqual(['Alice Novak'])
    await goto('/users?q=person&status=disabled')
    await expect.poll(async () => (await names()).length, LONG).toBe(Math.ceil(CROWD / 10))
    await page.getByRole('combobox', { name: 'Kind' }).click()
    await page.getByRole('option', { name: 'Guests' }).click()
    await page.getByText('Nobody is called that').waitFor()
    expect(page.url()).toContain('kind=guests')
    await page.getByRole('button', { name: 'Show everybody' }).click()
    await expect.poll(async () => (await names()).length, LONG).toBe(50)
  })

  it('are added with a password that is seen once', async () => {
    const { page, goto } = admin
    await goto('/users')
    await page.getByRole('button', { name: 'New user' }).click()
    await dialog().getByLabel(/^Name/).fill('Nina New')
    await dialog().getByLabel('Signs in as').fill('alice@contoso.test')
    await dialog().getByRole('button', { name: 'Create user' }).click()
    await dialog().getByText('There is a user of that name already.').waitFor()
    await dialog().getByLabel('Signs in as').fill('nina@contoso.test')
    await dialog().getByRole('button', { name: 'Create user' }).click()
    const password = await dialog().getByLabel('New password').inputValue()
    expect(await axe(page)).toEqual([])
    await dialog().getByRole('button', { name: 'Go to the user' }).click()
    await page.getByRole('heading', { level: 1, name: 'Nina New' }).waitFor()
    expect(await createDirectory(loop.server.store, loop.tenant, loop.issuer).isPassword(await idOf('nina'), password)).toBe(true)
    const row = loop.server.store.db.selectFrom('users').select('password_expired').where('upn_key', '=', 'nina@contoso.test')
    expect(await row.executeTakeFirst()).toEqual({ password_expired: 1 })
    expect(await page.content()).not.toContain(password)
  })

  it('lose everything by one button, which says what and leads to the proof; a guard refuses from then on', async () => {
    const { page, goto } = admin
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    await goto(`/users/${await idOf('alice')}`)
    expect(await axe(page)).toEqual([])
    const before = page.url()
    await page.getByRole('button', { name: 'Revoke access' }).click()
    await dialog().getByText('1 browser session ends.').waitFor()
    await dialog().getByText('1 application loses what it holds: Files on the desktop.').waitFor()
    // Cancel does nothing, and the focus is back where it was.
    await page.keyboard.press('Escape')
    await dialog().waitFor({ state: 'hidden' })
    await expect.poll(() => page.evaluate(() => document.activeElement?.textContent), LONG).toBe('Revoke access')
    expect(page.url()).toBe(before)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    await page.keyboard.press('Enter')
    // Once it is being done, it is not to be cancelled, and says so by what can be pressed.
    const slow = Promise.withResolvers<void>()
    const asked = page.waitForRequest(/revokeSignInSessions/)
    await page.route(/revokeSignInSessions/, async (route) => {
      await slow.promise
      await route.continue()
    })
    await dialog().getByRole('button', { name: 'Revoke access' }).click()
    await asked
    expect(await dialog().getByRole('button', { name: 'Cancel' }).isDisabled()).toBe(true)
    await page.keyboard.press('Escape')
    expect(await dialog().isVisible()).toBe(true)
    slow.resolve()
    await page.waitForURL(/\/revocations\/[\w-]+$/)
    const { value } = (await (await loop.graph('GET', `/caegis/events?$filter=txn eq '${page.url().split('/').at(-1)}'`)).json()) as {
      value: { type: string }[]
    }
    expect(value.map(({ type }) => type.split('/').at(-1))).toEqual(['session-revoked'])
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
  })

  it('are disabled and enabled, get another password, and are what the page says without a reload', async () => {
    const { page, goto } = admin
    const id = await idOf('alice')
    await goto(`/users/${id}`)
    await confirm('Disable', 'Disable the account')
    await page.getByText('Disabled', { exact: true }).waitFor()
    await expect(loop.person('alice').signIn()).rejects.toThrow()
    await page.getByRole('link', { name: 'See it arrive' }).first().waitFor()
    // Somebody else enables her.
    expect((await loop.graph('PATCH', `/users/${id}`, { accountEnabled: true })).status).toBe(204)
    await page.getByText('Enabled', { exact: true }).waitFor()

    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Reset password' }).click()
    await dialog().getByLabel('It has to be changed at the next sign-in').uncheck()
    await dialog().getByRole('button', { name: 'Reset password' }).click()
    const password = await dialog().getByLabel('New password').inputValue()
    expect(password).toMatch(/^(\w{5}-){3}\w{5}$/)
    await dialog().getByRole('button', { name: 'I have given it away' }).click()
    await expect(loop.person('alice').signIn()).rejects.toThrow()
    expect(await loop.person('alice', { password }).signIn()).toMatch(/^ey/)
    expect(await page.content()).not.toContain(password)

    // What happened stands in the tabs.
    for (const [tab, text] of [
      ['Sessions', 'Files on the desktop'],
      ['Sign-ins', 'Allowed'],
      ['Events', 'Account disabled'],
      ['Changes', 'Reset user password'],
      ['Devices', 'No device'],
    ] as const) {
      await page.getByRole('tab', { name: tab }).click()
      await page.getByRole('tabpanel').getByText(text).first().waitFor()
      expect(await axe(page), tab).toEqual([])
    }
    await page.getByRole('tab', { name: 'Sessions' }).click()
    await confirm('End', 'End')
    await page.getByText('No session is open').waitFor()
  })

  it('have groups, methods and a risk that are given and taken', async () => {
    const { page, goto } = admin
    const id = await idOf('bob')
    const factors = createFactors(loop.server.store, createSecrets(loop.settings.keySecret.value), loop.tenant, loop.issuer)
    const key = { credentialId: 'a', publicKey: 'b', counter: 0, attachment: 'cross-platform', transports: ['usb'] } as const
    await factors.addPasskey(id, {} as never, 'Blue key', { ...key, transports: [...key.transports] }, [])
    await goto(`/users/${id}`)
    await confirm('Remove Passkey: Blue key', 'Remove')
    await expect.poll(() => page.getByText('Blue key').count(), LONG).toBe(0)

    await page.getByRole('combobox', { name: 'Add to groups' }).fill('fin')
    await page.getByRole('option', { name: 'Finance' }).click()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await page.getByRole('link', { name: 'Finance' }).waitFor()
    await confirm('Remove from Finance', 'Remove')
    await page.getByText('In no group.').waitFor()

    await page.getByRole('tab', { name: 'Risk' }).click()
    await page.getByText('Nothing was found').waitFor()
    await confirm('Confirm compromised', 'Confirm compromised')
    await page.getByText('High risk', { exact: true }).waitFor()
    await page.getByText('Confirmed by an administrator').waitFor()
    expect(await axe(page)).toEqual([])
    await confirm('Dismiss', 'Dismiss')
    await expect.poll(() => page.getByText('High risk', { exact: true }).count(), LONG).toBe(0)
    await page.getByText('Dismissed by an administrator').first().waitFor()
  })

  it('who have no role are told why they see nothing', async () => {
    const bob = await openConsole(chromium, loop, { path: '/users', userName: 'bob@contoso.test' })
    await bob.page.getByText('You may not do this').waitFor()
    await bob.page.getByText('Your account needs the role of an administrator').waitFor()
    expect(await axe(bob.page)).toEqual([])
    await bob.close()
  })

  it('who administer are told at once that their role was taken, or that their access has ended; the last one stays', async () => {
    const { page, goto } = admin
    const [second, third] = await Promise.all(
      ['second', 'third'].map((name) => openConsole(chromium, loop, { path: '/users', userName: `${name}@contoso.test` })),
    )
    if (!second || !third) throw new Error('no windows')
    for (const { page: theirs } of [second, third]) await theirs.getByText('Live', { exact: true }).waitFor()

    await goto(`/users/${await idOf('third')}`)
    await page.getByRole('button', { name: 'Take the role' }).click()
    await dialog()
      .getByText(/^2 administrators are left: /)
      .waitFor()
    await dialog().getByRole('button', { name: 'Take the role' }).click()
    await third.page.getByText('You may not do this').waitFor()

    await goto(`/users/${await idOf('second')}`)
    await page.getByRole('button', { name: 'Revoke access' }).click()
    await dialog().getByRole('button', { name: 'Revoke access' }).click()
    await dialog(second).getByText('Your access has ended').waitFor()
    await dialog(second).getByRole('button', { name: 'Sign in again' }).waitFor()

    await page.waitForURL(/\/revocations\//)
    await goto(`/users/${await idOf('second')}`)
    await confirm('Take the role', 'Take the role')
    await goto(`/users/${await idOf('admin')}`)
    await page.getByRole('button', { name: 'Take the role' }).click()
    await dialog().getByText('Nobody else is an administrator.').waitFor()
    await dialog().getByRole('button', { name: 'Take the role' }).click()
    await dialog().getByText('This is the last administrator').waitFor()
    await page.keyboard.press('Escape')
    await Promise.all([second.close(), third.close()])
  })

  it('who are for emergencies are marked, and what cannot be done to them says why', async () => {
    const { page, goto } = admin
    await emergency(loop)
    await goto('/users?q=emergency')
    await page.getByRole('link', { name: 'Emergency account' }).click()
    await page.getByText('This is the emergency account').waitFor()
    await page.getByRole('button', { name: 'More' }).click()
    const reset = page.getByRole('menuitem', { name: /Reset password \(on the server's host only\)/ })
    expect(await reset.getAttribute('data-disabled')).toBe('true')
    expect(await axe(page)).toEqual([])
    await page.keyboard.press('Escape')
  })

  it('are deleted by who types their name', async () => {
    const { page, goto } = admin
    await goto(`/users/${await idOf('nina')}`)
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete user' }).click()
    expect(await dialog().getByRole('button', { name: 'Delete the user' }).isDisabled()).toBe(true)
    await dialog().getByRole('textbox').fill('nina@contoso.test')
    await dialog().getByRole('button', { name: 'Delete the user' }).click()
    await page.getByRole('heading', { level: 1, name: 'Users' }).waitFor()
    expect((await loop.graph('GET', '/users/nina@contoso.test')).status).toBe(404)
  })
})
