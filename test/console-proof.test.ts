import { describe, expect, it } from 'vitest'
import { hasChromium } from './chromium.ts'
import { axe } from './console.ts'
import { admin, administer, loop } from './console-admin.ts'
import { verdictOf } from './loop.ts'

const PATIENT = { timeout: 20_000 }

describe.skipIf(!hasChromium())('the proof of a revocation, on the screen', () => {
  administer({ path: '/users', refused: /status of 404/ })

  it('grows while one looks, from the press of the button on: applied, refused, signed in again', async () => {
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const { page, goto } = admin
    const { id } = (await (await loop.graph('GET', '/users/alice@contoso.test')).json()) as { id: string }
    await goto(`/users/${id}`)
    await page.getByRole('button', { name: 'Revoke access' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke access' }).click()
    await page.getByRole('heading', { level: 1, name: 'Proof of revocation' }).waitFor()
    const said = page.getByRole('main').getByRole('status').filter({ hasText: 'Applied by' })
    await expect.poll(() => said.textContent(), PATIENT).toMatch(/^Applied by 1 of 1 guard after \d/)
    expect(await page.getByRole('main').textContent()).toContain('None so far')
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    await expect.poll(() => said.textContent(), PATIENT).toMatch(/First request refused by files-api after \d/)
    await alice.signIn()
    await expect.poll(() => said.textContent(), PATIENT).toMatch(/alice signed in again after \d/)
    const receivers = page.getByRole('list', { name: 'Receivers' }).getByRole('listitem')
    expect(await receivers.allInnerTexts()).toEqual([expect.stringMatching(/files-api[\s\S]*applied after[\s\S]*refused the first request after/)])
    expect(await page.getByRole('link', { name: 'Alice', exact: true }).getAttribute('href')).toContain(`/users/${id}`)
    expect(await page.getByRole('link', { name: 'admin@contoso.test' }).count()).toBe(1)
    expect(await page.getByRole('button', { name: 'Copy link' }).count()).toBe(1)
    expect(await axe(page)).toEqual([])
  })

  it('is readable with five hundred receivers, those in trouble first', async () => {
    const { page, goto } = admin
    const at = (milliseconds: number) => ({ at: new Date(Date.parse('2026-05-01T12:00:00Z') + milliseconds).toISOString() })
    const receivers = Array.from({ length: 500 }, (_, i) => ({
      ...{
        streamId: `stream-${i}`,
        appId: 'files-api',
        displayName: 'Files',
        guard: true,
        status: i === 499 ? 'paused' : 'enabled',
        complete: i < 497,
      },
      ...(i < 497 ? { sent: { ...at(3), attempt: 1 }, applied: at(4 + i) } : {}),
    }))
    const proof = {
      ...{ txn: 'many', committedDateTime: '2026-05-01T12:00:00Z', activity: 'Revoke sessions', initiatedBy: null, events: [{ seq: 1, type: 'x' }] },
      ...{ subject: { kind: 'tenant', id: 't', displayName: 'contoso', count: 1 }, receivers, receiversLeftOut: 12, refusals: [], answers: [] },
    }
    await page.route('**/v1.0/caegis/revocations/many', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body: `event: proof\ndata: ${JSON.stringify(proof)}\n\n` }),
    )
    await goto('/revocations/many')
    const rows = page.getByRole('list', { name: 'Receivers' }).locator('> li')
    await expect.poll(() => rows.count(), PATIENT).toBe(4)
    expect(await rows.nth(0).innerText()).toMatch(/has not fetched it yet/)
    expect(await rows.nth(2).innerText()).toMatch(/its stream is paused/)
    expect(await rows.nth(3).innerText()).toMatch(/497 guards have applied it, half of them after 252 ms, all after 500 ms/)
    await page.getByRole('button', { name: 'Show each' }).click()
    expect(await rows.nth(3).getByRole('link').count()).toBe(101)
    expect(await axe(page)).toEqual([])
  })

  it('says what a number without a proof may mean', async () => {
    await admin.goto('/revocations/11111111-1111-4111-8111-111111111111')
    await admin.page.getByRole('heading', { name: 'No revocation has this number' }).waitFor()
  })
})
