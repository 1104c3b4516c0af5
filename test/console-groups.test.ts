import { describe, expect, it } from 'vitest'
import { hasChromium } from './chromium.ts'
import { axe } from './console.ts'
import { admin, administer, loop } from './console-admin.ts'
import { PASSWORD, SECRET } from './loop.ts'

const LONG = { timeout: 20_000 }
const CROWD = 60
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  groups: [{ displayName: 'Everyone' }, { displayName: 'Finance' }],
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Ada Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice Novak', groups: ['Finance'] },
    { userPrincipalName: 'bob@contoso.test', displayName: 'Bob Martin' },
    ...Array.from({ length: CROWD }, (_, at) => ({ userPrincipalName: `p${at}@contoso.test`, displayName: `Person ${at}`, groups: ['Everyone'] })),
  ],
  applications: [{ appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] }],
  conditionalAccessPolicies: [
    {
      ...{ displayName: 'Finance from the office', state: 'enabledForReportingButNotEnforced' },
      grantControls: { operator: 'OR', builtInControls: ['block'] },
      conditions: { users: { includeGroups: ['Finance'] }, applications: { includeApplications: ['All'] } },
    },
  ],
})

describe.skipIf(!hasChromium())('groups in the console', () => {
  administer({ path: '/groups', tenant: TENANT, refused: /status of (409|412)/ })

  const dialog = () => admin.page.getByRole('dialog')
  const names = async () => (await admin.page.getByRole('table').getByRole('link').allTextContents()).map((text) => text.trim())
  const idOf = async (path: string) => {
    const body = (await (await loop.graph('GET', encodeURI(path))).json()) as { id?: string; value?: { id: string }[] }
    return String(body.id ?? body.value?.[0]?.id)
  }
  const groupOf = (name: string) => idOf(`/groups?$filter=displayName eq '${name}'`)
  const membersOf = async (group: string) => {
    const { value } = (await (await loop.graph('GET', `/groups/${group}/members?$top=999`)).json()) as { value: { displayName: string }[] }
    return value.map(({ displayName }) => displayName).sort()
  }

  it('are listed, found by a word of their name, and made', async () => {
    const { page } = admin
    await expect.poll(names, LONG).toEqual(['Everyone', 'Finance'])
    expect(await axe(page)).toEqual([])
    await page.getByRole('searchbox').fill('fin')
    await expect.poll(names, LONG).toEqual(['Finance'])
    await page.getByRole('button', { name: 'New group' }).click()
    await dialog().getByLabel(/^Name/).fill('Finance')
    await dialog().getByRole('button', { name: 'Create group' }).click()
    await dialog().getByText('There is a group of that name already.').waitFor()
    await dialog().getByLabel(/^Name/).fill('Leads')
    await dialog().getByLabel('Description').fill('Who leads a team')
    await dialog().getByRole('button', { name: 'Create group' }).click()
    await page.getByRole('heading', { level: 1, name: 'Leads' }).waitFor()
    await page.getByText('Who leads a team').waitFor()
    await page.getByText('Nobody is in this group').waitFor()
  })

  it('get users and groups by search, are shown with what is in them, and lose them again', async () => {
    const { page, goto } = admin
    const leads = await groupOf('Leads')
    await goto(`/groups/${leads}`)
    const add = async (what: string, text: string, ...picked: string[]) => {
      const field = page.getByRole('combobox', { name: what })
      await field.fill(text)
      for (const name of picked) await page.getByRole('option', { name }).click()
      await field.press('Escape')
      await page.getByRole('button', { name: 'Add', exact: true, disabled: false }).click()
    }
    await add('Users', 'bob', 'Bob Martin')
    await expect.poll(names, LONG).toEqual(['Bob Martin'])
    await add('Groups', 'fin', 'Finance')
    await expect.poll(names, LONG).toEqual(['Bob Martin', 'Finance'])
    expect(await membersOf(leads)).toEqual(['Bob Martin', 'Finance'])
    await page.getByText('All, through groups too').click()
    await expect.poll(async () => (await names()).sort(), LONG).toEqual(['Alice Novak', 'Bob Martin', 'Finance'])
    expect(page.url()).toContain('show=all')
    expect(await axe(page)).toEqual([])
    await page.getByText('Direct members').click()
    await page.getByRole('button', { name: 'Remove Bob Martin' }).click()
    await dialog().getByText('What Bob Martin has by this group ends').waitFor()
    await dialog().getByRole('button', { name: 'Remove', exact: true }).click()
    await expect.poll(names, LONG).toEqual(['Finance'])
    expect(await membersOf(leads)).toEqual(['Finance'])

    // The other way round, and what was changed.
    await page.getByRole('link', { name: 'Finance' }).click()
    await page.getByRole('heading', { level: 1, name: 'Finance' }).waitFor()
    await page.getByRole('tab', { name: 'Is in' }).click()
    await expect.poll(names, LONG).toEqual(['Leads'])
    await page.getByRole('tab', { name: 'Changes' }).click()
    await page.getByRole('tabpanel').getByText('Add member to group').first().waitFor()
  })

  it('show a large membership page by page, each member once', async () => {
    const { page, goto } = admin
    await goto(`/groups/${await groupOf('Everyone')}`)
    await expect.poll(async () => (await names()).length, LONG).toBe(50)
    await page.getByRole('button', { name: 'Show more' }).click()
    await expect.poll(async () => (await names()).length, LONG).toBe(CROWD)
    expect(new Set(await names()).size).toBe(CROWD)
  })

  it('get another name, unless somebody else was first', async () => {
    const { page, goto } = admin
    const leads = await groupOf('Leads')
    await goto(`/groups/${leads}`)
    await page.getByRole('button', { name: 'Edit' }).click()
    await dialog().getByLabel(/^Name/).fill('Team leads')
    expect((await loop.graph('PATCH', `/groups/${leads}`, { description: 'Changed meanwhile' })).status).toBe(204)
    await dialog().getByRole('button', { name: 'Save' }).click()
    await dialog().getByText('Somebody else has changed it meanwhile').waitFor()
    await dialog().getByRole('button', { name: 'Cancel' }).click()
    await goto(`/groups/${leads}`)
    await page.getByText('Changed meanwhile').waitFor()
    await page.getByRole('button', { name: 'Edit' }).click()
    await dialog().getByLabel(/^Name/).fill('Team leads')
    await dialog().getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'Team leads' }).waitFor()
  })

  it('are deleted by who types their name, and was told who and which policies lose something', async () => {
    const { page, goto } = admin
    const finance = await groupOf('Finance')
    await goto(`/groups/${finance}`)
    await page.getByRole('button', { name: 'Delete' }).click()
    await dialog().getByText('1 person is in it, and loses what it gives; their tokens are renewed: Alice Novak.').waitFor()
    await dialog().getByText('1 policy names it, and will name nobody there: Finance from the office.').waitFor()
    expect(await axe(page)).toEqual([])
    await dialog().getByRole('textbox').fill('Finance')
    await dialog().getByRole('button', { name: 'Delete the group' }).click()
    await page.getByRole('heading', { level: 1, name: 'Groups' }).waitFor()
    expect((await loop.graph('GET', `/groups/${finance}`)).status).toBe(404)
  })
})
