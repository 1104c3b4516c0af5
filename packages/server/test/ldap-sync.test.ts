import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { applyTenantFile } from '../src/directory/apply.ts'
import { createDirectory, type Directory } from '../src/directory/directory.ts'
import { parseTenantFile } from '../src/directory/tenant-file.ts'
import { SERVER_ERRORS } from '../src/errors.ts'
import { readLdapConfig } from '../src/ldap/config.ts'
import type { Entry, LdapConnection, Search } from '../src/ldap/connection.ts'
import { type Followed, followLdap } from '../src/ldap/follow.ts'
import { createSync, type PassOptions, type Report } from '../src/ldap/sync.ts'
import { createLog } from '../src/log.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const ISSUER = 'https://id.example/contoso/v2.0'
const SYSTEM = { kind: 'system', reason: 'test' } as const
const NOTHING = { created: 0, changed: 0, disabled: 0, enabled: 0, passwords: 0, conflicts: 0, deleted: 0, unfit: 0 }

let folder: string
let store: Store
let tenant: string
let directory: Directory
let now = 0
/** What the directory holds: attributes by name in lower case. */
let entries: Record<string, string>[] = []
let asked: Search[] = []
let root: Record<string, string> = {}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'caegis-test-'))
  now = 1_800_000_000_000
  asked = []
  store = await openStore({ file: join(folder, 'caegis.db'), now: () => now, log: createLog('silent') })
  const file = { tenant: { name: 'contoso' }, users: [{ userPrincipalName: 'local@x.test', displayName: 'Local' }] }
  tenant = await applyTenantFile(store, createSecrets('x'.repeat(32)), parseTenantFile(JSON.stringify(file)), () => ISSUER)
  directory = createDirectory(store, tenant, ISSUER)
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const toEntry = (from: Record<string, string>): Entry => ({
  dn: 'cn=x',
  values: new Map(
    Object.entries(from).map(([name, value]) => [name.toLowerCase(), [name === 'objectGUID' ? Buffer.from(value, 'hex') : Buffer.from(value)]]),
  ),
})
/** As a server would, as far as it matters here: only what the last part of the filter lets through. */
const connect = async (): Promise<LdapConnection> => ({
  async *search(search) {
    asked.push(search)
    if (search.scope === 'base') {
      yield [toEntry(root)]
      return
    }
    const { filters } = search.filter as { filters?: { attribute: string; value: string }[] }
    const since = filters?.at(-1)
    const found = since ? entries.filter((one) => stamp(one[since.attribute] ?? '') >= stamp(since.value)) : entries
    for (let from = 0; from < found.length; from += 3) yield found.slice(from, from + 3).map(toEntry)
  },
  close() {},
})
const stamp = (text: string) => Number(text.replace('Z', ''))
const make = (more: object = {}) =>
  createSync({
    config: readLdapConfig(undefined, {
      tenant: 'contoso',
      name: 'hq',
      url: 'ldaps://ldap.example',
      baseDn: 'dc=x',
      domain: 'x.test',
      fullInterval: 1000,
      ...more,
    }),
    ...{ store, connect, secrets: createSecrets('x'.repeat(32)), log: createLog('silent') },
    tenant: { id: tenant, issuer: ISSUER, directory },
  })
const person = (uid: string, more: object = {}) => ({ entryUUID: `id-${uid}`, uid, cn: uid, modifyTimestamp: '20270101000000Z', ...more })
const row = (upn: string) =>
  store.db.selectFrom('users').selectAll().where('upn_key', '=', `${upn}@x.test`).where('deleted_at', 'is', null).executeTakeFirst()
const types = async () =>
  (await store.db.selectFrom('events').select('type').orderBy('seq').execute()).map(({ type }) => type.slice(type.lastIndexOf('/') + 1))
const people = (count: number) => Array.from({ length: count }, (_, index) => person(`p${index}`))

describe('who may be gone', () => {
  const pass = async (known: number, left: number, options = {}, more = {}) => {
    entries = people(known)
    const sync = make(more)
    await sync.pass()
    entries = people(left)
    return sync.pass({ full: true, ...options })
  }
  it('a tenth of ten, a fifth of a hundred', async () => {
    expect(await pass(15, 5)).toMatchObject({ disabled: 10 })
    expect(await pass(100, 80)).toMatchObject({ disabled: 20 })
  })
  it.each([
    [15, 4],
    [100, 79],
    [3, 0],
  ])('of %i no more than leave %i', async (known, left) => {
    await expect(pass(known, left)).rejects.toMatchObject({ code: 'ldap_mass_removal', detail: { known, gone: known - left } })
    expect(await types()).toEqual([])
    // Once somebody has looked, they go.
    expect(await make().pass({ allowMassRemoval: true })).toMatchObject({ disabled: known - left })
    // And those who are gone already do not count again.
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
  })
  it('in between, whoever is there is read all the same', async () => {
    entries = people(30)
    await make().pass()
    entries = [person('p0', { cn: 'New name' }), person('new')]
    await expect(make().pass({ full: true })).rejects.toMatchObject({ code: 'ldap_mass_removal' })
    expect(await row('p0')).toMatchObject({ display_name: 'New name' })
    expect(await row('new')).toBeDefined()
  })
  it('who is deleted for good may come as somebody new; who is disabled comes back as who they were', async () => {
    entries = people(12)
    await make().pass()
    const before = await row('p0')
    entries = people(12).slice(1)
    expect(await make({ onVanish: 'delete' }).pass({ full: true })).toMatchObject({ deleted: 1, disabled: 0 })
    entries = people(12)
    expect(await make().pass({ full: true })).toMatchObject({ created: 1 })
    const after = await row('p0')
    expect(after?.id).not.toBe(before?.id)
    entries = people(12).slice(1)
    expect(await make().pass({ full: true })).toMatchObject({ disabled: 1 })
    entries = people(12)
    expect(await make().pass({ full: true })).toMatchObject({ enabled: 1 })
    expect(await row('p0')).toMatchObject({ id: after?.id, enabled: 1 })
    expect(await types()).toEqual(['account-purged', 'account-disabled', 'account-enabled'])
  })
})

describe('two that cannot both be', () => {
  it('one id twice: the first counts; one name twice: the first has it; a name of this directory: nobody gets it', async () => {
    entries = [person('a'), { ...person('b'), entryUUID: 'id-a' }, person('c'), { ...person('c'), entryUUID: 'other' }, person('local')]
    expect(await make().pass()).toMatchObject({ created: 2, unfit: 1, conflicts: 2 })
    expect(await row('b')).toBeUndefined()
    expect(await row('c')).toMatchObject({ external_id: 'id-c' })
    expect(await row('local')).toMatchObject({ source: '', display_name: 'Local' })
  })
  it('a new name that somebody else has is not taken, but what else the entry says holds', async () => {
    entries = [person('a'), person('b')]
    await make().pass()
    entries = [person('a', { uid: 'local', pwdAccountLockedTime: '000001010000Z' }), person('b')]
    expect(await make().pass({ full: true })).toMatchObject({ conflicts: 1, disabled: 1, changed: 0 })
    expect(await row('a')).toMatchObject({ enabled: 0 })
  })
  it('an entry that lost its name still disables', async () => {
    entries = [person('a')]
    await make().pass()
    entries = [{ entryUUID: 'id-a', pwdAccountLockedTime: '000001010000Z' }]
    expect(await make().pass({ full: true })).toMatchObject({ unfit: 1, disabled: 1 })
  })
})

describe('who decides whether somebody is disabled', () => {
  const locked = { pwdAccountLockedTime: '000001010000Z' }
  it('the directory does not enable whom an administrator disabled, before or meanwhile', async () => {
    entries = [person('a'), person('b', locked)]
    await make().pass()
    const [a, b] = [(await row('a'))?.id as string, (await row('b'))?.id as string]
    await directory.update(SYSTEM, a, { enabled: false })
    entries = [person('a', locked), person('b', locked)]
    await make().pass({ full: true })
    // Enabled by hand, then disabled by hand: it is not the directory's any more.
    await directory.update(SYSTEM, b, { enabled: true })
    entries = [person('a'), person('b')]
    await make().pass({ full: true })
    await directory.update(SYSTEM, b, { enabled: false })
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
    expect([(await row('a'))?.enabled, (await row('b'))?.enabled]).toEqual([0, 0])
  })
  it('whom the directory disables and somebody here enables is disabled again', async () => {
    entries = [person('a', locked)]
    await make().pass()
    await directory.update(SYSTEM, (await row('a'))?.id as string, { enabled: true })
    expect(await make().pass({ full: true })).toMatchObject({ disabled: 1 })
  })
  it('the emergency account and whoever else is of this directory is nothing of its', async () => {
    entries = [person('a')]
    await make().pass()
    await store.db.updateTable('users').set({ source: '' }).where('upn_key', '=', 'a@x.test').execute()
    entries = [person('a', locked)]
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
    entries = []
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
    expect(await row('a')).toMatchObject({ enabled: 1 })
  })
})

describe('passwords', () => {
  const at = (pwdChangedTime: string) => [person('a', { pwdChangedTime })]
  it('another time is another password, once', async () => {
    entries = at('20270101000000Z')
    expect(await make().pass()).toMatchObject({ created: 1, passwords: 0 })
    entries = at('20270101000001Z')
    expect(await make().pass({ full: true })).toMatchObject({ passwords: 1 })
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
    expect(await types()).toEqual(['credential-change'])
  })
  it('what is told for the first time is news only when it is young', async () => {
    entries = [person('a'), person('b', { modifyTimestamp: '20270115000000Z' })]
    await make().pass()
    entries = [person('a', { pwdChangedTime: '20260101000000Z' }), person('b', { pwdChangedTime: '20270115000100Z' })]
    expect(await make().pass({ full: true })).toMatchObject({ passwords: 1 })
    const [event] = await store.db.selectFrom('events').select('subject').execute()
    expect(JSON.parse(String(event?.subject)).simple.sub).toBe((await row('b'))?.id)
  })
  it('a hash stands for a time, and is not kept', async () => {
    const sync = () => make({ attributes: { passwordHash: 'userPassword' } })
    entries = [person('a', { userPassword: '{SSHA}one' })]
    await sync().pass()
    entries = [person('a', { userPassword: '{SSHA}two' })]
    expect(await sync().pass({ full: true })).toMatchObject({ passwords: 1 })
    const [kept] = await store.db.selectFrom('ldap_entries').select('password').execute()
    expect(kept?.password).toMatch(/^h:[\w-]{43}$/)
    // Told not to look any more, it keeps what it knows.
    expect(await make().pass({ full: true })).toMatchObject(NOTHING)
  })
})

describe('reading only what has changed', () => {
  it('asks for changes until everything is due again, or another question is asked', async () => {
    entries = [person('a'), person('b')]
    const reports: Report[] = []
    const pass = async (more = {}) => void reports.push(await make(more).pass())
    await pass()
    now += 60_000
    await pass()
    entries = [person('a'), person('b', { cn: 'B', modifyTimestamp: '20270101000500Z' })]
    now += 60_000
    await pass()
    now += 2_000_000
    await pass()
    await pass({ filter: '(uid=*)' })
    expect(reports.map(({ full, read, changed }) => ({ full, read, changed }))).toEqual([
      { full: true, read: 2, changed: 0 },
      { full: false, read: 2, changed: 0 },
      { full: false, read: 1, changed: 1 },
      { full: true, read: 2, changed: 0 },
      { full: true, read: 2, changed: 0 },
    ])
  })

  it('a directory that does not say when something changed is read as a whole each time', async () => {
    const { modifyTimestamp: _, ...silent } = person('a')
    entries = [silent]
    const first = await make().pass()
    entries = [{ ...silent, cn: 'New' }]
    expect([first, await make().pass()]).toMatchObject([
      { full: true, created: 1 },
      { full: true, changed: 1 },
    ])
  })

  it('a pass that is ended says nothing about who is missing', async () => {
    entries = people(12)
    await make().pass()
    entries = people(1)
    await expect(make().pass({ full: true, signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await types()).toEqual([])
  })

  it('whose sessions end by it is told to clients; of the others nobody is', async () => {
    const told: string[] = []
    const real = directory
    directory = {
      ...real,
      sayingWhich: (id, command) => {
        told.push(id)
        return real.sayingWhich(id, command)
      },
    }
    entries = [...people(3), person('p3', { pwdChangedTime: '20260101000000Z' })]
    await make().pass()
    entries = [
      person('p0', { pwdAccountLockedTime: '000001010000Z' }),
      person('p1', { cn: 'New' }),
      person('p3', { pwdChangedTime: '20260102000000Z' }),
    ]
    await make().pass({ full: true })
    expect(told).toEqual(await Promise.all(['p0', 'p3', 'p2'].map(async (upn) => (await row(upn))?.id)))
  })

  it("Active Directory: by sequence numbers, which are one server's own", async () => {
    const ad = { kind: 'active-directory', domain: undefined, filter: '(objectClass=user)' }
    const account = (guid: string, usn: number, more = {}) => ({
      ...{ objectGUID: guid.repeat(32), userPrincipalName: `${guid}@x.test`, userAccountControl: '512', pwdLastSet: '133000000000000000' },
      ...{ uSNChanged: String(usn), ...more },
    })
    root = { highestCommittedUSN: '100', dsServiceName: 'CN=NTDS Settings,CN=DC1' }
    entries = [account('a', 90), account('b', 95)]
    expect(await make(ad).pass()).toMatchObject({ full: true, created: 2 })
    root.highestCommittedUSN = '110'
    entries = [account('a', 90), account('b', 105, { userAccountControl: '514' })]
    expect(await make(ad).pass()).toMatchObject({ full: false, read: 1, disabled: 1 })
    const { filters } = (asked.at(-1) as Search).filter as unknown as { filters: object[] }
    expect(filters.at(-1)).toMatchObject({ attribute: 'uSNChanged', value: '101' })
    // What is committed while it reads has a number behind the one that was read first.
    root.highestCommittedUSN = '120'
    entries = [account('a', 119, { pwdLastSet: '133000000010000000' }), account('b', 118)]
    expect(await make(ad).pass()).toMatchObject({ full: false, read: 2, passwords: 1, enabled: 1 })
    root = { highestCommittedUSN: '7', dsServiceName: 'CN=NTDS Settings,CN=DC2' }
    expect(await make(ad).pass()).toMatchObject({ full: true, read: 2, ...NOTHING })
    expect(await types()).toEqual(['account-disabled', 'credential-change', 'account-enabled'])
    root = {}
    await expect(make(ad).pass()).rejects.toMatchObject({ code: 'ldap_protocol' })
  })
})

it('following goes on after a failure, and says so', async () => {
  const lines: string[] = []
  const given: object[] = []
  const states: Followed[] = []
  const passes: string[] = ['ldap_unreachable', 'ldap_mass_removal', 'well', 'SQLITE_FULL', 'well', 'well']
  const over = Promise.withResolvers<void>()
  const sync = {
    source: 'ldap:hq',
    async pass({ signal, ...options }: PassOptions = {}) {
      given.push(options)
      expect(signal?.aborted).toBe(false)
      if (passes.length < 6) states.push(following.status())
      const next = passes.shift()
      if (passes.length === 0) over.resolve()
      if (next !== 'well') throw new CaegisError(String(next), 'cn=alice,dc=example')
      return { full: true, read: 1, ...NOTHING }
    },
  }
  const log = createLog('info', (line) => lines.push(line))
  const following = followLdap({ sync, first: { full: true }, interval: 0.001, log, now: () => 7 })
  await over.promise
  await following.close()
  expect(given.slice(0, 3)).toEqual([{ full: true }, {}, {}])
  const said = lines.map((line) => JSON.parse(line))
  expect(said.slice(0, 3)).toMatchObject([
    { level: 'warn', code: 'ldap_unreachable' },
    { level: 'error', alarm: true, code: 'ldap_mass_removal' },
    { level: 'info', full: true, read: 1 },
  ])
  // For administrators, who are not told what an error says of the host or of people.
  const report = { full: true, read: 1, ...NOTHING }
  const errorOf = (code: string) => ({ code, message: SERVER_ERRORS[code as keyof typeof SERVER_ERRORS], at: 7 })
  expect(states).toEqual([
    { state: 'failing', lastPassAt: null, lastError: errorOf('ldap_unreachable'), report: null },
    { state: 'failing', lastPassAt: null, lastError: errorOf('ldap_mass_removal'), report: null },
    { state: 'ok', lastPassAt: 7, lastError: null, report },
    { state: 'failing', lastPassAt: 7, lastError: { code: 'failed', message: expect.stringContaining('the log of the server'), at: 7 }, report },
    { state: 'ok', lastPassAt: 7, lastError: null, report },
  ])
  expect(JSON.stringify(states)).not.toContain('alice')
})
