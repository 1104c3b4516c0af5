import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Guard } from '@caegis/guard'
import { createLog, type LdapConfig, localTls, openLdapSync, readLdapConfig } from '@caegis/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, startLoop, verdictOf } from './loop.ts'
import { killPrograms, runProgram, storeBeside } from './process.ts'
import { BASE, dnOf, hasSlapd, ldif, MANAGER, MANAGER_PASSWORD, PEOPLE, person, type Slapd, startSlapd, startWire } from './slapd.ts'

/** `CAEGIS_ENTRIES=10000 npx vitest run test/ldap.test.ts -t half-way` tries a directory of that size. */
const MANY = Number(process.env.CAEGIS_ENTRIES ?? 300)
const PAGE = 50

describe.skipIf(!hasSlapd())('people of an LDAP directory', () => {
  let slapd: Slapd
  let loop: Loop
  let guard: Guard
  let folder: string

  const config = (more: Record<string, unknown> = {}): LdapConfig =>
    readLdapConfig(undefined, {
      ...{ tenant: 'contoso', name: 'hq', url: slapd.secure, caFile: slapd.caFile, bindDn: MANAGER, baseDn: PEOPLE, domain: 'contoso.test' },
      ...more,
    })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    const people = ['carol', 'dave', 'erin', 'frank', 'alice'].map((uid) => ldif(uid))
    const many = Array.from({ length: MANY }, (_, index) => ldif(`m${index}`, 'many'))
    slapd = await startSlapd([...people, ...many].join(''))
    const live = { ...config(), interval: 0.2, fullInterval: 1 }
    loop = await startLoop({ settings: { ldap: { config: live, password: MANAGER_PASSWORD } } })
    guard = await loop.guard()
  })
  afterAll(async () => {
    await killPrograms()
    await loop?.close()
    await slapd?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const row = (upn: string) => loop.server.store.db.selectFrom('users').selectAll().where('upn_key', '=', upn).executeTakeFirst()
  const comes = (upn: string) =>
    eventually(
      () => row(upn),
      (user) => user !== undefined,
      upn,
    ) as Promise<NonNullable<Awaited<ReturnType<typeof row>>>>
  const events = async () =>
    (await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute()).map((one) => ({
      type: one.type.slice(one.type.lastIndexOf('/') + 1),
      sub: JSON.parse(one.subject).simple?.sub,
      ...JSON.parse(one.payload),
    }))
  /** Signs somebody in who has got a password here, and shows that the API lets them in. */
  const tokenOf = async (upn: string) => {
    const { accessToken } = await createFlow(loop, { username: upn, capable: true }).tokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    return accessToken
  }
  const refused = (token: string) =>
    eventually(
      async () => (await verdictOf(guard, token)).allowed,
      (allowed) => !allowed,
      'the refusal',
    )
  const givePassword = async (upn: string) => {
    expect((await loop.graph('PATCH', `/users/${upn}`, { passwordProfile: { password: PASSWORD } })).status).toBe(204)
  }
  /** Passes by hand, on the host, whatever else the server does. */
  const byHand = async <T>(given: LdapConfig, work: (sync: Awaited<ReturnType<typeof openLdapSync>>['sync']) => Promise<T>): Promise<T> => {
    const input = { CAEGIS_DATA: loop.data, CAEGIS_LDAP_PASSWORD: MANAGER_PASSWORD, ...storeBeside(loop.data) }
    const { sync, close } = await openLdapSync({ input, config: given, log: createLog('silent') })
    try {
      return await work(sync)
    } finally {
      await close()
    }
  }
  /** Everything that a sync could have changed. */
  const state = async () => {
    const { db } = loop.server.store
    const all = [
      await db.selectFrom('users').selectAll().orderBy('id').execute(),
      await db.selectFrom('ldap_entries').selectAll().orderBy('external_id').execute(),
      await db.selectFrom('tenants').select('seq').execute(),
    ]
    return createHash('sha256').update(JSON.stringify(all)).digest('hex')
  }

  it('come with their names and without a password; nobody is taken over who was here before', async () => {
    const carol = await comes('carol@contoso.test')
    expect(carol).toMatchObject({ display_name: 'Person carol', mail: 'carol@mail.test', surname: 'carol', given_name: null })
    expect(carol).toMatchObject({ source: 'ldap:hq', enabled: 1, password: null, roles: '[]', external_id: expect.stringMatching(/^[0-9a-f-]{36}$/) })
    await expect(createFlow(loop, { username: 'carol@contoso.test' }).signIn()).rejects.toThrow('is wrong')
    await comes('frank@contoso.test')
    // The directory holds an alice too.
    expect(await row('alice@contoso.test')).toMatchObject({ source: '', display_name: 'Alice', external_id: null })
    await tokenOf('alice@contoso.test')
  })

  it('an LDAP disable makes the API refuse; enabled there, they may come back, and nothing old does', async () => {
    await givePassword('carol@contoso.test')
    const token = await tokenOf('carol@contoso.test')
    await slapd.set(dnOf('carol'), 'pwdAccountLockedTime', '000001010000Z')
    await refused(token)
    const { id } = await comes('carol@contoso.test')
    expect((await events()).at(-1)).toMatchObject({ type: 'account-disabled', sub: id, initiating_entity: 'system' })
    await expect(createFlow(loop, { username: 'carol@contoso.test' }).signIn()).rejects.toThrow('disabled')
    await slapd.set(dnOf('carol'), 'pwdAccountLockedTime', undefined)
    await eventually(
      () => row('carol@contoso.test'),
      (user) => user?.enabled === 1,
    )
    expect((await events()).at(-1)).toMatchObject({ type: 'account-enabled', sub: id })
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    await tokenOf('carol@contoso.test')
  })

  it('a lockout after wrong guesses disables nobody', async () => {
    const before = await events()
    await slapd.set(dnOf('erin'), 'pwdAccountLockedTime', '20261122093134Z')
    await slapd.set(dnOf('erin'), 'cn', 'Erin, who was guessed at')
    await eventually(
      () => row('erin@contoso.test'),
      (user) => user?.display_name === 'Erin, who was guessed at',
    )
    expect(await row('erin@contoso.test')).toMatchObject({ enabled: 1 })
    expect(await events()).toEqual(before)
  })

  it('a password that is changed there ends what was signed in before, and nothing else', async () => {
    await givePassword('dave@contoso.test')
    const token = await tokenOf('dave@contoso.test')
    const other = await tokenOf('carol@contoso.test')
    await slapd.set(dnOf('dave'), 'userPassword', 'a new one, over there')
    await refused(token)
    const { id } = await comes('dave@contoso.test')
    expect((await events()).at(-1)).toMatchObject({
      ...{ type: 'credential-change', sub: id, credential_type: 'password', change_type: 'update', initiating_entity: 'system' },
      reason_admin: { en: 'The password was changed in ldap:hq' },
    })
    expect(await verdictOf(guard, other)).toMatchObject({ allowed: true })
    // The password of this directory is another one.
    await tokenOf('dave@contoso.test')
  })

  it('a new name is a new name: the tokens that say the old one are asked for again', async () => {
    const { id } = await comes('dave@contoso.test')
    const token = await tokenOf('dave@contoso.test')
    await slapd.rename(dnOf('dave'), dnOf('david'))
    await refused(token)
    expect(await row('david@contoso.test')).toMatchObject({ id })
    expect((await events()).at(-1)).toMatchObject({ type: 'token-claims-change', sub: id, claims: { upn: 'david@contoso.test' } })
    await tokenOf('david@contoso.test')
  })

  it('who is deleted there is disabled here, once; who is deleted here does not come back', async () => {
    await givePassword('frank@contoso.test')
    const token = await tokenOf('frank@contoso.test')
    await slapd.remove(dnOf('frank'))
    await refused(token)
    expect(await row('frank@contoso.test')).toMatchObject({ enabled: 0, deleted_at: null })
    expect((await events()).at(-1)).toMatchObject({ type: 'account-disabled' })

    const { id } = await comes('erin@contoso.test')
    expect((await loop.graph('PATCH', `/users/${id}`, { accountEnabled: false })).status).toBe(204)
    // Whom an administrator disabled here, the directory does not enable.
    await slapd.set(dnOf('erin'), 'cn', 'Erin')
    await eventually(
      () => row('erin@contoso.test'),
      (user) => user?.display_name === 'Erin',
    )
    expect(await row('erin@contoso.test')).toMatchObject({ enabled: 0 })
    const directory = (await import('../packages/server/src/directory/directory.ts')).createDirectory(loop.server.store, loop.tenant, loop.issuer)
    await directory.remove({ kind: 'system', reason: 'test' }, id)
    const report = await byHand(config(), (sync) => sync.pass({ full: true }))
    expect(report).toMatchObject({ created: 0, conflicts: 1, disabled: 0 })
    expect(await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', 'erin@contoso.test').execute()).toEqual([{ id }])
  })

  it('twice changes nothing: no event, no version, no row', async () => {
    const { db } = loop.server.store
    const before = await state()
    const kept = await db.selectFrom('ldap_sources').selectAll().execute()
    const reports = await byHand(config(), async (sync) => [await sync.pass({ full: true }), await sync.pass(), await sync.pass({ full: true })])
    for (const { full, read, unfit, conflicts, ...done } of reports) {
      expect(done).toEqual({ created: 0, changed: 0, disabled: 0, enabled: 0, passwords: 0, deleted: 0 })
    }
    expect(reports.map((one) => one.full)).toEqual([true, false, true])
    expect(await state()).toBe(before)
    expect(kept).toHaveLength(1)
  })

  it('hostile entries: without a user name, with values that cannot be, referrals, names that look like filters', async () => {
    const loud = 'x'.repeat(100_000)
    await slapd.add(`cn=nameless,${PEOPLE}`, { objectClass: 'inetOrgPerson', cn: 'nameless', sn: 'x' })
    await slapd.add(dnOf('loud'), person('loud', { cn: ['loud', loud], givenName: loud }))
    await slapd.add(`cn=elsewhere,${PEOPLE}`, { objectClass: ['referral', 'extensibleObject'], cn: 'elsewhere', ref: 'ldap://192.0.2.1/dc=evil' })
    await slapd.add(`uid=\\2A\\29\\28uid=\\2A,${PEOPLE}`, person('*)(uid=*', { cn: 'x)(|(objectClass=*' }))
    const odd = await comes('*)(uid=*@contoso.test')
    expect(odd).toMatchObject({ display_name: 'x)(|(objectClass=*', enabled: 1 })
    const report = await byHand(config(), (sync) => sync.pass({ full: true }))
    expect(report).toMatchObject({ unfit: 2, conflicts: 1, created: 0, changed: 0, disabled: 0 })
    const users = await loop.server.store.db
      .selectFrom('users')
      .select('upn_key')
      .where('source', '=', 'ldap:hq')
      .where('deleted_at', 'is', null)
      .execute()
    expect(users.map((one) => one.upn_key).sort()).toEqual([
      '*)(uid=*@contoso.test',
      'carol@contoso.test',
      'david@contoso.test',
      'frank@contoso.test',
    ])
  })

  it(`a load of ${MANY} that breaks half-way goes on with those who are missing`, async () => {
    const wire = await startWire(slapd.port)
    const { db } = loop.server.store
    const loaded = () => db.selectFrom('users').select(['id', 'external_id']).where('source', '=', 'ldap:many').orderBy('external_id').execute()
    const given = config({ name: 'many', baseDn: `ou=many,${BASE}`, url: `ldaps://localhost:${wire.port}`, pageSize: PAGE })
    wire.cutAfter(233 * MANY)
    await byHand(given, async (sync) => {
      await expect(sync.pass()).rejects.toMatchObject({ code: 'ldap_unreachable' })
      const first = await loaded()
      expect(first.length).toBeGreaterThanOrEqual(PAGE)
      expect(first.length).toBeLessThan(MANY)
      expect(first.length % PAGE).toBe(0)
      wire.cutAfter(Number.POSITIVE_INFINITY)
      expect(await sync.pass()).toMatchObject({ full: true, read: MANY, created: MANY - first.length, changed: 0 })
      expect(await loaded()).toHaveLength(MANY)
      expect(await loaded()).toEqual(expect.arrayContaining(first))
    })
    await wire.close()
  }, 600_000)

  it('nobody is touched when an answer is cut short, or when too many are gone at once', async () => {
    const many = (more: object = {}) => config({ name: 'many', baseDn: `ou=many,${BASE}`, pageSize: PAGE, ...more })
    const before = await state()
    // The server's own size limit holds for whoever is not its manager.
    const reader = `cn=reader,${BASE}`
    await slapd.add(reader, { objectClass: ['organizationalRole', 'simpleSecurityObject'], cn: 'reader', userPassword: MANAGER_PASSWORD })
    await byHand(many({ bindDn: reader }), async (sync) => {
      await expect(sync.pass({ full: true, allowMassRemoval: true })).rejects.toMatchObject({ code: 'ldap_refused', detail: 4 })
    })
    for (const filter of ['(uid=m1*)', '(uid=nobody)']) {
      await byHand(many({ filter }), async (sync) => {
        await expect(sync.pass()).rejects.toMatchObject({ code: 'ldap_mass_removal', detail: { known: MANY } })
      })
    }
    expect(await state()).toBe(before)
    const done = await byHand(many({ filter: '(uid=m1*)', onVanish: 'delete' }), (sync) => sync.pass({ allowMassRemoval: true }))
    expect(done).toMatchObject({ read: 111, deleted: MANY - 111, disabled: 0 })
  })

  it('a server that cannot show who it is gets no password, and a wrong password is in no message', async () => {
    const strange = await localTls(join(folder, 'strange'), Date.now())
    const wire = await startWire(slapd.port, '127.0.0.2')
    const wrong: [Partial<Record<string, unknown>>, string, unknown][] = [
      [{ caFile: strange.caFile }, 'ldap_unreachable', expect.stringMatching(/CERT|SIGNATURE/)],
      [{ caFile: undefined }, 'ldap_unreachable', expect.stringMatching(/CERT|SIGNATURE/)],
      [{ url: `ldaps://127.0.0.2:${wire.port}` }, 'ldap_unreachable', 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [{ url: slapd.plain, startTls: true, caFile: strange.caFile }, 'ldap_unreachable', expect.stringMatching(/CERT|SIGNATURE/)],
      [{ bindDn: dnOf('carol') }, 'ldap_refused', 49],
    ]
    for (const [more, code, detail] of wrong) {
      const { caFile, ...rest } = { caFile: slapd.caFile, ...more }
      await byHand(config({ ...rest, caFile }), async (sync) => {
        const error = await sync.pass({ full: true }).catch((one) => one)
        expect(error).toMatchObject({ code, detail })
        expect(String(error.message)).not.toContain(MANAGER_PASSWORD)
      })
    }
    await wire.close()
    // The same over StartTLS, with the right authority.
    expect(await byHand(config({ url: slapd.plain, startTls: true }), (sync) => sync.pass({ full: true }))).toMatchObject({
      created: 0,
      conflicts: 1,
    })
  })

  it('caegis sync ldap reads everything once, and says what it did', async () => {
    const file = join(folder, 'ldap.yaml')
    writeFileSync(
      file,
      JSON.stringify({
        tenant: 'contoso',
        name: 'cli',
        url: slapd.secure,
        caFile: slapd.caFile,
        bindDn: MANAGER,
        baseDn: PEOPLE,
        domain: 'cli.test',
      }),
    )
    const env = { CAEGIS_DATA: loop.data, CAEGIS_LDAP_PASSWORD: MANAGER_PASSWORD }
    const [ended, flags, nowhere] = await Promise.all([
      runProgram(['sync', 'ldap', '-f', file, '--json'], { env }),
      runProgram(['sync', 'ldap', '-f', file, '--url', 'ldap://ldap.example'], { env }),
      runProgram(['sync', 'ldap', '-f', file, '--data', join(folder, 'nowhere')], { env }),
    ])
    expect(ended).toMatchObject({ code: 0 })
    expect(JSON.parse(ended.stdout)).toMatchObject({ full: true, created: 5, unfit: 2, conflicts: 0 })
    expect(flags).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/without TLS only on this machine.*invalid_ldap_config/s) })
    expect(nowhere).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining('no_data') })
    for (const { stdout, stderr } of [ended, flags, nowhere]) expect(stdout + stderr).not.toContain(MANAGER_PASSWORD)
  })
})
